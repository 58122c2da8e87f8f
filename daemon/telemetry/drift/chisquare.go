package drift

import (
	"errors"
	"fmt"

	"gonum.org/v1/gonum/stat/distuv"
)

// ChiSquare tests whether the current counts come from the baseline's shares:
// Σ(O−E)²/E with E the baseline's share times the current total, k−1 degrees of
// freedom, k categories that the baseline has. A category that the baseline does
// not have was expected 0 times: seen once, p is 0 and the statistic is infinite,
// which is returned as undefined (ok false). One category alone is always as
// expected.
func ChiSquare(baseline, current []int64) (statistic float64, ok bool, p float64, err error) {
	if len(baseline) != len(current) || len(baseline) == 0 {
		return 0, false, 0, fmt.Errorf("%w: %d and %d", ErrBins, len(baseline), len(current))
	}
	var nb, nc float64
	for i := range baseline {
		if baseline[i] < 0 || current[i] < 0 {
			return 0, false, 0, errors.New("a count is negative")
		}
		nb, nc = nb+float64(baseline[i]), nc+float64(current[i])
	}
	if nb == 0 || nc == 0 {
		return 0, false, 0, errors.New("one side has no values")
	}
	k := 0
	for i := range baseline {
		if baseline[i] == 0 {
			if current[i] > 0 {
				return 0, false, 0, nil
			}
			continue
		}
		k++
		e := nc * float64(baseline[i]) / nb
		o := float64(current[i]) - e
		statistic += o * o / e
	}
	if k == 1 {
		return 0, true, 1, nil
	}
	return statistic, true, distuv.ChiSquared{K: float64(k - 1)}.Survival(statistic), nil
}
