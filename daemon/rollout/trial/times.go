package trial

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// growth of the cells of Times: a quantile is right within 5 %.
const growth = 1.1

// Times is a sketch of durations: counts in cells that grow by a tenth (the idea of
// DDSketch: Masson, Rim and Lee 2019). Two sketches are merged by adding counts.
type Times struct{ cells map[int]int }

func (t Times) clone() Times { return Times{maps.Clone(t.cells)} }

// Add a duration; what is under a tenth of a millisecond counts as that.
func (t *Times) Add(d time.Duration) {
	if t.cells == nil {
		t.cells = map[int]int{}
	}
	x := max(float64(d)/float64(100*time.Microsecond), 1)
	t.cells[int(math.Ceil(math.Log(x)/math.Log(growth)))]++
}

// Quantile q of them, within 5 %; 0 of none.
func (t *Times) Quantile(q float64) time.Duration {
	n := 0
	for _, c := range t.cells {
		n += c
	}
	if n == 0 {
		return 0
	}
	at := int(math.Ceil(q * float64(n)))
	for _, k := range slices.Sorted(maps.Keys(t.cells)) {
		if at -= t.cells[k]; at <= 0 {
			return time.Duration(2 * math.Pow(growth, float64(k)) / (growth + 1) * float64(100*time.Microsecond))
		}
	}
	return 0
}

// MarshalJSON gives the counts by cell.
func (t Times) MarshalJSON() ([]byte, error) {
	if t.cells == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(t.cells)
}

// UnmarshalJSON reads them.
func (t *Times) UnmarshalJSON(b []byte) error {
	t.cells = map[int]int{}
	if err := json.Unmarshal(b, &t.cells); err != nil {
		return err
	}
	for k, n := range t.cells {
		if n < 0 || k < 0 || k > 1000 {
			return fmt.Errorf("a sketch of times has %d in cell %d", n, k)
		}
	}
	return nil
}
