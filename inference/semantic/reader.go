package semantic

import (
	"cmp"
	"slices"
	"strings"
)

// lexeme is a word as an adapted model sees it.
type lexeme struct {
	pieces  []int32 // none: nothing is known of the word
	learned int32   // −1: the indexed texts do not have it
	length  float32 // of its trained vector
}

// reader reads texts word by word and remembers the words. Not safe for
// concurrent use.
type reader struct {
	*stemmer
	a     *Adapted
	known map[string]*lexeme
	// Of the text that was read, sorted: a place for each occurrence.
	pieces  []int32
	learned []use
	words   []string
	lexemes []*lexeme
	// all and there are the lengths of all words, and of those that are learned.
	all, there float64
}

// use of a learned word.
type use struct {
	id     int32
	weight float32
}

// read a text. Where a phrase has clinical ways, those are read as if they stood
// there, and its own words count less.
func (r *reader) read(text string) {
	r.pieces, r.learned, r.all, r.there = r.pieces[:0], r.learned[:0], 0, 0
	r.words, r.lexemes = r.words[:0], r.lexemes[:0]
	r.each(text, func(word, stem string) {
		r.words, r.lexemes = append(r.words, word), append(r.lexemes, r.lexeme(word, stem))
	})
	within := 0 // words up to here are of a phrase
	for i, w := range r.lexemes {
		r.pieces = append(r.pieces, w.pieces...)
		r.all += float64(w.length)
		if i >= within {
			if p := r.a.phraseAt(r.words, i); p != nil {
				within = i + len(p.words)
				for k, id := range p.learned {
					r.learned = append(r.learned, use{id, p.weights[k]})
				}
			}
		}
		weight := float32(1)
		if i < within {
			weight = ofPhrase
		}
		if w.learned >= 0 {
			r.learned = append(r.learned, use{w.learned, weight})
		}
		if w.learned >= 0 || i < within {
			r.there += float64(w.length)
		}
	}
	slices.Sort(r.pieces)
	slices.SortFunc(r.learned, func(a, b use) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.weight, b.weight)) })
}

// covered is the part of the text that the indexed texts have, by the lengths of
// the words' trained vectors.
func (r *reader) covered() float64 {
	if r.all == 0 {
		return 1
	}
	return r.there / r.all
}

func (r *reader) lexeme(word, stem string) *lexeme {
	if w, ok := r.known[word]; ok {
		return w
	}
	w := &lexeme{learned: -1}
	if id, ok := r.a.words[stem]; ok {
		w.learned = id
	}
	ids := r.a.pieces.Encode(word)
	if len(ids) == 1 || w.learned >= 0 {
		v := make([]float32, r.a.header.Dimension)
		for _, id := range ids {
			if id != unknownPiece {
				w.pieces = append(w.pieces, int32(id))
				r.a.add(v, id, 1)
			}
		}
		w.length = Norm(v)
	}
	if len(r.known) < mostKnown {
		r.known[strings.Clone(word)] = w
	}
	return w
}

// counted calls fn with each number of a sorted list and how often it is there.
func counted(ids []int32, fn func(id int32, n int)) {
	for i := 0; i < len(ids); {
		id, n := ids[i], 1
		for i++; i < len(ids) && ids[i] == id; i++ {
			n++
		}
		fn(id, n)
	}
}
