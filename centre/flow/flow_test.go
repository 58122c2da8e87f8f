package flow

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/centre/library"
	"rxedge/index/document"
)

// planted is what a folder of made-up labels holds.
type planted struct {
	dir  string
	good map[string]bool // ids of documents
	bad  map[string]bool // base names of files that can't be read
}

// plant n good labels, one a file, in folders, and some of each kind that is bad.
func plant(t testing.TB, n, bad int) planted {
	t.Helper()
	p := planted{dir: t.TempDir(), good: map[string]bool{}, bad: map[string]bool{}}
	write := func(name, text string) {
		path := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		id := fmt.Sprintf("label-%05d", i)
		p.good[id] = true
		var b strings.Builder
		for _, s := range []string{"Indications and Usage", "Dosage and Administration", "Contraindications"} {
			line, _ := json.Marshal(map[string]string{"id": id + "#" + strings.ReplaceAll(strings.ToLower(s), " ", "-"), "drug": id, "section": s,
				"text": strings.Repeat(fmt.Sprintf("Take %d mg of %s once a day with water. ", i%90+1, id), 8)})
			b.Write(line)
			b.WriteByte('\n')
		}
		write(fmt.Sprintf("%02d/%s.jsonl", i%7, id), b.String())
	}
	for i := range bad {
		name, text := fmt.Sprintf("bad-%03d", i), ""
		switch i % 4 {
		case 0:
			name += ".txt" // empty
		case 1:
			name, text = name+".xml", fmt.Sprintf("<?xml version=\"1.0\"?><invoice n=\"%d\"/>", i)
		case 2:
			name, text = name+".json", fmt.Sprintf(`{"results": [{"id": "cut short %d`, i)
		case 3:
			name, text = name+".html", fmt.Sprintf("\xff\xd8\xff\xe0 %d", i)
		}
		p.bad[name] = true
		if text == "" {
			text = strings.Repeat("\n", i+1) // empty all the same, and each with a hash of its own
		}
		write("bad/"+name, text)
	}
	return p
}

// zipped are n more good labels in an archive, with a bad one among them.
func (p planted) zipped(t testing.TB, n int) {
	t.Helper()
	f, err := os.Create(filepath.Join(p.dir, "more.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	add := func(name, text string) {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		id := fmt.Sprintf("zipped-%d", i)
		p.good[id] = true
		add("labels/"+id+".md", "# "+id+"\n\n"+strings.Repeat("The medicine "+id+" is for adults with pain, and it should be taken with water. ", 8)+"\n")
	}
	add("labels/bad.xml", "<?xml version=\"1.0\"?><invoice/>")
	p.bad["more.zip"] = true
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// verify that the library has each good label once, and the bad ones in quarantine.
func (p planted) verify(t testing.TB, centre string, sum *Summary, dead int) {
	t.Helper()
	lib, err := library.Open(centre)
	if err != nil {
		t.Fatal(err)
	}
	defer lib.Close()
	vs, err := lib.Versions(t.Context(), library.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range vs {
		seen[v.ID]++
		if !p.good[v.ID] {
			t.Errorf("a document %s that nobody planted", v.ID)
		}
		src, err := lib.Sources(t.Context(), v.Ref)
		if err != nil || len(src) != 1 {
			t.Errorf("%s came from %d sources: %v", v.ID, len(src), err)
		}
	}
	lost, twice := 0, 0
	for id := range p.good {
		switch seen[id] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	if lost+twice > 0 {
		t.Errorf("%d lost, %d twice of %d", lost, twice, len(p.good))
	}
	held, err := lib.Quarantine(t.Context(), library.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]int{}
	for _, h := range held {
		if h.Refused == nil {
			t.Errorf("%s is in quarantine", h.Version.ID)
			continue
		}
		refused[filepath.Base(h.Refused.Source.Name)]++
	}
	for name, n := range refused {
		if !p.bad[name] || n != 1 {
			t.Errorf("%s is in quarantine %d times; planted: %v", name, n, p.bad[name])
		}
	}
	if len(refused) != len(p.bad) {
		t.Errorf("%d files in quarantine, planted %d", len(refused), len(p.bad))
	}
	if sum == nil {
		return
	}
	if !sum.Finished || sum.Waiting != 0 || sum.Documents != len(p.good) || sum.New != len(p.good) || sum.Unchanged != 0 || sum.Quarantined != 0 || sum.Refused != len(p.bad) || sum.Dead != dead {
		b, _ := json.Marshal(sum)
		t.Errorf("the summary of %d good, %d bad, %d dead: %s", len(p.good), len(p.bad), dead, b)
	}
}

func options(t testing.TB, centre string, paths ...string) Options {
	return Options{Centre: centre, Paths: paths, Workers: 2, Queue: QueueOptions{AckWait: 2 * time.Second}}
}

func TestRun(t *testing.T) {
	t.Parallel()
	p, centre := plant(t, 150, 8), t.TempDir()
	p.zipped(t, 30)
	sum, err := Run(t.Context(), options(t, centre, p.dir))
	if err != nil {
		t.Fatal(err)
	}
	p.verify(t, centre, sum, 0)
	if sum.Files != 159 || sum.Known != 0 || len(sum.Why) != 4 {
		t.Errorf("%+v", sum)
	}

	// The same files again cost a hash each; what could not be read is read again.
	sum, err = Run(t.Context(), options(t, centre, p.dir))
	if err != nil {
		t.Fatal(err)
	}
	if !sum.Finished || sum.Known != 180 || sum.Documents != 0 || sum.Refused != 9 {
		t.Errorf("the second time: %+v", sum)
	}

	// Nothing is left.
	if _, err := Run(t.Context(), options(t, centre)); !errors.Is(err, ErrNothing) {
		t.Errorf("a third time: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(Folder(centre), "store")); err != nil || len(left) == 0 {
		t.Errorf("the store: %v %v", left, err)
	}
}

// failing fails for names that have the word, as often as it says.
func failing(word string, times int, how func()) func(context.Context, string, io.Reader, int64, document.Options, func(*document.Document) error) ([]document.Problem, error) {
	left := times
	return func(ctx context.Context, name string, src io.Reader, size int64, opt document.Options, yield func(*document.Document) error) ([]document.Problem, error) {
		if strings.Contains(name, word) && left > 0 {
			left--
			if how != nil {
				how()
			}
			return nil, errors.New("the disk is slow today")
		}
		return readSource(ctx, name, src, size, opt, yield)
	}
}

// What fails for a while is tried again, and comes in; what fails always, or panics, is
// given up with its stage and reason. Everything else goes on meanwhile. What was given
// up can be sent again.
func TestRetriesAndDeadLetters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		times  int
		how    func()
		reason string
	}{
		{"for a while", 2, nil, ""},
		{"always", 1 << 30, nil, "the disk is slow today"},
		{"panic", 1 << 30, func() { panic("patient text") }, "it panicked at rxedge/centre/flow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, centre := plant(t, 20, 0), t.TempDir()
			o := options(t, centre, p.dir)
			o.Workers, o.Worker.MaxTries, o.Worker.reads = 1, 3, failing("label-00007", c.times, c.how)
			sum, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if c.reason == "" {
				p.verify(t, centre, sum, 0)
				return
			}
			delete(p.good, "label-00007")
			p.verify(t, centre, sum, 1)
			q, stop := opened(t, centre)
			dead, err := q.DeadLetters(t.Context())
			if err != nil || len(dead) != 1 {
				t.Fatalf("%+v, %v", dead, err)
			}
			d := dead[0]
			if d.Stage != Read || !strings.Contains(d.Reason, c.reason) || strings.Contains(d.Reason, "patient") || d.Tries != 3 || !d.Kept || filepath.Base(d.Source.Name) != "label-00007.jsonl" || d.Run != sum.ID {
				t.Errorf("%+v", d)
			}
			// The same files again leave it where it is.
			stop()
			o.Worker.reads = nil
			again, err := Run(t.Context(), o)
			if err != nil || again.Known != 19 || again.Documents != 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
			q, stop = opened(t, centre)
			if err := q.Retry(t.Context(), d.Key); err != nil {
				t.Fatal(err)
			}
			if err := q.Retry(t.Context(), d.Key); !errors.Is(err, ErrNoLetter) {
				t.Errorf("retried twice: %v", err)
			}
			stop()
			o.Paths = nil
			if _, err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			p.good["label-00007"] = true
			p.verify(t, centre, nil, 0)
		})
	}
}

// opened is the queue of a centre that no run has.
func opened(t *testing.T, centre string) (*Queue, func()) {
	t.Helper()
	q, stop, err := Open(t.Context(), centre, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q, stop
}
