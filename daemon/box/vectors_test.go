package box

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/daemon/config"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/bert/berttest"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/synctest"
)

// logged is what a box has logged; engines may still have something to say when it
// is closed.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// vectorSite is a box that takes one bundle.
type vectorSite struct {
	*Box
	log logged
}

func (s *vectorSite) candidate(t *testing.T) (embedded, given int, ok bool) {
	t.Helper()
	for line := range strings.Lines(s.log.String()) {
		var l struct {
			Msg      string
			Embedded int
			Given    int `json:"vectors_given"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "a candidate of the index is built" {
			return l.Embedded, l.Given, true
		}
	}
	return 0, 0, false
}

// A site whose embedder made the published vectors embeds nothing and finds the same
// as one that makes its own; one with another embedder says so, and makes its own.
// RXEDGE_EMBEDDER is the GGUF file of another embedder to measure with,
// RXEDGE_SYNC_LABELS how many labels.
func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	model, labels := os.Getenv("RXEDGE_EMBEDDER"), 3
	if model == "" {
		model = berttest.Folder(t)
	}
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_SYNC_LABELS")); err == nil {
		labels = n
	}
	data := func() config.Config {
		c := config.Default()
		zero := 0
		c.Data, c.Sample, c.Index.DiskFloorMB, c.Rollout.Questions = filepath.Join(t.TempDir(), "var"), false, &zero, 0
		c.Model.Generator, c.Model.Reranker, c.Model.Entailer = config.None, config.None, config.None
		return c
	}
	importInto := func(c config.Config) {
		t.Helper()
		cat, err := catalog.Open(filepath.Join(c.Data, "models"))
		if err == nil {
			_, err = cat.Import(t.Context(), model, catalog.ImportOptions{Name: "encoder"}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f := synctest.NewFleet(t)
	at := data()
	importInto(at)
	if _, err := MakesVectors(t.Context(), at, config.Builtin, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("vectors of the built-in embedder are published")
	}
	made, err := MakesVectors(t.Context(), at, "encoder", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	r := rand.New(rand.NewPCG(3, 4))
	words := []string{"the", "warfarin", "metformin", "bleeding", "renal", "dose", "risk", "tablet", "daily", "liver", "pain"}
	docs := func(yield func(bundle.Document, error) bool) {
		r = rand.New(rand.NewPCG(3, 4))
		for i := range labels {
			d := &document.Document{ID: fmt.Sprintf("medicine%d", i), Kind: document.KindJSONL, Title: fmt.Sprintf("medicine%d", i)}
			for k := range 3 {
				s := document.Section{ID: fmt.Sprintf("%s#%d", d.ID, k), Title: fmt.Sprintf("Section %d", k)}
				for len(s.Text) < 1500 {
					for range 9 {
						s.Text += words[r.IntN(len(words))] + " "
					}
					s.Text += fmt.Sprintf("%d mg. ", r.IntN(500))
				}
				d.Sections = append(d.Sections, s)
			}
			if !yield(Publishable(d)) {
				return
			}
		}
	}
	began := time.Now()
	p := f.Release(t, central.Release{Documents: docs, Vectors: &central.Embedding{Name: made.Name, Embedder: made.Embedder, Dimension: made.Dimension,
		Make: func(id string, content, before []byte) ([]byte, error) {
			return made.Make(t.Context(), id, content, before)
		}}})
	t.Logf("published with vectors of %d passages in %v: %d bytes", p.Vectors, time.Since(began).Round(time.Millisecond), p.SetBytes)
	if p.Vectors == 0 {
		t.Fatalf("%+v", p)
	}
	plain := f.Release(t, central.Release{Channel: "plain", Documents: docs})
	take := func(name, channel, embedder string) *vectorSite {
		t.Helper()
		c := data()
		c.Model.Embedder = embedder
		if embedder == "encoder" {
			importInto(c)
		}
		file, err := f.AddSite(name, channel, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := enroll.Claim(t.Context(), filepath.Join(c.Data, "sync"), file, enroll.Options{}); err != nil {
			t.Fatal(err)
		}
		s := &vectorSite{}
		if s.Box, err = Open(t.Context(), c, slog.New(slog.NewJSONHandler(&s.log, nil))); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := s.RunSync(t.Context()); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			st, err := s.SyncStatus(t.Context())
			if err == nil && st.Bundles.Active != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %+v, %v", name, st, err)
			}
		}
		es, err := s.SyncHistory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: active after %v", name, time.Since(began).Round(time.Millisecond))
		var told []bundle.Code
		for _, e := range es {
			if e.State == bundle.StateStaged {
				t.Logf("%s: %d bytes were fetched", name, e.Bytes)
			}
			if e.Code != "" {
				told = append(told, e.Code)
			}
		}
		if want := embedder != "encoder"; want != slices.Equal(told, []bundle.Code{bundle.OtherEmbedder}) || !want && len(told) > 0 {
			t.Errorf("%s: codes %v", name, told)
		}
		return s
	}
	found := func(s *vectorSite) (out []index.Hit) {
		t.Helper()
		for _, q := range []string{"the risk of bleeding with warfarin", "renal dose of metformin", "liver pain"} {
			for _, mode := range []index.Mode{index.ModeDense, index.ModeHybrid} {
				res, err := s.Index.Search(t.Context(), index.Query{Text: q, Mode: mode, K: 3})
				if err != nil || len(res.Hits) == 0 {
					t.Fatal(res, err)
				}
				out = append(out, res.Hits...)
			}
		}
		return out
	}
	own := take("makes-its-own", plain.Channel, "encoder")
	given := take("takes-them", "stable", "encoder")
	other := take("other", "stable", config.Builtin)
	a, b := found(own), found(given)
	if len(a) != len(b) {
		t.Fatalf("%d hits and %d", len(a), len(b))
	}
	for i := range a {
		if a[i].Passage.DocumentID != b[i].Passage.DocumentID || a[i].Text != b[i].Text || a[i].Dense-b[i].Dense > 1e-3 || b[i].Dense-a[i].Dense > 1e-3 {
			t.Errorf("hit %d: %s %v with its own vectors, %s %v with those that came", i, a[i].Passage.SectionID, a[i].Dense, b[i].Passage.SectionID, b[i].Dense)
		}
	}
	found(other)
	for s, want := range map[*vectorSite][2]int{own: {p.Vectors, 0}, given: {0, p.Vectors}, other: {p.Vectors, 0}} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		embedded, given, ok := s.candidate(t)
		if s == other && ok {
			ok, embedded = embedded > 0, want[0] // its passages are cut otherwise
		}
		if !ok || embedded != want[0] || given != want[1] {
			t.Errorf("%d were embedded and %d came, want %v\n%s", embedded, given, want, s.log.String())
		}
	}
}
