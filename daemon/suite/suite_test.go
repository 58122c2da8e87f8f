package suite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer/evaluate"
	retrieval "rxedge/index/evaluate"
)

func TestLeaks(t *testing.T) {
	t.Parallel()
	q := func(id, text string) evaluate.Question { return evaluate.Question{ID: id, Question: text} }
	tuning := []evaluate.Question{q("a", "Can metformin be started with an eGFR of 40?"), q("b", "What is the maximum daily dose of apixaban?"), q("c", "x")}
	test := []evaluate.Question{q("1", "can METFORMIN be started, with an eGFR of 40"), q("2", "What is the maximum daily dose of apixaban in adults?"),
		q("3", "Is warfarin safe in pregnancy?"), q("4", "x"), q("5", "?!")}
	l := Leaks(tuning, test, NearDuplicate)
	if l.Exact != 2 || l.Near != 1 || l.Share != 0.6 || len(l.Leaks) != 3 || l.Leaks[2].Test != "2" || l.Leaks[2].Tuning != "b" || l.Leaks[2].Exact {
		t.Errorf("%+v", l)
	}
	// Beside every pair compared by hand.
	rng := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields("dose of apixaban warfarin metformin in renal failure children maximum daily is it safe with")
	var sets [2][]evaluate.Question
	for i := range sets {
		for k := range 60 {
			var text []string
			for range 3 + rng.IntN(5) {
				text = append(text, words[rng.IntN(len(words))])
			}
			sets[i] = append(sets[i], q(fmt.Sprint(i, "-", k), strings.Join(text, " ")))
		}
	}
	got := map[string]float64{}
	for _, x := range Leaks(sets[0], sets[1], 0.5).Leaks {
		got[x.Test] = x.Similarity
	}
	for _, b := range sets[1] {
		best := 0.0
		for _, a := range sets[0] {
			sa, sb := map[string]bool{}, map[string]bool{}
			for i := 0; i+5 <= len(a.Question); i++ {
				sa[a.Question[i:i+5]] = true
			}
			for i := 0; i+5 <= len(b.Question); i++ {
				sb[b.Question[i:i+5]] = true
			}
			both := 0
			for s := range sa {
				if sb[s] {
					both++
				}
			}
			best = max(best, float64(both)/float64(len(sa)+len(sb)-both))
		}
		if v, leaked := got[b.ID]; leaked != (best >= 0.5) || leaked && v != best {
			t.Errorf("%q: %g, want %g", b.Question, v, best)
		}
	}
}

// Runs and the ledger outlive torn lines and damaged files, and runs of the same set
// are compared.
func TestStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "suite")
	s := OpenStore(dir)
	if runs, damaged, err := s.Runs(); err != nil || len(runs)+len(damaged) > 0 {
		t.Fatal(runs, damaged, err)
	}
	at := time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC)
	for i := range 3 {
		r := Run{At: at.AddDate(0, 0, i), Set: SetOf([]byte("a")), By: "night"}
		for k := range 40 {
			v := 0.5 + float64((k*7)%10)/100 - float64(i/2)*0.2*float64(k%3)
			r.Lines = append(r.Lines, retrieval.RunLine{ID: fmt.Sprint(k), Metrics: map[string]*float64{"mrr": &v}})
		}
		if err := s.Add(&r); err != nil {
			t.Fatal(err)
		}
		if err := s.Touch(Touch{At: r.At, Set: r.Set, Name: "golden.jsonl", Use: "night", Questions: 40}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "20260101T000000.000Z-x"+runSuffix), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	runs, damaged, err := s.Runs()
	if err != nil || len(runs) != 3 || len(damaged) != 1 {
		t.Fatalf("%d runs, %q, %v", len(runs), damaged, err)
	}
	h := History(runs)
	if h[0].Change != nil || h[1].Change["mrr"].Difference != 0 || h[2].Before != h[1].ID || h[2].Change["mrr"].P == nil || *h[2].Change["mrr"].P > 0.001 || h[2].Change["mrr"].Difference >= 0 || h[2].Lines != nil {
		t.Errorf("%+v", h)
	}
	// A power cut tears the last line; the next stands whole.
	f, err := os.OpenFile(filepath.Join(dir, ledgerFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"at":"2026-11-0`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for range ManyTouches {
		if err := s.Touch(Touch{At: at.AddDate(0, 1, 0), Set: SetOf([]byte("a")), Name: "golden.jsonl", Use: "command", Questions: 40}); err != nil {
			t.Fatal(err)
		}
	}
	sets, torn, err := s.Ledger()
	if err != nil || torn != 1 || len(sets) != 1 || sets[0].Times != 3+ManyTouches || sets[0].By["night"] != 3 || !sets[0].Many {
		t.Errorf("%+v, %d torn, %v", sets, torn, err)
	}
	if i, err := os.Stat(filepath.Join(dir, ledgerFile)); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("the ledger's mode: %v, %v", i.Mode(), err)
	}
}
