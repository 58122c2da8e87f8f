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

// search is that of the snapshot's words for passages with the phrases. The best
// passages that have all their words are read until there are enough.
func (p *phrases) search(ctx context.Context, words *lexical.Searcher, q lexical.Query) ([]lexical.Scored, error) {
	if p == nil {
		return words.Search(q)
	}
	want := q.K
	q.Must = p.must
	for q.K *= 2; ; q.K *= 4 {
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
	text, err := p.s.view.Indexed(passage)
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
