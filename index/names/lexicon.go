package names

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Labelled is what the lexicon learns from a document.
type Labelled struct {
	ID    string
	Title string
	// Brands, and Generics with ingredients, as the document writes them. A
	// document with neither (a guideline) is about no medicine in particular.
	Brands   []string
	Generics []string
}

// Lexicon knows the medicines of the table and of the documents. It is made
// once for a generation of documents and never changes. Safe for concurrent use.
type Lexicon struct {
	table     *table
	medicines []medicine
	names     map[string][]int32 // key → medicines
	classes   map[string][]int32 // key → classes of the table
	members   map[string][]int32 // class id → medicines
	cover     []coverage         // by medicine
	shorts    map[string][]meaning
	cues      map[string][]cue
	spelling  speller
	// longest key in words, of names and classes, shorthand, cues.
	words, shortWords, cueWords int
}

// coverage of a medicine by documents: those about it alone, and combinations
// with it.
type coverage struct{ alone, within []string }

// New makes a lexicon of the table and the documents' names.
func New(docs []Labelled) (*Lexicon, error) {
	t, err := facts()
	if err != nil {
		return nil, err
	}
	l := &Lexicon{table: t, names: map[string][]int32{}, classes: map[string][]int32{}, members: map[string][]int32{},
		shorts: map[string][]meaning{}, cues: map[string][]cue{}}
	for _, m := range t.medicines {
		l.addMedicine(m)
	}
	for i, c := range t.classes {
		for _, n := range c.names {
			k := keyOf(n)
			l.classes[k] = append(l.classes[k], int32(i))
			l.words = max(l.words, strings.Count(k, " ")+1)
		}
	}
	for _, m := range t.meanings {
		k := keyOf(m.short)
		l.shorts[k] = append(l.shorts[k], m)
		l.shortWords = max(l.shortWords, strings.Count(k, " ")+1)
	}
	for _, c := range t.cues {
		k := keyOf(c.phrase)
		l.cues[k] = append(l.cues[k], c)
		l.cueWords = max(l.cueWords, strings.Count(k, " ")+1)
	}
	for _, d := range docs {
		l.learn(d)
	}
	for i := range l.cover {
		slices.Sort(l.cover[i].alone)
		slices.Sort(l.cover[i].within)
	}
	for k := range l.names {
		if !l.table.ordinary[k] {
			l.spelling.add(k)
		}
	}
	for i := range l.spelling.by {
		slices.Sort(l.spelling.by[i])
	}
	return l, nil
}

func (l *Lexicon) addMedicine(m medicine) int32 {
	id := int32(len(l.medicines))
	l.medicines = append(l.medicines, m)
	l.cover = append(l.cover, coverage{})
	l.name(m.name, id)
	for _, n := range m.brands {
		l.name(n, id)
	}
	for _, n := range m.others {
		l.name(n, id)
	}
	for _, c := range m.classes {
		l.members[c] = append(l.members[c], id)
	}
	return id
}

func (l *Lexicon) name(n string, id int32) {
	k := keyOf(n)
	if k == "" {
		return
	}
	if !slices.Contains(l.names[k], id) {
		l.names[k] = append(l.names[k], id)
	}
	l.words = max(l.words, strings.Count(k, " ")+1)
}

// medicine finds a name that a document states: whole, without its salt and
// form, or as the first words of what is left.
func (l *Lexicon) medicine(name string) []int32 {
	k := keyOf(name)
	if ids := l.names[k]; ids != nil {
		return ids
	}
	return l.names[bare(k)]
}

// joints are what stands between the ingredients of a combination.
var joints = regexp.MustCompile(`(?i)\s*(?:,|;|/|\+|&|\band\b|\bwith\b)\s*`)

// titled is a title such as "LIPITOR® (atorvastatin calcium) tablets".
var titled = regexp.MustCompile(`^\s*([A-Z][\pL\d'’-]*(?: [A-Z][\pL\d'’-]*){0,2})\s*[®™]?\s*(?:[a-z]+ )?\(([a-z][^()]{3,80})\)`)

// learn takes in the names of a document.
func (l *Lexicon) learn(d Labelled) {
	brands, generics := slices.Clone(d.Brands), slices.Clone(d.Generics)
	if len(brands)+len(generics) == 0 {
		return
	}
	if m := titled.FindStringSubmatch(d.Title); m != nil {
		brands, generics = append(brands, m[1]), append(generics, m[2])
	}
	var ids, whole []int32
	add := func(to *[]int32, from ...int32) {
		for _, id := range from {
			if !slices.Contains(*to, id) {
				*to = append(*to, id)
			}
		}
	}
	var unknown []string
	ingredients := func(g string) {
		found := l.medicine(g)
		if found == nil {
			parts := joints.Split(g, -1)
			if len(parts) > 1 {
				for _, p := range parts {
					if got := l.medicine(p); got != nil {
						add(&ids, got...)
					} else if b := bare(keyOf(p)); b != "" {
						unknown = append(unknown, b)
					}
				}
				return
			}
			if b := bare(keyOf(g)); b != "" {
				unknown = append(unknown, b)
			}
			return
		}
		for _, id := range found {
			if len(l.medicines[id].parts) > 0 {
				add(&whole, id)
			} else {
				add(&ids, id)
			}
		}
	}
	for _, g := range generics {
		ingredients(g)
	}
	for _, b := range brands {
		for _, id := range l.medicine(b) {
			if len(l.medicines[id].parts) > 0 {
				add(&whole, id)
			} else if len(generics) == 0 {
				add(&ids, id)
			}
		}
	}
	slices.Sort(unknown)
	for _, u := range slices.Compact(unknown) {
		add(&ids, l.addMedicine(medicine{name: u}))
	}
	// Of a combination that the table has under its ingredients.
	if len(ids) > 1 && len(whole) == 0 {
		if c, ok := l.combination(ids); ok {
			add(&whole, c)
		}
	}
	switch {
	case len(whole) > 0:
		l.covers(d.ID, whole, true)
		for _, id := range whole {
			for _, p := range l.medicines[id].parts {
				l.covers(d.ID, l.names[keyOf(p)], false)
			}
		}
		l.covers(d.ID, ids, false)
		l.brands(brands, whole)
	case len(ids) == 1:
		l.covers(d.ID, ids, true)
		l.brands(brands, ids)
	case len(ids) > 1:
		parts := make([]string, len(ids))
		for i, id := range ids {
			parts[i] = l.medicines[id].name
		}
		slices.Sort(parts)
		c := l.addMedicine(medicine{name: strings.Join(parts, "/"), parts: parts})
		l.covers(d.ID, []int32{c}, true)
		l.covers(d.ID, ids, false)
		l.brands(brands, []int32{c})
	case len(brands) > 0:
		if known := l.medicine(brands[0]); known != nil {
			l.covers(d.ID, known, true)
			return
		}
		c := l.addMedicine(medicine{name: strings.TrimSpace(brands[0])})
		l.covers(d.ID, []int32{c}, true)
		l.brands(brands, []int32{c})
	}
}

// combination finds the medicine of the table with just these ingredients.
func (l *Lexicon) combination(ids []int32) (int32, bool) {
	if len(ids) < 2 {
		return 0, false
	}
	for i, m := range l.medicines {
		if len(m.parts) != len(ids) {
			continue
		}
		all := true
		for _, p := range m.parts {
			known := l.names[keyOf(p)]
			all = all && slices.ContainsFunc(known, func(id int32) bool { return slices.Contains(ids, id) })
		}
		if all {
			return int32(i), true
		}
	}
	return 0, false
}

func (l *Lexicon) covers(doc string, ids []int32, alone bool) {
	for _, id := range ids {
		c := &l.cover[id]
		to := &c.within
		if alone {
			to = &c.alone
		}
		if !slices.Contains(c.alone, doc) && !slices.Contains(*to, doc) {
			*to = append(*to, doc)
		}
	}
}

// brands become names of what the document is about: the whole, and the first
// word of a longer one where that can't be an ordinary word.
func (l *Lexicon) brands(brands []string, ids []int32) {
	for _, b := range brands {
		k := keyOf(b)
		short := bare(k)
		first, _, more := strings.Cut(short, " ")
		keys := []string{k, short}
		if more && len(first) >= 5 && !l.plain(first) {
			keys = append(keys, first)
		}
		for _, k := range keys {
			if len(k) < 3 || l.plain(k) || len(l.names[k]) > 0 {
				continue
			}
			for _, id := range ids {
				l.name(k, id)
			}
		}
	}
}

// productWords begin the names of products that they don't name.
var productWords = set(`children childrens infant infants adult adults extra maximum regular strength night nighttime daytime day severe
 multi symptom relief pain cold cough allergy sinus fever flu headache acid reducer stomach stool softener laxative sleep aid
 sterile water sugar free vitamin vitamins mineral human antibacterial hand sanitizer first health equate good sense care select
 leader rugby major topcare family basic natural pure daily advanced original antifungal athletes foot wart corn hemorrhoidal
 medicated sunscreen lip balm mouthwash fluoride toothpaste baby gentle dual action fast formula nasal saline eye ear drops
 mucus congestion chest throat sore expectorant decongestant suppressant tablet capsule`)

func (l *Lexicon) plain(w string) bool {
	return l.table.ordinary[w] || productWords[w] || salts[w] || forms[w] || l.classes[w] != nil || l.shorts[w] != nil
}

// documents that are about a medicine: those about it alone, or, where there
// are none, combinations with it.
func (l *Lexicon) documents(id int32) []string {
	c := &l.cover[id]
	if len(c.alone) > 0 {
		return c.alone
	}
	return c.within
}

// Names of all medicines, as keys: lower case, words separated by a space. For
// an analyser that must not stem them.
func (l *Lexicon) Names() []string {
	out := make([]string, 0, len(l.names))
	for k := range l.names {
		if strings.IndexFunc(k, unicode.IsLetter) >= 0 {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
