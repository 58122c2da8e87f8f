package falsify

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/index"
	"rxedge/inference"
	"rxedge/inference/support"
)

// data is the folder of real labels, outside the repository.
func data(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "labels")); err != nil {
		t.Skipf("the real labels are not on this machine (%v); set RXEDGE_TESTDATA to their folder", err)
	}
	return dir
}

// Of what a liar writes from real labels no altered dose is shown, nineteen in
// twenty of the altered sentences are withheld, and not one in twenty of the true.
func TestLiar(t *testing.T) {
	t.Parallel()
	labels, err := Load(t.Context(), data(t), t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer labels.Close()
	liar := NewLiar(1, labels.Others)
	s := &answer.Service{Index: labels.Index,
		Generator: func(context.Context) (inference.Generator, error) { return liar, nil },
		Entailer: func(context.Context) (inference.Entailer, error) {
			return answer.InPlainWords(support.Builtin()), nil
		}}
	n := 1000
	if raceEnabled || testing.Short() {
		n = 100
	}
	rep, err := Run(t.Context(), s, liar, labels.Questions, n)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	rep.Print(&b, 0)
	t.Log("\n" + b.String())
	truth := rep.Sum(func(k *Tally) bool { return k.True })
	lies := rep.Sum(func(k *Tally) bool { return !k.True })
	doses := rep.Sum(func(k *Tally) bool { return !k.True && k.Dose })
	if doses.Shown > 0 || doses.Written < n/4 {
		t.Errorf("%d of %d altered doses were shown", doses.Shown, doses.Written)
	}
	if lies.Written < 3*n || lies.Shown*20 > lies.Written {
		t.Errorf("%d of %d altered sentences were shown", lies.Shown, lies.Written)
	}
	if truth.Written < 3*n || (truth.Written-truth.Shown)*20 > truth.Written {
		t.Errorf("%d of %d true sentences were withheld", truth.Written-truth.Shown, truth.Written)
	}
	if rep.Leaked > 0 || rep.Again == 0 {
		t.Errorf("%d sentences leaked; %d answers were asked for again", rep.Leaked, rep.Again)
	}
}
