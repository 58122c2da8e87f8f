package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/index"
)

// meaning searches by vectors alone.
func (s *station) meaning(t *testing.T, query string) index.Result {
	t.Helper()
	var r index.Result
	if resp := s.do(t, "POST", "/v1/search", object{"query": query, "mode": "dense", "k": 5}, &r); resp.StatusCode != 200 {
		t.Fatalf("%q: %s", query, resp.Status)
	}
	return r
}

// A fresh box searches its sample by meaning at once: what people say finds what
// the documents call it. Of words that nobody knows nothing is found, nor
// answered from what is near.
func TestFreshBoxSearchesByMeaning(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	for query, want := range map[string][]string{
		"blood thinner":  {"anticoagulant", "apixaban", "warfarin"},
		"kidney disease": {"renal impairment", "renal function", "eGFR", "creatinine clearance"},
		"water pill":     {"furosemide", "diuretic", "thiazide"},
		"puffer":         {"albuterol"},
		"heart attack":   {"myocardial infarction"},
	} {
		for i, h := range s.meaning(t, query).Hits[:3] {
			text := strings.ToLower(h.DocumentTitle + " " + h.SectionTitle + " " + h.Text)
			found := false
			for _, w := range want {
				found = found || strings.Contains(text, strings.ToLower(w))
			}
			if !found {
				t.Errorf("%q, place %d: %s, %s: %.200q", query, i+1, h.DocumentTitle, h.SectionTitle, h.Text)
			}
		}
	}
	for _, query := range []string{"wondermab", "zxqv the frobnication", "???"} {
		if r := s.meaning(t, query); len(r.Hits) > 0 {
			t.Errorf("%q found %s", query, r.Hits[0].Text)
		}
		if a := s.ask(t, "Is "+query+" safe?"); a.Status != answer.StatusAbstained {
			t.Errorf("%q was answered: %+v", query, a.Claims)
		}
	}
	// One word of two is unknown: what is near the other is no answer.
	for _, q := range []string{"Is wondermab safe in pregnancy?", "Can wondermab be taken with warfarin?", "dose of wondermab in kidney disease"} {
		if a := s.ask(t, q); a.Status != answer.StatusAbstained {
			t.Errorf("%q was answered: %s", q, a.Claims[0].Text)
		}
	}
}

// The same over real labels.
func TestLabelsByMeaning(t *testing.T) {
	t.Parallel()
	data := os.Getenv("RXEDGE_TESTDATA")
	if data == "" {
		data = filepath.Join("..", "..", "shared", "data")
	}
	labels := filepath.Join(data, "labels", "openfda_20drugs.jsonl")
	if _, err := os.Stat(labels); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no labels in %s", labels)
	}
	cfg := config.Default()
	cfg.Data = t.TempDir()
	b, err := box.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Ingest(t.Context(), []string{labels, filepath.Join(data, "labels", "spl_adr_train.jsonl")}, nil); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][]string{
		"blood thinner":  {"anticoagula", "warfarin", "heparin", "apixaban", "dabigatran"},
		"kidney disease": {"renal", "kidney", "nephro"},
		"heart attack":   {"myocardial infarction"},
		"puking":         {"vomiting", "nausea"},
		"brittle bones":  {"osteoporosis", "bone mineral", "fracture"},
	} {
		r, err := b.Index.Search(t.Context(), index.Query{Text: query, K: 10, Mode: index.ModeDense})
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for _, h := range r.Hits {
			for _, w := range want {
				if strings.Contains(strings.ToLower(h.DocumentTitle+" "+h.Text), w) {
					right++
					break
				}
			}
		}
		if right < 8 {
			t.Errorf("%q: %d of %d speak of it", query, right, len(r.Hits))
		}
	}
}

// Vectors that are missing are made in the background, while questions are answered.
func TestVectorsAreMadeInTheBackground(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	without := startDaemon(t, func(c *config.Config) { c.Data, c.Model.Embedder = data, config.None })
	if err := without.stop(); err != nil {
		t.Fatal(err)
	}
	s := startDaemon(t, func(c *config.Config) { c.Data = data })
	if a := s.ask(t, "Can metformin be started with an eGFR of 40?"); a.Status != answer.StatusAnswered {
		t.Errorf("not answered meanwhile: %+v", a)
	}
	s.waitDense(t)
	if r := s.meaning(t, "blood thinner"); len(r.Hits) == 0 {
		t.Error("nothing is found by meaning")
	}
}

// waitDense returns when the index has vectors of the embedder that is loaded.
func (s *station) waitDense(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		var h struct {
			Dense    bool
			Degraded []string
		}
		s.do(t, "GET", "/v1/status", nil, &h)
		if h.Dense {
			if len(h.Degraded) > 0 {
				t.Errorf("still wrong: %q", h.Degraded)
			}
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("there are no vectors; %q\n%s", h.Degraded, s.log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
