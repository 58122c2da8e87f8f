package suite

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	retrieval "rxedge/index/evaluate"
	"rxedge/sync/durable"
)

const (
	mostRuns   = 400 // kept; more than a year of nights
	runSuffix  = ".run.json"
	ledgerFile = "ledger.jsonl"
	// ManyTouches is from how many looks at a test set on its figures are likely to be
	// fitted to it.
	ManyTouches = 20
)

// Touch is a line of the ledger: somebody looked at how a set's questions are
// answered.
type Touch struct {
	At        time.Time `json:"at"`
	Set       string    `json:"set"` // SHA-256 of its file
	Name      string    `json:"name"`
	Use       string    `json:"use"` // night, command or answers
	Questions int       `json:"questions"`
}

// Touched sums up the touches of a set.
type Touched struct {
	Set       string         `json:"set"`
	Name      string         `json:"name"`
	Questions int            `json:"questions"`
	Times     int            `json:"times"`
	By        map[string]int `json:"by"` // use
	First     time.Time      `json:"first"`
	Last      time.Time      `json:"last"`
	// Many: so many looks that a small gain may be luck.
	Many bool `json:"many"`
}

// Store keeps runs and the ledger in a folder. Safe for concurrent use.
type Store struct {
	dir string
	mu  sync.Mutex
}

// OpenStore in dir, which is made when it is needed.
func OpenStore(dir string) *Store { return &Store{dir: dir} }

// SetOf is what a file of questions is known by.
func SetOf(file []byte) string {
	h := sha256.Sum256(file)
	return hex.EncodeToString(h[:])
}

// Add keeps a run, on disk when it returns, and gives it its id. The oldest go when
// there are too many.
func (s *Store) Add(r *Run) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	r.ID = r.At.UTC().Format("20060102T150405.000Z") + "-" + r.Set[:min(8, len(r.Set))]
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := durable.Write(filepath.Join(s.dir, r.ID+runSuffix), b); err != nil {
		return fmt.Errorf("keeping a run of the suite: %w", err)
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, n := range names[:max(0, len(names)-mostRuns)] {
		if err := os.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("letting go of an old run of the suite: %w", err)
		}
	}
	return nil
}

func (s *Store) names() ([]string, error) { return filepath.Glob(filepath.Join(s.dir, "*"+runSuffix)) }

// Runs are those that are kept, the oldest first. One that can't be read is left out
// and named in damaged.
func (s *Store) Runs() (runs []Run, damaged []string, err error) {
	names, err := s.names() // sorted, and so by time
	if err != nil {
		return nil, nil, err
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		var r Run
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			damaged = append(damaged, filepath.Base(n))
			continue
		}
		runs = append(runs, r)
	}
	return runs, damaged, nil
}

// Touch writes a line into the ledger, on disk when it returns.
func (s *Store) Touch(t Touch) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing the ledger of test sets: %w", err)
		}
	}()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, ledgerFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	// A line that a power cut tore stays by itself.
	if last := make([]byte, 1); end > 0 {
		if _, err := f.ReadAt(last, end-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			b = append([]byte{'\n'}, b...)
		}
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		return err
	}
	return f.Sync()
}

// Ledger sums up the touches by set, the most touched first. Lines that a power cut
// tore are passed over and counted.
func (s *Store) Ledger() (sets []Touched, torn int, err error) {
	b, err := os.ReadFile(filepath.Join(s.dir, ledgerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the ledger of test sets: %w", err)
	}
	by := map[string]*Touched{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		var t Touch
		if len(bytes.TrimSpace(sc.Bytes())) == 0 {
			continue
		}
		if err := json.Unmarshal(sc.Bytes(), &t); err != nil || t.Set == "" {
			torn++
			continue
		}
		x := by[t.Set]
		if x == nil {
			x = &Touched{Set: t.Set, First: t.At, By: map[string]int{}}
			by[t.Set] = x
		}
		x.Name, x.Questions, x.Last = t.Name, t.Questions, t.At
		x.Times++
		x.By[t.Use]++
		x.Many = x.Times >= ManyTouches
	}
	for _, x := range by {
		sets = append(sets, *x)
	}
	slices.SortFunc(sets, func(a, b Touched) int { return cmp.Or(cmp.Compare(b.Times, a.Times), strings.Compare(a.Set, b.Set)) })
	return sets, torn, sc.Err()
}

// Entry of the history: a run without its lines, and how it differs from the one
// before it over the same questions in the same mode.
type Entry struct {
	Run
	Before string                      `json:"before,omitempty"` // id
	Change map[string]retrieval.Paired `json:"change,omitempty"`
}

// History of the runs, the oldest first.
func History(runs []Run) []Entry {
	out := make([]Entry, 0, len(runs))
	last := map[[2]string]Run{}
	for _, r := range runs {
		e := Entry{Run: r}
		k := [2]string{r.Set, r.Mode}
		if was, ok := last[k]; ok {
			if c, err := retrieval.Compare(was.Lines, r.Lines); err == nil {
				e.Before, e.Change = was.ID, c.Metrics
			}
		}
		last[k] = r
		e.Lines = nil
		out = append(out, e)
	}
	return out
}
