package answer

import (
	"slices"
	"strings"
	"sync"
	"unicode"

	"rxedge/index"
)

// subjects knows the medicines that the documents of one generation are about.
type subjects struct {
	generation string
	documents  map[string][]string // name in lower case → document ids
	longest    int                 // words in a name
}

// names keeps the subjects of the generation that serves.
type names struct {
	mu  sync.Mutex
	now *subjects
}

func (n *names) of(snap *index.Snapshot) (*subjects, error) {
	gen := snap.Generation().Name
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now != nil && n.now.generation == gen {
		return n.now, nil
	}
	docs, err := snap.Documents()
	if err != nil {
		return nil, err
	}
	s := &subjects{generation: gen, documents: map[string][]string{}}
	for _, d := range docs {
		for _, name := range d.Names {
			s.add(name.Text, d.ID)
		}
	}
	n.now = s
	return s, nil
}

// add takes a name, and the first word of a longer one: "metformin
// hydrochloride" is asked for as "metformin".
func (s *subjects) add(name, id string) {
	ws := nameWords(name)
	if len(ws) == 0 {
		return
	}
	full := strings.Join(ws, " ")
	keys := []string{full}
	if len(ws) > 1 && len(ws[0]) >= 5 && !plainWords[ws[0]] {
		keys = append(keys, ws[0])
	}
	for _, k := range keys {
		if !slices.Contains(s.documents[k], id) {
			s.documents[k] = append(s.documents[k], id)
		}
	}
	s.longest = max(s.longest, len(ws))
}

// plainWords begin a product's name without naming it.
var plainWords = map[string]bool{"children": true, "extra": true, "maximum": true, "regular": true, "strength": true, "sodium": true,
	"potassium": true, "calcium": true, "magnesium": true, "night": true, "severe": true, "multi": true, "adult": true}

// covers says whether each medicine that the claim names is the one that the
// document is about, or is named in the evidence itself.
func (s *subjects) covers(claim, document, evidence string) bool {
	var said string
	ok := true
	s.each(claim, func(name string, documents []string) {
		if slices.Contains(documents, document) {
			return
		}
		if said == "" {
			said = " " + strings.Join(nameWords(evidence), " ") + " "
		}
		ok = ok && strings.Contains(said, " "+name+" ")
	})
	return ok
}

// each calls f with every known name in the text, and its documents.
func (s *subjects) each(text string, f func(name string, documents []string)) {
	ws := nameWords(text)
	for i := range ws {
		for n := 1; n <= s.longest && i+n <= len(ws); n++ {
			name := strings.Join(ws[i:i+n], " ")
			if ids := s.documents[name]; ids != nil {
				f(name, ids)
			}
		}
	}
}

// find returns the ids of the documents about medicines that the text names.
func (s *subjects) find(text string) map[string]bool {
	found := map[string]bool{}
	s.each(text, func(_ string, ids []string) {
		for _, id := range ids {
			found[id] = true
		}
	})
	return found
}

func nameWords(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// prefer puts the passages of the medicines asked about before the others, in
// the order the search gave them.
func prefer(hits []index.Hit, about map[string]bool) []index.Hit {
	if len(about) == 0 {
		return hits
	}
	out := make([]index.Hit, 0, len(hits))
	for _, first := range []bool{true, false} {
		for _, h := range hits {
			if about[h.SetID] == first {
				out = append(out, h)
			}
		}
	}
	return out
}
