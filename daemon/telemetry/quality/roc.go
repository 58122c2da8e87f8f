package quality

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Point of a ROC curve: what is decided where a score is Threshold or more. Nil is
// undefined.
type Point struct {
	Threshold float64  `json:"threshold"`
	TPR       float64  `json:"tpr"`
	FPR       float64  `json:"fpr"`
	PPV       *float64 `json:"ppv"`
	F1        float64  `json:"f1"`
	// J is Youden's: TPR − FPR.
	J float64 `json:"j"`
}

// Thresholds of a score, and what the best are.
type Thresholds struct {
	N         int     `json:"n"`
	Positives int     `json:"positives"`
	AUC       float64 `json:"auc"`
	// Youden has the largest J, F1 the largest F1, MaxFPR the largest TPR with no
	// more false positives than were asked for (nil where no threshold has). Of
	// equals the highest threshold.
	Youden Point   `json:"youden"`
	F1     Point   `json:"f1"`
	MaxFPR *Point  `json:"max_fpr"`
	Curve  []Point `json:"curve"` // a point for each score, the highest first
}

// ROC gives the thresholds of scores for outcomes (Fawcett 2006, algorithm 1); it is
// an error where one class is missing.
func ROC(scores []float64, positive []bool, maxFPR float64) (Thresholds, error) {
	auc, err := AUC(scores, positive)
	if err != nil {
		return Thresholds{}, err
	}
	t := Thresholds{N: len(scores), AUC: auc}
	at := make([]int, len(scores))
	for i := range at {
		at[i] = i
		if positive[i] {
			t.Positives++
		}
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	p, n := float64(t.Positives), float64(t.N-t.Positives)
	tp, fp := 0.0, 0.0
	for i := 0; i < len(at); {
		s := scores[at[i]]
		for ; i < len(at) && scores[at[i]] == s; i++ {
			if positive[at[i]] {
				tp++
			} else {
				fp++
			}
		}
		ppv := tp / (tp + fp)
		x := Point{Threshold: s, TPR: tp / p, FPR: fp / n, PPV: &ppv, F1: 2 * tp / (tp + fp + p), J: tp/p - fp/n}
		t.Curve = append(t.Curve, x)
		if len(t.Curve) == 1 || x.J > t.Youden.J {
			t.Youden = x
		}
		if len(t.Curve) == 1 || x.F1 > t.F1.F1 {
			t.F1 = x
		}
		if x.FPR <= maxFPR && (t.MaxFPR == nil || x.TPR > t.MaxFPR.TPR) {
			t.MaxFPR = &x
		}
	}
	return t, nil
}

// ReadScores reads two columns of a CSV with a header: a number, and an outcome of 0
// or 1. The error names the line and the column.
func ReadScores(r io.Reader, score, label string) (scores []float64, positive []bool, err error) {
	err = columns(r, []string{score, label}, func(place func(int) string, row []string) error {
		v, err := strconv.ParseFloat(strings.TrimSpace(row[0]), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: %.40q is no number", place(0), row[0])
		}
		yes, ok := outcome(row[1])
		if !ok {
			return fmt.Errorf("%s: %.40q is neither 0 nor 1", place(1), row[1])
		}
		scores, positive = append(scores, v), append(positive, yes)
		return nil
	})
	return scores, positive, err
}

func outcome(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "true", "yes", "1.0":
		return true, true
	case "0", "false", "no", "0.0":
		return false, true
	}
	return false, false
}

// ReadRatings reads two columns of a CSV with a header: what two raters said of the
// same items. Rows in which either is empty are passed over and counted.
func ReadRatings(r io.Reader, a, b string) (as, bs []string, skipped int, err error) {
	err = columns(r, []string{a, b}, func(_ func(int) string, row []string) error {
		x, y := strings.TrimSpace(row[0]), strings.TrimSpace(row[1])
		if x == "" || y == "" {
			skipped++
			return nil
		}
		as, bs = append(as, x), append(bs, y)
		return nil
	})
	return as, bs, skipped, err
}

// columns calls each with the named columns of every row; place says where one is.
func columns(r io.Reader, names []string, each func(place func(i int) string, row []string) error) error {
	cr := csv.NewReader(r)
	head, err := cr.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty; its first line names the columns")
	}
	if err != nil {
		return err
	}
	if len(head) > 0 {
		head[0] = strings.TrimPrefix(head[0], "\ufeff")
	}
	at := make([]int, len(names))
	for i, n := range names {
		if at[i] = slices.Index(head, n); at[i] < 0 {
			return fmt.Errorf("there is no column %q; the columns are %s", n, strings.Join(head, ", "))
		}
	}
	row := make([]string, len(names))
	any := false
	for {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i, k := range at {
			row[i] = rec[k]
		}
		any = true
		if err := each(func(i int) string {
			line, col := cr.FieldPos(at[i])
			return fmt.Sprintf("line %d, column %d (%s)", line, col, names[i])
		}, row); err != nil {
			return err
		}
	}
	if !any {
		return errors.New("the file has no rows below its header")
	}
	return nil
}
