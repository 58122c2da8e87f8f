package answer

import "rxedge/index"

// lexicon lets extract and bind see words as the index does.
type lexicon struct{ snap *index.Snapshot }

// memo is the memory of one question: sentences and passages are cut into words once, however
// often they are looked at. Not safe for concurrent use.
type memo struct {
	lexicon
	terms map[string][]string
}

func remember(snap *index.Snapshot) memo { return memo{lexicon{snap}, map[string][]string{}} }

func (m memo) Terms(text string) []string {
	t, ok := m.terms[text]
	if !ok {
		t = m.lexicon.Terms(text)
		m.terms[text] = t
	}
	return t
}

func (l lexicon) Terms(text string) []string { return l.snap.Terms(text) }

func (l lexicon) Weight(t string) float64 { return l.snap.IDF(t) }

func (l lexicon) Known(t string) bool { return l.snap.DocumentFrequency(t) > 0 }
