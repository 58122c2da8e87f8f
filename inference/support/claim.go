package support

import (
	"rxedge/inference/quantity"
)

// Features of a claim beside a window, by place. DESIGN.md says what each is for.
const (
	fRecall     = iota // share of the claim's weight that the window has
	fRecallHead        // the same with the heading
	fPlain             // share of its words
	fPairs             // share of its pairs of neighbours, by weight, that are near one another
	fRun               // longest run of the claim's words that stands in the window as it is
	fOrder             // longest common subsequence
	fMaxMissing        // weight of the heaviest word that is missing, of the greatest there is
	fMissing           // words missing
	fRare              // rare words missing
	fSoft              // fRecallHead with credit for words that begin alike
	fPrecision         // share of the window's weight that the claim has
	fClaimWords
	fWindowWords
	fClaimWeight
	fNumbers        // of the claim
	fNumbersMissing // of those, by value and unit
	fNumbersOther   // of the window that the claim has not
	fClaimNegs
	fWindowNegs
	fClaimForbids
	fWindowForbids
	fHeads       // words denied by one side and stated by the other
	fClaimDenies // where the window denies nothing
	fWindowDenies
	fDirection  // net direction of the claim times that of the window, denials turn it
	fClaimTurn  // net direction of the claim
	fWindowTurn //
	fExclusive  // words of the claim beside others that exclude them
	fFrequency  // of those, how often or by which way
	fDrugs      // medicines of the claim that are missing
	fBounds     // limits of the claim that lie on the other side
	fContext    // least agreement of words around a number of the claim
	fRival      // most that another number of the same unit agrees better
	fFirst      // share of the weight of the claim's first half that the window has
	fLast       // and of its second half
	fShort      // weight of missing words that an abbreviation stands for
	fFinds      // words of the window that report a finding
	fAims       // and an aim or a doubt
	fObject     // what the claim says is more or less, beside what the window says of it
	fTwice      // numbers that the claim states more often than the window, not as the part it is there, or beside another one's
	claimFeatures
)

// rareShare of the greatest weight: a word as rare names something.
const rareShare = 0.6

// around a number so many words are compared.
const around = 4

// heading beside a window; may be nil.
func (m *Model) claimFeatures(c, w, heading *text) []float32 {
	x := make([]float32, claimFeatures)
	n := float64(len(c.words))
	if n == 0 {
		return x
	}
	have, headed, soft, plain := 0.0, 0.0, 0.0, 0.0
	var missed []word
	seen := map[string]bool{}
	for _, v := range c.words {
		if seen[v.stem] {
			continue
		}
		seen[v.stem] = true
		switch {
		case w.has[v.stem] > 0:
			have += v.weight
			plain++
		case heading != nil && heading.has[v.stem] > 0:
			headed += v.weight
		default:
			soft += v.weight * alike(v.stem, w)
			missed = append(missed, v)
			x[fMissing]++
			x[fMaxMissing] = max(x[fMaxMissing], float32(v.weight/m.Words.Other))
			if v.weight >= rareShare*m.Words.Other {
				x[fRare]++
			}
			if v.drug {
				x[fDrugs]++
			}
		}
	}
	x[fRecall] = share(have, c.weight)
	x[fRecallHead] = share(have+headed, c.weight)
	x[fSoft] = share(have+headed+soft, c.weight)
	x[fPlain] = share(plain, float64(len(seen)))
	x[fPairs] = pairs(c, w)
	run, order := runs(c, w)
	x[fRun], x[fOrder] = share(float64(run), n), share(float64(order), n)
	common := 0.0
	for _, s := range w.stems {
		if c.has[s] > 0 {
			common += m.Words.weight(s)
		}
	}
	x[fPrecision] = share(common, w.weight)
	x[fClaimWords], x[fWindowWords] = float32(n), float32(len(w.words))
	x[fClaimWeight] = float32(c.weight / m.Words.Other)
	x[fFirst], x[fLast] = half(c.words[:(len(c.words)+1)/2], w), half(c.words[len(c.words)/2:], w)
	x[fShort] = share(abbreviated(missed, c, w), c.weight)
	x[fFinds], x[fAims] = float32(w.finds), float32(w.aims)
	x[fObject] = objects(c, w)
	denials(x, c, w)
	numbers(x, c, w)
	for g, k := range c.groups {
		if k == 0 || w.groups[g] > 0 {
			continue
		}
		for o := range w.groups {
			if exclusive[o] == exclusive[g] {
				x[fExclusive]++
				if frequency[exclusive[g]] {
					x[fFrequency]++
				}
				break
			}
		}
	}
	return x
}

// half is the share of some words' weight that the window has.
func half(words []word, w *text) float32 {
	got, all := 0.0, 0.0
	for _, v := range words {
		all += v.weight
		if w.has[v.stem] > 0 {
			got += v.weight
		}
	}
	return share(got, all)
}

// abbreviated gives the weight of missing words whose initials are an
// abbreviation of the window, or which begin as one does and have its letters in
// order.
func abbreviated(missed []word, c, w *text) (sum float64) {
	for _, a := range w.short {
		if c.has[a] > 0 {
			continue
		}
		for i := range missed {
			if i+len(a) <= len(missed) {
				all, weight := true, 0.0
				for k := range len(a) {
					all = all && missed[i+k].stem[0] == a[k]
					weight += missed[i+k].weight
				}
				if all {
					sum += weight
					break
				}
			}
			if s := missed[i].stem; len(s) > 2*len(a) && s[0] == a[0] {
				k := 0
				for j := 0; j < len(s) && k < len(a); j++ {
					if s[j] == a[k] {
						k++
					}
				}
				if k == len(a) {
					sum += missed[i].weight
					break
				}
			}
		}
	}
	return sum
}

// objects compares what is said to be more or less: over the words of direction
// in the claim, the sum of +1 where the window's word of direction beside the
// same words points the same way and −1 where it points the other, by how much of
// those words agree.
func objects(c, w *text) (sum float32) {
	for _, a := range c.marks {
		best, turn := 0.0, 0.0
		for _, b := range w.marks {
			if v := beside(c, a, w, b); v > best {
				best, turn = v, a.turn*b.turn
			}
		}
		sum += float32(best * turn)
	}
	return sum
}

// beside is the share of the weight of the words around a mark that also stand
// around another, the marks' own words left out.
func beside(c *text, a mark, w *text, b mark) float64 {
	got, all := 0.0, 0.0
	for i := max(0, a.at-3); i < min(len(c.words), a.at+5); i++ {
		v := c.words[i]
		all += v.weight
		for j := max(0, b.at-3); j < min(len(w.words), b.at+5); j++ {
			if w.words[j].stem == v.stem {
				got += v.weight
				break
			}
		}
	}
	if all == 0 {
		return 0
	}
	return got / all
}

func share(of, all float64) float32 {
	if all == 0 {
		return 0
	}
	return float32(of / all)
}

// frequency names the groups that say how often and by which way a medicine is
// given: there, another word is another dose.
var frequency = set("once daily oral")

// alike gives the credit of a missing stem for the word of the window that
// begins most like it: infect, infecti.
func alike(stem string, w *text) float64 {
	if len(stem) < 5 {
		return 0
	}
	best := 0
	for i := range w.words {
		o := w.words[i].stem
		k := 0
		for k < len(stem) && k < len(o) && stem[k] == o[k] {
			k++
		}
		if k >= 4 && 2*k > max(len(stem), len(o)) {
			best = max(best, k)
		}
	}
	return float64(best) / float64(len(stem))
}

// pairs gives the share, by weight, of the claim's neighbours that are within
// three words of one another in the window.
func pairs(c, w *text) float32 {
	got, all := 0.0, 0.0
	for i := 1; i < len(c.words); i++ {
		a, b := c.words[i-1], c.words[i]
		weight := a.weight + b.weight
		all += weight
		if w.has[a.stem] == 0 || w.has[b.stem] == 0 {
			continue
		}
	search:
		for j := range w.words {
			if w.words[j].stem != a.stem {
				continue
			}
			for k := max(0, j-3); k < min(len(w.words), j+4); k++ {
				if w.words[k].stem == b.stem {
					got += weight
					break search
				}
			}
		}
	}
	return share(got, all)
}

// runs gives the longest common run of words and the longest common subsequence.
func runs(c, w *text) (run, order int) {
	ends, length := make([]int, len(w.words)+1), make([]int, len(w.words)+1)
	for i := range c.words {
		end, diagonal := 0, 0 // of the row above, one to the left
		for j := range w.words {
			up, len1 := ends[j+1], length[j+1]
			if c.words[i].stem == w.words[j].stem {
				ends[j+1], length[j+1] = end+1, diagonal+1
				run = max(run, end+1)
			} else {
				ends[j+1], length[j+1] = 0, max(len1, length[j])
			}
			end, diagonal = up, len1
		}
	}
	return run, length[len(w.words)]
}

// denials compares what is denied.
func denials(x []float32, c, w *text) {
	x[fClaimNegs], x[fWindowNegs] = float32(c.negs), float32(w.negs)
	x[fClaimForbids], x[fWindowForbids] = float32(c.forbids), float32(w.forbids)
	x[fHeads] = float32(otherwise(c, w) + otherwise(w, c))
	claim, window := c.negs+c.forbids > 0, w.negs+w.forbids > 0
	if claim && !window {
		x[fClaimDenies] = 1
	}
	if window && !claim {
		x[fWindowDenies] = 1
	}
	ct, wt := turn(c), turn(w)
	x[fClaimTurn], x[fWindowTurn], x[fDirection] = ct, wt, ct*wt
}

// otherwise counts the words that a denies and b states.
func otherwise(a, b *text) (n int) {
	for _, h := range a.heads {
		if b.has[h] == 0 {
			continue
		}
		stated := true
		for i := range b.words {
			if b.words[i].stem == h && b.words[i].negated {
				stated = false
			}
		}
		if stated {
			n++
		}
	}
	return n
}

// turn is 1 for a text of more, −1 for one of less, 0 for neither or both; a
// denial turns it round.
func turn(t *text) float32 {
	v := float32(0)
	switch {
	case t.up > t.down:
		v = 1
	case t.down > t.up:
		v = -1
	}
	if t.negs%2 == 1 {
		v = -v
	}
	return v
}

// missing counts the numbers of a that b does not state.
func missing(a, b *text) (n int) {
	for _, v := range a.numbers {
		found := lone(a, v)
		for _, o := range b.numbers {
			found = found || quantity.Same(v, o)
		}
		if !found {
			n++
		}
	}
	return n
}
