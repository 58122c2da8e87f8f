package lexical

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Completion is a term that begins with what was typed.
type Completion struct {
	Term     string
	Passages int // live ones that have it in any field
}

// mostCompletions are looked at in each segment: those that most of its passages
// have, withdrawn ones included.
const mostCompletions = 32

// Complete gives the terms that begin with a prefix, folded as terms are, those
// of most live passages first, of equal ones in alphabetical order; no more than
// n, and those among the 32 most frequent of a segment alone. Terms with digits
// are left out unless the prefix has one: doses begin like many words. An error
// is ErrDamaged.
func (s *Searcher) Complete(prefix string, n int) ([]Completion, error) {
	var out []Completion
	for i := range s.parts {
		terms, err := s.parts[i].Segment.complete(prefix)
		if err != nil {
			return nil, err
		}
		for _, t := range terms {
			if !slices.ContainsFunc(out, func(c Completion) bool { return c.Term == t.Term }) {
				out = append(out, Completion{Term: t.Term})
			}
		}
	}
	for i := range out {
		out[i].Passages = s.DocumentFrequency(out[i].Term)
	}
	out = slices.DeleteFunc(out, func(c Completion) bool { return c.Passages == 0 })
	slices.SortFunc(out, compareCompletions)
	return out[:min(n, len(out))], nil
}

func compareCompletions(a, b Completion) int {
	return cmp.Or(cmp.Compare(b.Passages, a.Passages), strings.Compare(a.Term, b.Term))
}

// A prefix of one or two bytes begins a good part of a dictionary, and all who
// type begin with one: what a large segment has is kept.
const (
	keptPrefix = 2
	keptFrom   = 1 << 12 // terms of the segment
)

// complete gives the most frequent terms of the segment that begin with a prefix.
func (s *Segment) complete(prefix string) ([]Completion, error) {
	keep := len(prefix) <= keptPrefix && s.Terms() >= keptFrom
	if keep {
		if kept, ok := s.short.Load(prefix); ok {
			return kept.([]Completion), nil
		}
	}
	var best []Completion
	least := 0
	digits := strings.ContainsAny(prefix, "0123456789")
	cut := func() {
		slices.SortFunc(best, compareCompletions)
		if len(best) >= mostCompletions {
			best = best[:mostCompletions]
			least = best[mostCompletions-1].Passages
		}
	}
	first := max(0, s.blobOf(prefix))
blobs:
	for i := first; i < len(s.blobs); i++ {
		b := &s.blobs[i]
		from := uint32(0)
		if i == first {
			from = uint32(sort.Search(int(b.n), func(j int) bool {
				t, _ := b.entry(uint32(j))
				return string(t) >= prefix
			}))
		}
		for j := from; j < b.n; j++ {
			t, postings := b.entry(j)
			if t == nil || len(postings) < 4 {
				return nil, s.damaged(i, string(t))
			}
			if len(t) < len(prefix) || string(t[:len(prefix)]) != prefix {
				break blobs
			}
			df := int(binary.LittleEndian.Uint32(postings))
			if df <= least || !digits && slices.ContainsFunc(t, func(c byte) bool { return c-'0' <= 9 }) {
				continue
			}
			if best = append(best, Completion{string(t), df}); len(best) == 4*mostCompletions {
				cut()
			}
		}
	}
	cut()
	if keep {
		s.short.Store(strings.Clone(prefix), best)
	}
	return best, nil
}

// Having calls fn with the live passages that have a term in any field, in
// order, until it says no. An error is ErrDamaged.
func (s *Searcher) Having(term string, fn func(passage uint32) bool) error {
	hash := hashTerm(term)
	for i := range s.parts {
		p := &s.parts[i]
		e, at, err := p.Segment.find(term, hash)
		if err != nil {
			return err
		}
		more := true
		for b := 0; b < e.blocks && more; b++ {
			var k block
			if !e.open(b, &k) || !k.each(func(_ int, doc uint32) bool {
				more = int64(doc) >= int64(p.Segment.Passages()) || p.Dead.Has(doc) || fn(p.Base+doc)
				return more
			}) {
				return p.Segment.damaged(at.blob, term)
			}
		}
		if !more {
			return nil
		}
	}
	return nil
}

// Prefix of a word as terms begin: folded. "" where it is no word.
func Prefix(typed string) string {
	if r, _ := utf8.DecodeRuneInString(typed); !startsWord(typed) || r == utf8.RuneError {
		return ""
	}
	return fold(typed, &english)
}

// Spelling gives the word that a passage writes most often for a term and that
// begins, folded, with a prefix; "" where it has none. Words come folded, as they
// are searched.
func (a *Analyzer) Spelling(p Passage, term, prefix string) string {
	if prefix == "" {
		return ""
	}
	l := languageOf(p.Language)
	count := map[string]int{}
	best := ""
	for f := range fields {
		text := p.field(f)
		eachToken(text, func(start, end int) {
			w := text[start:end]
			if w[0] < utf8.RuneSelf && w[0]|0x20 != prefix[0]|0x20 {
				return
			}
			if w = fold(w, l); !strings.HasPrefix(w, prefix) {
				return
			}
			if n, known := count[w]; !known {
				if !slices.Contains(a.appendWord(nil, w, l), term) {
					count[w] = -1
					return
				}
			} else if n < 0 {
				return
			}
			count[w]++
			if best == "" || count[w] > count[best] || count[w] == count[best] && w < best {
				best = w
			}
		})
	}
	return best
}

// Stems that a word may be the beginning of beside the terms that begin with it:
// "impairm" is of impair, "therapy" of therapi. Shorter by up to eight letters (-ications).
func (a *Analyzer) Stems(prefix string) []string {
	var out []string
	if s := a.stem(prefix, &english); !strings.HasPrefix(s, prefix) {
		out = append(out, s)
	}
	for n := len(prefix) - 1; n >= max(3, len(prefix)-8); n-- {
		if s := prefix[:n]; utf8.RuneStart(prefix[n]) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
