package support

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/clipperhouse/uax29/v2/sentences"

	"rxedge/inference"
	"rxedge/inference/quantity"
)

var milligrams = regexp.MustCompile(`\b(\d+)( mg\b)`)

// Of the doses in sentences of real labels, ten times as much is caught in 99 of
// 100 at least, beside the sentence and beside its whole section.
func TestChangedDosesOfRealLabels(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(dir, "labels", "openfda_20drugs.jsonl"))
	if err != nil {
		t.Skipf("the real labels are not on this machine (%v); set RXEDGE_TESTDATA to their folder", err)
	}
	defer f.Close()
	var right, wrong []inference.Pair
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var s struct{ Drug, Section, Text string }
		if err := json.Unmarshal(sc.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		it := sentences.FromString(s.Text)
		for it.Next() {
			sentence := strings.Join(strings.Fields(it.Value()), " ")
			m := milligrams.FindStringSubmatchIndex(sentence)
			if m == nil || len(strings.Fields(sentence)) > 60 {
				continue
			}
			n, _ := strconv.Atoi(sentence[m[2]:m[3]])
			changed := sentence[:m[2]] + strconv.Itoa(10*n) + sentence[m[3]:]
			for _, premise := range []string{sentence, s.Drug + " " + s.Section + "\n" + s.Text} {
				if len(quantity.Missing(changed, premise)) > 0 { // a label may name both
					right = append(right, inference.Pair{Premise: premise, Hypothesis: sentence})
					wrong = append(wrong, inference.Pair{Premise: premise, Hypothesis: changed})
				}
			}
		}
	}
	share := func(ps []inference.Pair, ok func(float32) bool) float64 {
		out, err := Builtin().Entail(context.Background(), ps)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range out {
			if ok(p.Entail) {
				n++
			}
		}
		return float64(n) / float64(len(ps))
	}
	caught := share(wrong, func(p float32) bool { return p < Threshold })
	kept := share(right, func(p float32) bool { return p >= Threshold })
	t.Logf("%d changed doses, %.2f %% caught; %.2f %% of the true sentences supported", len(wrong), 100*caught, 100*kept)
	if len(wrong) < 100 || caught < 0.99 || kept < 0.9 {
		t.Error("too few")
	}
}
