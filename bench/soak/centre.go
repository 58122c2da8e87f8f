package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"rxedge/daemon/box"
	"rxedge/index/document"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/synctest"
)

// centre is a fleet of one site on this machine: its folder, its hub, and the line
// to it, which can be cut.
type centre struct {
	folder *central.Folder
	line   *synctest.Line
	addr   string
	dir    string

	hub  *central.Hub
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func newCentre(dir string) (*centre, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &centre{addr: l.Addr().String(), dir: dir}
	_ = l.Close()
	if c.folder, err = central.Init(filepath.Join(dir, "central"), central.InitOptions{Name: "soak", Hubs: []string{c.addr}}); err != nil {
		return nil, err
	}
	if err := c.startHub(); err != nil {
		return nil, err
	}
	if c.line, err = synctest.NewLine(c.addr); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	ready, failed := make(chan struct{}), make(chan error, 1)
	c.wg.Go(func() {
		if err := c.folder.Serve(ctx, nil, slog.New(slog.DiscardHandler), func() { close(ready) }); err != nil {
			failed <- err
		}
	})
	select {
	case <-ready:
		return c, nil
	case err := <-failed:
		return nil, err
	case <-time.After(time.Minute):
		return nil, errors.New("the centre's services are not ready")
	}
}

func (c *centre) startHub() error {
	conf, err := c.folder.WriteNode(filepath.Join(c.folder.Dir, "hub"), central.Node{Number: 1, Listen: c.addr})
	if err != nil {
		return err
	}
	c.hub, err = central.RunNode(conf, "")
	return err
}

func (c *centre) stopHub() {
	if c.hub != nil {
		c.hub.Close()
		c.hub = nil
	}
}

func (c *centre) close() {
	c.stop()
	c.wg.Wait()
	c.line.Close()
	c.stopHub()
}

// enroll makes the data folder that of a site whose line goes through the relay.
func (c *centre) enroll(ctx context.Context, data string) error {
	file, err := c.folder.AddSite("site-1", "stable", time.Hour)
	if err != nil {
		return err
	}
	file.Hubs = []string{c.line.Address()}
	_, err = enroll.Claim(ctx, filepath.Join(data, "sync"), file, enroll.Options{})
	return err
}

// publish a release to the one channel, and give it to the hub.
func (c *centre) publish(ctx context.Context, r central.Release) (int64, error) {
	r.Channel = "stable"
	p, err := c.folder.Publish(r)
	if err != nil {
		return 0, err
	}
	nc, err := c.folder.Connect(nil, false)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	return p.Number, c.folder.Push(ctx, nc, nil)
}

// collect what the site reported, which a centre does now and then: how many there were.
func (c *centre) collect(ctx context.Context) (n int, err error) {
	err = c.folder.Collect(ctx, nil, 0, func(central.Report) error { n++; return nil })
	return n, err
}

// A label of the soak's own states its version in its dose, so that what is served
// can be told from what was.
func doseSentence(medicine string, version int) string {
	return fmt.Sprintf("The usual dose of %s is %d mg once daily.", medicine, 100+version)
}

var ownSections = []string{"Dosage and Administration", "Contraindications", "Drug Interactions", "Adverse Reactions"}

func ownSection(medicine, section string, version int) string {
	text := ""
	if section == ownSections[0] {
		text = doseSentence(medicine, version) + " "
	}
	for k := range 12 {
		text += fmt.Sprintf("The %s of %s number %d is %d mg with %d tablets every %d hours. ", section, medicine, k, 100+k, 1+k, 4+k)
	}
	return text
}

// published are labels of medicines 0 to n-1 as a centre publishes them.
func published(n int, version func(i int) int) iter.Seq2[bundle.Document, error] {
	return func(yield func(bundle.Document, error) bool) {
		for i := range n {
			name := centralMedicine(i)
			d := &document.Document{ID: name, Kind: document.KindJSONL, Title: name, Names: []document.Name{{Text: name, Kind: "generic"}}}
			for _, s := range ownSections {
				d.Sections = append(d.Sections, document.Section{ID: name + "#" + s, Title: s, Text: ownSection(name, s, version(i))})
			}
			if !yield(box.Publishable(d)) {
				return
			}
		}
	}
}

// labelLines are the same as 'rxedge ingest' reads them.
func labelLines(name string, version int) (out []byte) {
	for _, s := range ownSections {
		b, _ := json.Marshal(map[string]string{"id": name + "#" + s, "drug": name, "section": s, "text": ownSection(name, s, version)})
		out = append(append(out, b...), '\n')
	}
	return out
}

func centralMedicine(i int) string { return fmt.Sprintf("centramab%d", i) }
func siteMedicine(i int) string    { return fmt.Sprintf("sitaprine%d", i) }
