package index

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"rxedge/index/lexical"
)

// Kinds of a suggestion.
const (
	SuggestMedicine = "medicine" // a name that documents are about
	SuggestWord     = "word"     // of passages
)

// Suggestion completes what was typed.
type Suggestion struct {
	Text  string `json:"text"`  // the whole query, completed
	Added string `json:"added"` // the word or name that stands for the last words typed
	Kind  string `json:"kind"`  // medicine or word
	// Documents that are about the medicine, or Passages that have the word in
	// one of its forms; the other is 0.
	Documents int `json:"documents,omitempty"`
	Passages  int `json:"passages,omitempty"`
}

// DefaultSuggestions is how many Suggest gives where none are asked for.
const DefaultSuggestions = 8

// nameWords is how many of the last words may begin a name.
const nameWords = 4

// Suggest completes the last word of what was typed: names of medicines that
// documents are about first, those of most documents first, then words, those
// of most passages first; k of them, 0: 8. Nothing is suggested for nothing.
func (s *Snapshot) Suggest(typed string, k int) ([]Suggestion, error) {
	if k <= 0 {
		k = DefaultSuggestions
	}
	out, err := s.suggestNames(typed, k)
	if err != nil || len(out) == k {
		return out, err
	}
	before, word := lastWord(typed)
	terms, err := s.completions(word, k+len(out))
	if err != nil {
		return nil, err
	}
	for _, t := range terms {
		if len(out) == k {
			break
		}
		whole := before + t.word
		if !slices.ContainsFunc(out, func(o Suggestion) bool { return o.Text == whole }) {
			out = append(out, Suggestion{Text: whole, Added: t.word, Kind: SuggestWord, Passages: t.Passages})
		}
	}
	return out, nil
}

// suggestNames tries the last words together first: "insulin gl" before "gl".
func (s *Snapshot) suggestNames(typed string, k int) ([]Suggestion, error) {
	lexicon, err := s.view.Lexicon()
	if err != nil {
		return nil, s.outcome("read the names", err)
	}
	for _, start := range wordStarts(typed, nameWords) {
		var out []Suggestion
		for _, n := range lexicon.Complete(typed[start:], k) {
			out = append(out, Suggestion{Text: typed[:start] + n.Name, Added: n.Name, Kind: SuggestMedicine, Documents: n.Documents})
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}

// wordStarts are where the last words begin, n of them at most, the farthest
// first.
func wordStarts(typed string, n int) (out []int) {
	in := false
	for i, r := range typed {
		word := !unicode.IsSpace(r)
		if word && !in {
			out = append(out, i)
		}
		in = word
	}
	return out[max(0, len(out)-n):]
}

// lastWord that is being typed, with what stands before it; "" after a space or
// a sign.
func lastWord(typed string) (before, word string) {
	i := len(typed)
	for i > 0 {
		r, n := utf8.DecodeLastRuneInString(typed[:i])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' && r != '’' {
			break
		}
		i -= n
	}
	return typed[:i], typed[i:]
}

// completion is a term with a word that passages write for it.
type completion struct {
	lexical.Completion
	word string
}

// spelt is how many passages are read to see how a term is written.
const spelt = 3

// completions of a word that is being typed, n at most.
func (s *Snapshot) completions(typed string, n int) ([]completion, error) {
	prefix := lexical.Prefix(typed)
	if prefix == "" {
		return nil, nil
	}
	words, analyzer := s.view.Lexical(), s.view.Analyzer()
	terms, err := words.Complete(prefix, n)
	if err != nil {
		return nil, s.outcome("read the words", err)
	}
	for _, stem := range analyzer.Stems(prefix) {
		if df := words.DocumentFrequency(stem); df > 0 {
			terms = append(terms, lexical.Completion{Term: stem, Passages: df})
		}
	}
	slices.SortStableFunc(terms, func(a, b lexical.Completion) int { return b.Passages - a.Passages })
	var out []completion
	for _, t := range terms {
		c := completion{Completion: t}
		left := spelt
		var failed error
		if err := words.Having(t.Term, func(p uint32) bool {
			text, err := s.view.Indexed(p)
			if err != nil {
				failed = err
				return false
			}
			c.word = analyzer.Spelling(text, t.Term, prefix)
			left--
			return c.word == "" && left > 0
		}); err != nil {
			failed = err
		}
		if failed != nil {
			return nil, s.outcome("read a passage", failed)
		}
		if c.word != "" && !slices.ContainsFunc(out, func(o completion) bool { return o.word == c.word }) {
			out = append(out, c)
		}
	}
	return out[:min(n, len(out))], nil
}

// prefixed is how many completions of the last word are searched.
const prefixed = 4

// completed is a query whose last word is being typed with what that may become:
// the one name of a medicine that it begins, or else the words it begins.
func (s *Snapshot) completed(typed string) (string, error) {
	names, err := s.suggestNames(typed, 2)
	if err != nil {
		return "", err
	}
	if len(names) == 1 {
		return names[0].Text, nil
	}
	before, word := lastWord(typed)
	terms, err := s.completions(word, prefixed)
	if err != nil || len(terms) == 0 {
		return typed, err
	}
	var b strings.Builder
	b.WriteString(before)
	for i, t := range terms {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.word)
	}
	return b.String(), nil
}
