package dense

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

// endsAfter is a context that is cancelled once it was asked some times.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A build that is cancelled, wherever it is, says so.
func TestCancelledBuild(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	rows := make([][]float32, 1500)
	for i := range rows {
		rows[i] = make([]float32, 64)
		for j := range rows[i] {
			rows[i][j] = float32(r.NormFloat64())
		}
		if err := Normalise(rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, lists := range []int{1, 20} {
		for left := 0; ; left++ {
			_, err := Build(&endsAfter{t.Context(), left}, 64, len(rows), func(i int) []float32 { return rows[i] }, BuildOptions{Workers: 1, Lists: lists, heldOut: 32})
			if err == nil {
				if left < 10 {
					t.Fatalf("%d lists: the context was asked %d times", lists, left)
				}
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%d lists, after %d: %v", lists, left, err)
			}
			if left > 40 {
				left += 4
			}
		}
	}
}
