package names

import (
	"cmp"
	"slices"
	"strings"
)

// Weights of expansions beside a typed word.
const (
	weightOwn    = 1.0  // the name that a document of the medicine goes by
	weightName   = 0.6  // another name of it
	weightClass  = 0.35 // its class
	weightMember = 0.25 // a medicine of a class that is named
)

// maxNames of a medicine and maxMembers of a class are searched.
const (
	maxNames   = 4
	maxMembers = 12
)

// Parts of a reading that can be left out, to measure what each is worth.
type Parts struct{ NoNames, NoSpelling, NoShorthand, NoSections bool }

// Read reads a question. known says whether a word (lower case) stands in the
// documents; such a word is never taken for a misspelling. It is deterministic.
func (l *Lexicon) Read(question string, known func(word string) bool) Reading {
	return l.ReadParts(question, known, Parts{})
}

// ReadParts is Read with parts left out.
func (l *Lexicon) ReadParts(question string, known func(word string) bool, without Parts) Reading {
	r := reader{l: l, text: question, ts: tokens(question), known: known, without: without}
	r.taken = make([]bool, len(r.ts))
	if !without.NoNames {
		r.medicines()
	}
	if !without.NoShorthand {
		r.shorthand()
	}
	if !without.NoNames && !without.NoSpelling {
		r.misspelt()
	}
	r.expandSubjects()
	if !without.NoSections {
		r.sections()
	}
	r.tidy()
	return r.Reading
}

type reader struct {
	Reading
	l       *Lexicon
	text    string
	ts      []token
	taken   []bool
	known   func(string) bool
	without Parts
	ids     []named // beside Subjects
}

// named is what a subject stands for.
type named struct {
	medicines []ref
	classes   []int32
}

// key of tokens i to j.
func (r *reader) key(i, j int) string {
	if j-i == 1 {
		return r.ts[i].word
	}
	var b strings.Builder
	for k := i; k < j; k++ {
		if k > i {
			b.WriteByte(' ')
		}
		b.WriteString(r.ts[k].word)
	}
	return b.String()
}

// tight says that nothing but space, hyphen, slash, point or apostrophe stands
// between the tokens: they may be one name.
func (r *reader) tight(i, j int) bool {
	for k := i; k+1 < j; k++ {
		gap := r.text[r.ts[k].end:r.ts[k+1].start]
		if len(gap) > 3 || strings.Trim(gap, " -/.'’®™#") != "" {
			return false
		}
	}
	return true
}

func (r *reader) free(i, j int) bool {
	for k := i; k < j; k++ {
		if r.taken[k] {
			return false
		}
	}
	return true
}

func (r *reader) take(i, j int) {
	for k := i; k < j; k++ {
		r.taken[k] = true
	}
}

// medicines finds names and classes, the longest first at each place.
func (r *reader) medicines() {
	for i := 0; i < len(r.ts); i++ {
		t := &r.ts[i]
		t.names = r.l.longest(t.word)
		most := t.names
		if s := singular(t.word); most == 0 && s != "" {
			most = min(1, r.l.longest(s))
		}
		for n := min(most, len(r.ts)-i); n > 0; n-- {
			if !r.free(i, i+n) || !r.tight(i, i+n) {
				continue
			}
			k := r.key(i, i+n)
			ids, _ := r.l.named(k)
			classes := r.l.byClass[k]
			if s := singular(k); ids == nil && classes == nil && s != "" {
				ids, _ = r.l.named(s)
			}
			if ids == nil && classes == nil || r.ambiguous(k, i, n) {
				continue
			}
			if ids != nil {
				r.subject(i, i+n, ids, false)
			} else {
				r.class(i, i+n, classes)
			}
			i += n - 1
			break
		}
	}
}

// singular of a key that may be a plural; "" where it can't be one.
func singular(k string) string {
	if len(k) > minSpelling && k[len(k)-1] == 's' {
		return k[:len(k)-1]
	}
	return ""
}

// ambiguous: two letters are a name only in capitals, an English word only with
// a capital.
func (r *reader) ambiguous(k string, i, n int) bool {
	return n == 1 && (len(k) <= 2 && !r.ts[i].upper || wordNames[k] && !r.ts[i].capital)
}

func (r *reader) subject(i, j int, ids []ref, spelling bool) {
	m := r.l.med(ids[0])
	s := Subject{Asked: r.text[r.ts[i].start:r.ts[j-1].end], Start: r.ts[i].start, End: r.ts[j-1].end,
		Name: m.name, Spelling: spelling, Substance: m.substance}
	for n, id := range ids {
		docs := r.l.documents(id)
		if n == 0 {
			s.Refs = docs
		} else {
			s.Refs = unite(s.Refs, docs)
		}
	}
	r.add(s, named{medicines: ids})
	r.take(i, j)
}

// unite adds those of more that are not in docs.
func unite(docs, more []DocRef) []DocRef {
	seen := make(map[DocRef]bool, len(docs)+len(more))
	for _, d := range docs {
		seen[d] = true
	}
	for _, d := range more {
		if !seen[d] {
			seen[d] = true
			docs = append(docs, d)
		}
	}
	return docs
}

func (r *reader) add(s Subject, of named) {
	if len(s.Refs) > 0 {
		s.Documents = make([]string, len(s.Refs))
		for i, d := range s.Refs {
			s.Documents[i] = r.l.id(d)
		}
	}
	r.Subjects = append(r.Subjects, s)
	r.ids = append(r.ids, of)
}

func (r *reader) class(i, j int, classes []int32) {
	s := Subject{Asked: r.text[r.ts[i].start:r.ts[j-1].end], Start: r.ts[i].start, End: r.ts[j-1].end, Class: true}
	for n, c := range classes {
		id := r.l.classes[c].id
		if n == 0 {
			s.Name = id
		}
		for _, m := range r.l.members[id] {
			s.Refs = append(s.Refs, r.l.covered(m, false)...)
		}
	}
	r.l.byID(s.Refs)
	s.Refs = slices.Compact(s.Refs)
	r.add(s, named{classes: classes})
	r.take(i, j)
}

// misspelt finds words that are nearly a medicine's name. A word that the
// documents have, or that is ordinary, is left alone, and so is one that may
// be more than one medicine: a wrong medicine is the worst mistake.
func (r *reader) misspelt() {
	for i, t := range r.ts {
		if r.taken[i] || t.digits || edits(len(t.word)) == 0 || r.l.plain(t.word) {
			continue
		}
		if t.names > 0 {
			if _, isName := r.l.named(t.word); isName {
				continue
			}
		}
		if r.known != nil && r.known(t.word) {
			continue
		}
		near, _ := r.l.near(t.word)
		if len(near) == 0 {
			continue
		}
		ids, _ := r.l.named(near[0])
		same := ids != nil
		for _, n := range near[1:] {
			others, _ := r.l.named(n)
			same = same && slices.Equal(others, ids)
		}
		if same {
			r.subject(i, i+1, ids, true)
		}
	}
}

// shorthand finds abbreviations and lay words.
func (r *reader) shorthand() {
	for i := 0; i < len(r.ts); i++ {
		for n := min(int(r.l.starts[r.ts[i].word].shorts), len(r.ts)-i); n > 0; n-- {
			if !r.free(i, i+n) || !r.tight(i, i+n) {
				continue
			}
			m, ok := r.meaning(i, i+n)
			if !ok {
				continue
			}
			end := r.ts[i+n-1].end
			if strings.HasSuffix(m.short, "/") {
				end++
			}
			start := r.ts[i].start
			for _, to := range m.to {
				r.Expansions = append(r.Expansions, Expansion{r.text[start:end], start, end, to, m.weight, WhyMeaning})
			}
			r.take(i, i+n)
			i += n - 1
			break
		}
	}
}

func (r *reader) meaning(i, j int) (meaning, bool) {
	for _, m := range r.l.shorts[r.key(i, j)] {
		// "w/" and "h/o" are known by their stroke, "c. diff" has none.
		if slash := strings.IndexByte(m.short, '/'); slash >= 0 {
			end := r.ts[j-1].end
			if strings.HasSuffix(m.short, "/") {
				if end >= len(r.text) || r.text[end] != '/' {
					continue
				}
			} else if !strings.Contains(r.text[r.ts[i].start:end], "/") {
				continue
			}
		} else if j-i > 1 && strings.Contains(r.text[r.ts[i].start:r.ts[j-1].end], "/") {
			continue
		}
		if r.holds(m.guard, i, j) {
			return m, true
		}
	}
	return meaning{}, false
}

func (r *reader) holds(g guard, i, j int) bool {
	at := func(k int, words []string) bool {
		return k >= 0 && k < len(r.ts) && slices.Contains(words, r.ts[k].word)
	}
	number := i > 0 && r.ts[i-1].digits || j < len(r.ts) && r.ts[j].digits
	switch g.kind {
	case "upper":
		return r.ts[i].upper
	case "lower":
		return !r.ts[i].upper
	case "number":
		return number
	case "nonumber":
		return !number
	case "after":
		return at(i-1, g.words)
	case "before":
		return at(j, g.words)
	case "near":
		for k := range r.ts {
			if (k < i || k >= j) && at(k, g.words) {
				return true
			}
		}
		return false
	}
	return true
}

// expandSubjects adds the other names of what is named.
func (r *reader) expandSubjects() {
	for i := range r.Subjects {
		s := &r.Subjects[i]
		for _, id := range r.ids[i].medicines {
			r.expandMedicine(s, id)
		}
		n := 0
		for _, c := range r.ids[i].classes {
			cl := r.l.classes[c]
			r.expand(s, cl.say, weightName, WhyClass)
			for _, id := range r.l.members[cl.id] {
				if n < maxMembers && r.l.alone(id) {
					r.expand(s, r.l.med(id).name, weightMember, WhyMember)
					n++
				}
			}
		}
	}
}

func (r *reader) expandMedicine(s *Subject, id ref) {
	m := r.l.med(id)
	own := weightName
	if len(s.Documents) > 0 {
		own = weightOwn
	}
	if m.parts == nil {
		r.expand(s, m.name, max(own, 0.9), WhyMedicine)
	}
	for _, p := range m.parts {
		r.expand(s, p, weightName, WhyMedicine)
	}
	for i, b := range m.brands {
		if i < maxNames {
			r.expand(s, b, own, WhyMedicine)
		}
	}
	for i, o := range m.others {
		if i < maxNames {
			r.expand(s, o, weightName, WhyMedicine)
		}
	}
	for _, c := range m.classes {
		for _, cl := range r.l.classes {
			if cl.id == c {
				r.expand(s, cl.say, weightClass, WhyClass)
			}
		}
	}
}

func (r *reader) expand(s *Subject, to string, weight float64, why string) {
	if keyOf(to) == keyOf(s.Asked) {
		return
	}
	r.Expansions = append(r.Expansions, Expansion{s.Asked, s.Start, s.End, to, weight, why})
}

// sections finds what the question asks for.
func (r *reader) sections() {
	seen := map[string]bool{}
	for i := range r.ts {
		for n := min(int(r.l.starts[r.ts[i].word].cues), len(r.ts)-i); n > 0; n-- {
			if !r.tight(i, i+n) {
				continue
			}
			for _, c := range r.l.byCue[r.key(i, i+n)] {
				if seen[c.asks] {
					continue
				}
				seen[c.asks] = true
				r.prefer(r.text[r.ts[i].start:r.ts[i+n-1].end], c.sections)
			}
		}
	}
	// Two medicines in one question: what the one does to the other.
	medicines := map[string]bool{}
	var asked []string
	for _, s := range r.Subjects {
		if !medicines[s.Name] && !seen["interaction"] {
			medicines[s.Name] = true
			asked = append(asked, s.Asked)
		}
	}
	if len(asked) > 1 {
		for _, c := range r.l.byCue["interaction"] {
			r.prefer(strings.Join(asked, ", "), c.sections)
		}
	}
}

func (r *reader) prefer(as string, sections []Preference) {
	for _, p := range sections {
		p.Cue = as
		r.Sections = append(r.Sections, p)
	}
}

// tidy puts everything in the order of the question, each expansion once.
func (r *reader) tidy() {
	slices.SortStableFunc(r.Subjects, func(a, b Subject) int { return cmp.Compare(a.Start, b.Start) })
	slices.SortStableFunc(r.Expansions, func(a, b Expansion) int {
		if c := cmp.Compare(a.Start, b.Start); c != 0 {
			return c
		}
		return cmp.Compare(b.Weight, a.Weight)
	})
	type one struct {
		start int
		to    string
	}
	seen := map[one]bool{}
	r.Expansions = slices.DeleteFunc(r.Expansions, func(e Expansion) bool {
		k := one{e.Start, strings.ToLower(e.To)}
		was := seen[k]
		seen[k] = true
		return was
	})
}
