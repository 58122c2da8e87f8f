package index

import (
	"context"
	"strings"
	"unicode/utf8"

	"rxedge/index/dense"
	"rxedge/index/lexical"
)

// phrases are what stands in double quotes in a query: a passage must have them,
// their words one after another. One word in quotes is no phrase: it is how
// people write a brand. nil: there are none.
type phrases struct {
	s     *Snapshot
	all   []*lexical.Phrase
	must  []string
	known map[uint32]bool // passages that were read
}

// mostPhrases of a query count.
const mostPhrases = 8

func (s *Snapshot) phrases(text string) *phrases {
	var p *phrases
	for _, q := range quoted(text) {
		ph := s.view.Analyzer().Phrase(q)
		if ph.Words() < 2 {
			continue
		}
		if p == nil {
			p = &phrases{s: s, known: map[uint32]bool{}}
		}
		if p.all = append(p.all, ph); len(p.all) == mostPhrases {
			break
		}
	}
	if p != nil {
		for _, ph := range p.all {
			p.must = append(p.must, ph.Terms()...)
		}
	}
	return p
}

// quoted gives what stands between double quotes, straight or typographic. An
// opening one without an end is no quote.
func quoted(text string) (out []string) {
	for text != "" {
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		closing := ""
		switch r {
		case '"':
			closing = `"`
		case '“':
			closing = `”"`
		case '„':
			closing = "“”"
		case '«':
			closing = "»"
		default:
			continue
		}
		if end := strings.IndexAny(text, closing); end >= 0 {
			out = append(out, text[:end])
			_, n := utf8.DecodeRuneInString(text[end:])
			text = text[end+n:]
		}
	}
	return out
}

// search is that of the snapshot's words for passages with the phrases. Where few
// passages are likely to have all the words, all of these are read, and those with
// the phrases searched. Else the best are read first; where too few of them have the
// words so, all after all.
func (p *phrases) search(ctx context.Context, words *lexical.Searcher, q lexical.Query) ([]lexical.Scored, error) {
	if p == nil {
		return words.Search(q)
	}
	want := q.K
	q.Must = p.must
	rounds := []int{2, 16, 128} // times the passages wanted
	if p.likely(words) < fewHave {
		rounds = nil
	}
	for _, times := range rounds {
		q.K = times * want
		found, err := words.Search(q)
		if err != nil {
			return nil, err
		}
		var out []lexical.Scored
		for _, f := range found {
			ok, err := p.in(ctx, f.Passage)
			if err != nil {
				return nil, err
			}
			if ok {
				if out = append(out, f); len(out) == want {
					return out, nil
				}
			}
		}
		if len(found) < q.K {
			return out, nil
		}
	}
	having := []lexical.Range{}
	var failed error
	err := words.Intersect(p.must, q.Within, func(passage uint32) bool {
		ok, err := p.in(ctx, passage)
		if failed = err; !ok {
			return err == nil
		}
		if n := len(having); n > 0 && having[n-1].End == passage {
			having[n-1].End++
		} else {
			having = append(having, lexical.Range{First: passage, End: passage + 1})
		}
		return true
	})
	if failed != nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	q.K, q.Must, q.Within = want, nil, having
	return words.Search(q)
}

// fewHave passages with all words are read in a millisecond or two.
const fewHave = 1500

// likely number of passages that have all words, were each where it is by chance.
func (p *phrases) likely(words *lexical.Searcher) float64 {
	total := float64(max(1, words.Passages()))
	n := total
	for _, t := range p.must {
		n *= float64(words.DocumentFrequency(t)) / total
	}
	return n
}

// in says whether a passage has all phrases.
func (p *phrases) in(ctx context.Context, passage uint32) (bool, error) {
	if p == nil {
		return true, nil
	}
	if has, ok := p.known[passage]; ok {
		return has, nil
	}
	// There can be many to read: nobody may wait for them any more.
	if err := ctx.Err(); err != nil {
		return false, err
	}
	text, err := p.s.view.Peek(passage)
	if err != nil {
		return false, err
	}
	has := true
	for _, ph := range p.all {
		has = has && ph.In(&text)
	}
	p.known[passage] = has
	return has, nil
}

// near keeps what vectors found that has the phrases.
func (p *phrases) near(ctx context.Context, hits []dense.Scored) ([]dense.Scored, error) {
	if p == nil {
		return hits, nil
	}
	var out []dense.Scored
	for _, h := range hits {
		ok, err := p.in(ctx, h.Passage)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, h)
		}
	}
	return out, nil
}
