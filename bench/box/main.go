// Command box measures what a pharmacy sees of a box that nobody has asked yet: from
// the start of rxedged to the first whole answer with nothing of the index in memory,
// the memory that it keeps at rest, and the processor that it takes while idle, on an
// index of a hundred thousand passages and without a language model.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/bench/labels"
	"rxedge/bench/process"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
)

var (
	passages = flag.Int("passages", 100_000, "of the index")
	starts   = flag.Int("starts", 5, "times that it is started")
	rest     = flag.Duration("rest", time.Minute, "that it is left alone before its memory is looked at, and then how long its processor time is")
	embedder = flag.String("embedder", "auto", "auto, builtin or none")
	data     = flag.String("data", filepath.Join("..", "shared", "data", "labels"), "folder of real labels; without it the sample's sentences do")
	keep     = flag.String("dir", "", "folder that the index is kept in, for another run; \"\": a temporary one")
	only     = flag.Bool("prepare", false, "make the index in -dir and measure no start")
	asJSON   = flag.Bool("json", false, "print JSON")
)

// What is wanted of a box.
const (
	wantAnswer = 2 * time.Second
	wantMemory = 300e6 // bytes
	wantIdle   = 0.01  // of a core
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/box:", err)
		os.Exit(1)
	}
}

// atRest is a daemon that was left alone.
type atRest struct {
	process.Usage
	Live   float64 `json:"heap_live"`
	Idle   float64 `json:"idle_share"` // of one core, children included
	Engine int     `json:"children"`
}

// result in seconds and bytes.
type result struct {
	Passages  int       `json:"passages"`
	Documents int       `json:"documents"`
	Dense     bool      `json:"dense"`
	Dropped   bool      `json:"page_cache_dropped"`
	Ready     []float64 `json:"ready_s"`        // until it says that it answers
	First     []float64 `json:"first_answer_s"` // until the first answer is whole
	Cold      atRest    `json:"at_rest_after_start"`
	Ingested  *atRest   `json:"at_rest_after_ingest,omitempty"`
}

func run(ctx context.Context) (err error) {
	dir := *keep
	if dir == "" {
		if *only {
			return errors.New("-prepare needs -dir")
		}
		if dir, err = os.MkdirTemp("", "rxedge-box-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	folder := filepath.Join(dir, "var")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	bin, err := process.Build(ctx, dir, "./daemon", "rxedged")
	if err != nil {
		return err
	}
	cfg := fmt.Sprintf("sample = false\n[log]\nlevel = \"warn\"\n[model]\nembedder = %q\n", *embedder)
	if err := os.WriteFile(filepath.Join(folder, "rxedge.toml"), []byte(cfg), 0o600); err != nil {
		return err
	}
	_, texts, err := labels.Read(*data)
	if err != nil {
		return err
	}
	m := labels.NewMaker(texts, *passages/labels.PassagesPerLabel)
	var asked []string // each of another medicine, whose label is not in memory
	for _, n := range m.Names[:*starts+1] {
		asked = append(asked, fmt.Sprintf("What are common side effects of %s?", n))
	}
	r := result{}
	if r.Ingested, err = ingest(ctx, bin, folder, dir, m, asked[*starts]); err != nil {
		return err
	}
	if *only {
		r.print()
		return nil
	}
	for i := range *starts {
		if r.Dropped = drop(); !r.Dropped {
			fmt.Fprintln(os.Stderr, "bench/box: not root, so the index is still in the page cache")
		}
		if err := os.RemoveAll(filepath.Join(folder, "cache")); err != nil { // no answer is a kept one
			return err
		}
		if err := r.start(ctx, bin, folder, asked[i], i == *starts-1); err != nil {
			return err
		}
	}
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	r.print()
	return nil
}

// ingest the labels unless they are there; what it takes at rest after that.
func ingest(ctx context.Context, bin, folder, dir string, m *labels.Maker, question string) (_ *atRest, err error) {
	d, err := process.Start(ctx, bin, folder, process.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	c, err := control.Dial(folder)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	h, err := c.Status(ctx)
	if err != nil || h.Documents >= len(m.Names) {
		return nil, err
	}
	paths, err := m.Write(dir)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	rep, err := c.Ingest(ctx, paths, func(p box.IngestProgress) {
		fmt.Fprintf(os.Stderr, "\r%-60s", fmt.Sprint(p.Stage, " ", p.Done, " of ", p.Total, " ", p.Unit))
	})
	fmt.Fprintln(os.Stderr)
	if err == nil && len(rep.Problems) > 0 {
		err = rep.Problems[0]
	}
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "ingested in %.0f s\n", time.Since(began).Seconds())
	for _, p := range paths {
		if err := os.Remove(p); err != nil {
			return nil, err
		}
	}
	if _, err := ask(ctx, d, question); err != nil {
		return nil, err
	}
	return look(ctx, d)
}

// drop what the kernel keeps of files; false: this process may not.
func drop() bool {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) == nil
}

func (r *result) start(ctx context.Context, bin, folder, question string, last bool) (err error) {
	began := time.Now()
	d, err := process.Start(ctx, bin, folder, process.Options{})
	if err != nil {
		return err
	}
	ready := time.Since(began)
	defer func() { err = errors.Join(err, d.Stop()) }()
	status, err := ask(ctx, d, question)
	if err != nil {
		return err
	}
	first := time.Since(began)
	r.Ready, r.First = append(r.Ready, ready.Seconds()), append(r.First, first.Seconds())
	fmt.Fprintf(os.Stderr, "ready after %.2f s, the first answer (%s) after %.2f s\n", ready.Seconds(), status, first.Seconds())
	if !last {
		return nil
	}
	c, err := control.Dial(folder)
	if err != nil {
		return err
	}
	h, err := c.Status(ctx)
	_ = c.Close()
	if err != nil {
		return err
	}
	r.Passages, r.Documents, r.Dense = h.Passages, h.Documents, h.Dense
	cold, err := look(ctx, d)
	if err == nil {
		r.Cold = *cold
	}
	return err
}

// ask one question over HTTP, until the answer's last byte.
func ask(ctx context.Context, d *process.Daemon, question string) (status string, err error) {
	body, err := json.Marshal(map[string]string{"question": question})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL+"/v1/ask", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var a struct{ Status string }
	if err := json.Unmarshal(b, &a); err != nil || resp.StatusCode != http.StatusOK || a.Status == "" {
		return "", fmt.Errorf("%s: %.200s", resp.Status, b)
	}
	return a.Status, nil
}

// look at a daemon after it was left alone, and for as long at its processor time.
func look(ctx context.Context, d *process.Daemon) (*atRest, error) {
	http.DefaultClient.CloseIdleConnections()
	wait := func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.Ended():
			return errors.New("rxedged ended by itself")
		case <-time.After(*rest):
			return nil
		}
	}
	all := func() (u process.Usage, children int, err error) {
		if u, err = process.Read(d.PID, d.Data); err != nil {
			return u, 0, err
		}
		for _, pid := range process.Children(d.PID) {
			c, err := process.Read(pid, d.Data)
			if err != nil {
				continue // it has ended
			}
			children++
			u.CPU += c.CPU
			u.RSS, u.PSS, u.Anon = u.RSS+c.RSS, u.PSS+c.PSS, u.Anon+c.Anon
		}
		return u, children, nil
	}
	fmt.Fprintf(os.Stderr, "left alone for %v, twice\n", *rest)
	if err := wait(); err != nil {
		return nil, err
	}
	before, _, err := all()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := wait(); err != nil {
		return nil, err
	}
	after, n, err := all()
	if err != nil {
		return nil, err
	}
	out := &atRest{Usage: before, Idle: float64(after.CPU-before.CPU) / float64(time.Since(began)), Engine: n}
	m, err := d.Metrics(ctx) // last: it is work too
	out.Live = m.Live()
	return out, err
}

func (r *result) print() {
	say := func(what string, a *atRest) {
		fmt.Printf("  %-16s RSS %.0f MB (anonymous %.0f), PSS %.0f MB, live heap %.0f MB   (wanted: %.0f MB, %s)\n", what, float64(a.RSS)/1e6, float64(a.Anon)/1e6, float64(a.PSS)/1e6, a.Live/1e6, wantMemory/1e6, met(float64(a.RSS) <= wantMemory))
		fmt.Printf("  %-16s %.2f %% of a core over %v, %d children   (wanted: %.0f %%, %s)\n", "", 100*a.Idle, *rest, a.Engine, 100*wantIdle, met(a.Idle <= wantIdle))
	}
	if r.Ingested != nil {
		say("after the ingest", r.Ingested)
	}
	if len(r.First) == 0 {
		return
	}
	slices.Sort(r.Ready)
	slices.Sort(r.First)
	worst := r.First[len(r.First)-1]
	cache := "dropped before each start"
	if !r.Dropped {
		cache = "NOT dropped"
	}
	fmt.Printf("%d passages of %d documents, vectors searched: %v; page cache %s\n", r.Passages, r.Documents, r.Dense, cache)
	fmt.Printf("  ready            median %.2f s, most %.2f s of %d starts\n", r.Ready[len(r.Ready)/2], r.Ready[len(r.Ready)-1], len(r.Ready))
	fmt.Printf("  first answer     median %.2f s, most %.2f s   (wanted: %v, %s)\n", r.First[len(r.First)/2], worst, wantAnswer, met(worst <= wantAnswer.Seconds()))
	say("at rest", &r.Cold)
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "not met"
}
