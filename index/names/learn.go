package names

import (
	"regexp"
	"slices"
	"strings"
)

// Labelled is what the lexicon learns from a document.
type Labelled struct {
	ID    string
	Title string
	// Brands, and Generics with ingredients, as the document writes them. A
	// document with neither (a guideline) is about no medicine in particular.
	Brands   []string
	Generics []string
	// Label: the document is about a medicine, as a label is, even where it
	// names none. Only Segment.Label tells it again.
	Label bool
}

// joints are what stands between the ingredients of a combination.
var joints = regexp.MustCompile(`(?i)\s*(?:,|;|/|\+|&|\band\b|\bwith\b)\s*`)

// titled is a title such as "LIPITOR® (atorvastatin calcium) tablets".
var titled = regexp.MustCompile(`^\s*([A-Z][\pL\d'’-]*(?: [A-Z][\pL\d'’-]*){0,2})\s*[®™]?\s*(?:[a-z]+ )?\(([a-z][^()]{3,80})\)`)

// stated are the names that a document states: those of many labels are the
// same, so they are learned from once.
type stated struct{ brands, generics []string }

// state gathers the names of a document, with those in its title; nothing where
// it has none but there.
func state(d *Labelled) stated {
	s := stated{d.Brands, d.Generics}
	if len(s.brands)+len(s.generics) == 0 || !strings.Contains(d.Title, "(") {
		return s
	}
	if m := titled.FindStringSubmatch(d.Title); m != nil {
		s.brands = append(slices.Clip(s.brands), m[1])
		s.generics = append(slices.Clip(s.generics), m[2])
	}
	return s
}

// Kinds of medicines that documents teach, the first byte of an identity. What
// follows is the name: bare key of an ingredient, names of ingredients joined by
// "/", key of a brand whose ingredients no document tells.
const (
	identSingle   = '1'
	identCombined = '2'
	identBrand    = '3'
)

// How a name stands for a medicine; the least decides where one stands for
// several.
const (
	levelOwn   = iota // the medicine's own name
	levelBrand        // a brand
	levelFirst        // the first word of a brand
)

// taught is a medicine that a document is about: of the table, or else by its
// identity.
type taught struct {
	table ref
	ident string
}

// lesson is what a document teaches. It depends on the document and the table
// alone, so it does not matter in which order documents come.
type lesson struct {
	alone, within []taught // it is about, and about a combination with
	names         []learnedName
}

type learnedName struct {
	key   string
	of    taught
	level int
}

func (b *base) learn(s stated) lesson {
	var l lesson
	var ids, whole []taught
	add := func(to *[]taught, t taught) {
		if !slices.Contains(*to, t) {
			*to = append(*to, t)
		}
	}
	known := func(rs []ref, ids, whole *[]taught) {
		for _, r := range rs {
			if len(b.medicines[r].parts) > 0 {
				add(whole, taught{table: r})
			} else {
				add(ids, taught{table: r})
			}
		}
	}
	unknown := func(name string) {
		if k := bare(keyOf(name)); k != "" {
			t := taught{ident: string(identSingle) + k}
			l.names = append(l.names, learnedName{k, t, levelOwn})
			add(&ids, t)
		}
	}
	for _, g := range s.generics {
		if rs := b.medicine(g); rs != nil {
			known(rs, &ids, &whole)
			continue
		}
		parts := joints.Split(g, -1)
		if len(parts) == 1 {
			unknown(g)
			continue
		}
		for _, p := range parts {
			if rs := b.medicine(p); rs != nil {
				known(rs, &ids, &ids)
			} else {
				unknown(p)
			}
		}
	}
	for _, brand := range s.brands {
		single := &ids
		if len(s.generics) > 0 {
			single = &[]taught{}
		}
		known(b.medicine(brand), single, &whole)
	}
	// Of a combination that the table has under its ingredients.
	if len(ids) > 1 && len(whole) == 0 {
		if c, ok := b.combination(refs(ids)); ok {
			add(&whole, taught{table: c})
		}
	}
	switch {
	case len(whole) > 0:
		l.alone = whole
		for _, w := range whole {
			for _, p := range b.medicines[w.table].parts {
				for _, r := range b.names[keyOf(p)] {
					add(&l.within, taught{table: r})
				}
			}
		}
		for _, t := range ids {
			add(&l.within, t)
		}
	case len(ids) == 1:
		l.alone = ids
	case len(ids) > 1:
		parts := make([]string, len(ids))
		for i, t := range ids {
			if parts[i] = strings.TrimPrefix(t.ident, string(identSingle)); t.ident == "" {
				parts[i] = b.medicines[t.table].name
			}
		}
		slices.Sort(parts)
		name := strings.Join(parts, "/")
		c := taught{ident: string(identCombined) + name}
		l.names = append(l.names, learnedName{keyOf(name), c, levelOwn})
		l.alone, l.within = []taught{c}, ids
	case len(s.brands) > 0:
		k := keyOf(s.brands[0])
		if k == "" {
			return l
		}
		c := taught{ident: string(identBrand) + k}
		l.names = append(l.names, learnedName{k, c, levelBrand})
		l.alone = []taught{c}
	}
	b.brands(&l, s.brands)
	l.within = slices.DeleteFunc(l.within, func(t taught) bool { return slices.Contains(l.alone, t) })
	return l
}

// refs are the medicines of the table among ts; what the table does not have is
// in none of its combinations.
func refs(ts []taught) []ref {
	out := make([]ref, len(ts))
	for i, t := range ts {
		if out[i] = t.table; t.ident != "" {
			out[i] = -1
		}
	}
	return out
}

// brands become names of what the document is about: the whole, and the first
// word of a longer one where that can't be an ordinary word.
func (b *base) brands(l *lesson, brands []string) {
	add := func(k string, level int) {
		if len(k) < 3 || b.plain(k) || len(b.names[k]) > 0 {
			return
		}
		for _, t := range l.alone {
			if n := (learnedName{k, t, level}); !slices.ContainsFunc(l.names, func(o learnedName) bool { return o.key == n.key && o.of == n.of && o.level <= n.level }) {
				l.names = append(l.names, n)
			}
		}
	}
	for _, brand := range brands {
		k := keyOf(brand)
		short := bare(k)
		add(k, levelBrand)
		add(short, levelBrand)
		if first, _, more := strings.Cut(short, " "); more && len(first) >= 5 && !b.plain(first) {
			add(first, levelFirst)
		}
	}
}
