package support

import (
	"math"
	"strings"

	"rxedge/inference/quantity"
)

// numbers compares numbers by value and unit, the limits that they set, and the
// words around them.
func numbers(x []float32, c, w *text) {
	x[fNumbers] = float32(len(c.numbers))
	x[fContext] = 1
	for _, n := range c.numbers {
		if lone(c, n) {
			continue
		}
		found, whole, best, rival := false, false, 0.0, 0.0
		for _, o := range w.numbers {
			if n.Unit != "" && o.Unit != "" && n.Unit != o.Unit && !quantity.Same(n, o) {
				continue
			}
			a := agree(c, n, w, o)
			if quantity.Same(n, o) {
				found, best = true, math.Max(best, a)
				whole = whole || samePart(c, n, w, o)
			} else {
				rival = math.Max(rival, a)
			}
		}
		if !found {
			x[fNumbersMissing]++
			continue
		}
		if !whole || n.Unit != "" && times(c, n) > times(w, n) {
			x[fTwice]++
		}
		x[fContext] = min(x[fContext], float32(best))
		x[fRival] = max(x[fRival], float32(rival-best))
	}
	if mixed(c, w) {
		x[fTwice]++
	}
	for _, o := range w.numbers {
		other := true
		for _, n := range c.numbers {
			other = other && !quantity.Same(n, o)
		}
		if other {
			x[fNumbersOther]++
		}
	}
	for _, b := range c.bounds {
		side, opposite := false, false
		for _, o := range w.bounds {
			if o.Unit != b.Unit {
				continue
			}
			switch {
			case limit(b.Low) && (near(b.Low, o.Low) || !limit(o.Low) && near(b.Low, o.High) && limit(b.High)), limit(b.High) && near(b.High, o.High):
				side = true
			case limit(b.Low) && near(b.Low, o.High), limit(b.High) && near(b.High, o.Low):
				opposite = true
			}
		}
		if opposite && !side {
			x[fBounds]++
		}
	}
}

// mixed says whether a claim takes one number from one sentence of a window and
// another from the next, though the next says another value in the first one's place:
// of "10 mg was given in 2 trials. 20 mg was given in 3 trials." it is wrong that 10 mg
// was given in 3.
//
// A splitter leaves sentences together where a list's letter or an abbreviation
// stands between them, so the window is cut at every full stop with a blank behind
// it as well. A claim that says both values is then of both sentences, and right.
func mixed(c, w *text) bool {
	if len(c.numbers) < 2 {
		return false
	}
	if w.seam > 0 && mixedAt(c, w, []int{0, w.seam}, false) {
		return true
	}
	starts := []int{0}
	for i := 0; i+2 < len(w.raw); i++ {
		if w.raw[i] == '.' && w.raw[i+1] == ' ' {
			starts = append(starts, i+2)
		}
	}
	return len(starts) > 1 && mixedAt(c, w, starts, true)
}

// mixedAt is mixed with sentences that begin at starts; guessed: that is no more
// than likely.
func mixedAt(c, w *text, starts []int, guessed bool) bool {
	own, rival := make([]float64, len(starts)), make([]float64, len(starts)) // by sentence
	for _, n := range c.numbers {
		if n.Unit == "" {
			continue
		}
		clear(own)
		clear(rival)
		for _, o := range w.numbers {
			at := sentenceOf(starts, o)
			switch a := agree(c, n, w, o); {
			case quantity.Same(n, o):
				own[at] = max(own[at], a)
			case o.Unit == n.Unit && (!guessed || !stated(c, o)):
				rival[at] = max(rival[at], a)
			}
		}
		// The sentence that the claim has the number from: the only one with it, or
		// where sentences are guessed the one that is clearly most alike.
		only, beside := 0, 0.0
		for i, a := range own {
			if a > own[only] {
				only = i
			}
		}
		sure := own[only] > 0
		for i, a := range own {
			if i != only && a > 0 && (!guessed || a >= own[only]-parallel) {
				sure = false
			}
		}
		if !sure {
			continue
		}
		for _, i := range []int{only - 1, only + 1} {
			if i >= 0 && i < len(rival) {
				beside = max(beside, rival[i])
			}
		}
		rivalled := beside >= own[only]-parallel && (beside > 0 || !guessed)
		for _, other := range c.numbers {
			if quantity.Same(n, other) || lone(c, other) {
				continue
			}
			as, parted := states(w, starts, only, c, other)
			// "2 of the 3" in the very sentence denies "each of the 3", whatever others say.
			if !as && (rivalled || parted) {
				return true
			}
		}
	}
	return false
}

// sentenceOf gives the sentence that a number is in.
func sentenceOf(starts []int, n quantity.Number) int {
	at := 0
	for at+1 < len(starts) && n.Start >= starts[at+1] {
		at++
	}
	return at
}

// stated says whether a text has a number.
func stated(t *text, n quantity.Number) bool {
	for _, o := range t.numbers {
		if quantity.Same(o, n) {
			return true
		}
	}
	return false
}

// states says whether one of the sentences of a window has a number of a claim as
// the claim has it; parted: as another part of as many.
func states(w *text, starts []int, sentence int, c *text, n quantity.Number) (as, parted bool) {
	for _, o := range w.numbers {
		if sentenceOf(starts, o) == sentence && quantity.Same(n, o) {
			same := samePart(c, n, w, o)
			as, parted = as || same, parted || !same
		}
	}
	return as, parted
}

// samePart says whether a claim has a number as a part of as many as the window has
// it: of "2 of the 3 trials" neither "3 trials" nor "each of the 3" may be said.
func samePart(c *text, n quantity.Number, w *text, o quantity.Number) bool {
	is, ok := part(w, o)
	if !ok {
		return true
	}
	said, ok := part(c, n)
	return ok && quantity.Same(said, is)
}

// part gives the number that is said of another: 2 of "2 of the 3".
func part(t *text, n quantity.Number) (quantity.Number, bool) {
	for i, o := range t.numbers {
		if i+1 < len(t.numbers) && t.numbers[i+1] == n && o.Unit == "" && o.UnitEnd <= n.Start {
			switch strings.Join(strings.Fields(strings.ToLower(t.raw[o.UnitEnd:n.Start])), " ") {
			case "of", "of the", "out of", "out of the", "of all", "of these":
				return o, true
			}
		}
	}
	return quantity.Number{}, false
}

// times is how often a text states a number.
func times(t *text, n quantity.Number) (k int) {
	for _, o := range t.numbers {
		if quantity.Same(n, o) {
			k++
		}
	}
	return k
}

func limit(v float64) bool { return !math.IsInf(v, 0) }

// lone says whether a number is the word "one" without a unit, which seldom
// counts anything.
func lone(t *text, n quantity.Number) bool {
	return n.Unit == "" && n.Value == 1 && n.End-n.Start == 3
}

// agree is the share of the claim's words around number n that also stand around
// number o of the window, on the same side of it: by weight, nearer words more, and
// less of a word that is farther off there than here. 1 where the claim has none.
func agree(c *text, n quantity.Number, w *text, o quantity.Number) float64 {
	got, all := 0.0, 0.0
	i, j := place(c, n), place(w, o)
	for k := max(0, i-around); k < min(len(c.words), i+around); k++ {
		v := c.words[k]
		off := max(i-1-k, k-i)
		weight := v.weight / float64(1+off)
		all += weight
		from, to := max(0, j-around), j
		if k >= i {
			from, to = j, min(len(w.words), j+around)
		}
		best := 0.0
		for l := from; l < to; l++ {
			if w.words[l].stem == v.stem {
				best = max(best, min(1, float64(1+off)/float64(1+max(j-1-l, l-j))))
			}
		}
		got += weight * best
	}
	if all == 0 {
		return 1
	}
	return got / all
}

// place gives the place of the first word behind a number.
func place(t *text, n quantity.Number) int {
	at := 0
	for at < len(t.words) && t.words[at].at < n.Start {
		at++
	}
	return at
}
