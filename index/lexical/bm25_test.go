package lexical

import (
	"testing"

	"pgregory.net/rapid"
)

// Impacts bound what a posting adds, also with parameters and a mean length
// that were not known when they were written.
func TestImpactsAreBounds(t *testing.T) {
	t.Parallel()
	params := rapid.Custom(func(t *rapid.T) Params {
		return Params{
			K1: rapid.Float64Range(0, 5).Draw(t, "k1"), B: rapid.Float64Range(0, 1).Draw(t, "b"),
			Heading: rapid.SampledFrom([]float64{0, .3, 1, 2, 5}).Draw(t, "heading"), Title: rapid.SampledFrom([]float64{0, .5, 1, 2, 7}).Draw(t, "title"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		then, now := params.Draw(t, "then"), params.Draw(t, "now")
		thenMean, nowMean := rapid.Float64Range(.5, 900).Draw(t, "mean"), rapid.Float64Range(.5, 900).Draw(t, "mean now")
		var tf, length Counts
		for f := range tf {
			tf[f] = uint32(rapid.IntRange(0, 40).Draw(t, "tf"))
			length[f] = tf[f] + uint32(rapid.IntRange(0, 2000).Draw(t, "others"))
		}
		if tf == (Counts{}) {
			tf[Text], length[Text] = 1, length[Text]+1
		}
		for _, longest := range []float64{1, 3} { // the passage itself, or another
			low, high := bounds(then, thenMean, now, nowMean, longest*then.pool(length))
			m := float64(then.impact(tf, then.normBelow(length, thenMean)))
			if got := now.share(tf, now.norm(length, nowMean)); got > high*m || got < low*(m-1) {
				t.Fatalf("share %v, bounds %v and %v", got, low*(m-1), high*m)
			}
		}
	})
}
