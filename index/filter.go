package index

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rxedge/index/codes"
	"rxedge/index/document"
	"rxedge/index/generation"
	"rxedge/index/lexical"
	"rxedge/index/names"
)

// Filter says which passages may be found. Of one list any value will do, and
// of what is given everything has to hold. The zero value is all.
type Filter struct {
	// Drugs, each as a set id, a code of its package or label (NDC, GTIN, RxCUI,
	// document id), or a medicine's name: brand, generic or class.
	Drugs []string `json:"drugs,omitempty" maxItems:"256" doc:"Medicines: each a set id, a code (NDC, GTIN, RxCUI, document id) or a name, brand, generic or class"`
	// Documents by set id or document id.
	Documents []string `json:"documents,omitempty" maxItems:"4096" doc:"Documents: each a set id or document id"`
	// Sections by LOINC code, or by the name that labels give a section.
	Sections []string `json:"sections,omitempty" maxItems:"256" doc:"Sections: each a LOINC code such as 34070-3, or a name such as Contraindications"`
	// Sources are names of the files that documents were read from.
	Sources []string `json:"sources,omitempty" maxItems:"256" doc:"Names of the files that documents were read from, without folders"`
	// Kinds of documents: spl, openfda, jsonl, markdown, html or text.
	Kinds []string `json:"kinds,omitempty" maxItems:"16" doc:"Kinds of documents: spl, openfda, jsonl, markdown, html, text"`
	// From and To are effective dates as 2006-01-02, both included. A document
	// without a date is in no span.
	From string `json:"from,omitempty" doc:"Effective on this date or later, as 2006-01-02; documents without a date are left out"`
	To   string `json:"to,omitempty" doc:"Effective on this date or earlier"`
}

// FilterDrug says what a drug of a filter was taken for.
type FilterDrug struct {
	Asked string `json:"asked"`
	// Name of the medicine or class; "" for an id or a code.
	Name string `json:"name,omitempty"`
	// Spelling: Asked is no known name, and Name is the only one near it.
	Spelling  bool `json:"spelling,omitempty"`
	Documents int  `json:"documents"`
}

// FilterError says what value of a filter can't be used.
type FilterError struct {
	Field  string // as in JSON: "drugs[0]"
	Detail string
	// Unknown: it is well formed, and the index has nothing by it.
	Unknown bool
}

func (e *FilterError) Error() string { return "filter." + e.Field + ": " + e.Detail }

// Is says that what is unknown is not found.
func (e *FilterError) Is(target error) bool { return e.Unknown && target == ErrNotFound }

func refuse(field, format string, args ...any) error {
	return &FilterError{Field: field, Detail: fmt.Sprintf(format, args...)}
}

func unknown(field, format string, args ...any) error {
	return &FilterError{field, fmt.Sprintf(format, args...), true}
}

// kinds that documents can be of.
var kinds = []string{document.KindSPL, document.KindOpenFDA, document.KindJSONL, document.KindMarkdown, document.KindHTML, document.KindText, document.KindPDF, document.KindDOCX, document.KindCSV, document.KindXLSX}

func (f *Filter) none() bool {
	return len(f.Drugs)+len(f.Documents)+len(f.Sections)+len(f.Sources)+len(f.Kinds) == 0 && f.From == "" && f.To == ""
}

// allow says what a filter allows; nil is everything. An error is a *FilterError
// or of reading the index.
func (s *Snapshot) allow(f *Filter) (*generation.Allowed, []FilterDrug, error) {
	if f.none() {
		return nil, nil, nil
	}
	g := generation.Filter{From: f.From, To: f.To}
	if err := checkDates(f.From, f.To); err != nil {
		return nil, nil, err
	}
	for i, k := range f.Kinds {
		if !slices.Contains(kinds, k) {
			return nil, nil, refuse(fmt.Sprintf("kinds[%d]", i), "%q is none of %s", k, strings.Join(kinds, ", "))
		}
		g.Kinds = append(g.Kinds, k)
	}
	for i, n := range f.Sources {
		if n == "" {
			return nil, nil, refuse(fmt.Sprintf("sources[%d]", i), "it is empty; give the name of a file")
		}
		g.Sources = append(g.Sources, n)
	}
	for i, n := range f.Sections {
		code, err := sectionCode(n)
		if err != nil {
			return nil, nil, refuse(fmt.Sprintf("sections[%d]", i), "%v", err)
		}
		g.Sections = append(g.Sections, code)
	}
	var drugs []FilterDrug
	if len(f.Documents) > 0 {
		g.Documents = []string{}
		for i, n := range f.Documents {
			ids := s.byID(n)
			if ids == nil {
				return nil, nil, unknown(fmt.Sprintf("documents[%d]", i), "the index has no document %q; 'rxedge index documents' lists those there are", n)
			}
			g.Documents = append(g.Documents, ids...)
		}
	}
	if len(f.Drugs) > 0 {
		about := []string{}
		for i, n := range f.Drugs {
			ids, read, err := s.drug(n)
			if err != nil {
				return nil, nil, err
			}
			if len(ids) == 0 {
				return nil, nil, unknown(fmt.Sprintf("drugs[%d]", i), "no document of the index is about %q; give a set id, a code, or a name as the labels have it", n)
			}
			about, drugs = append(about, ids...), append(drugs, read...)
		}
		if g.Documents != nil {
			g.Documents = common(g.Documents, about)
		} else {
			g.Documents = about
		}
	}
	slices.Sort(g.Documents)
	g.Documents = slices.Compact(g.Documents)
	a, err := s.view.Allow(g)
	return a, drugs, s.outcome("read what the filter allows", err)
}

// common are those of a that are in b.
func common(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, x := range b {
		in[x] = true
	}
	return slices.DeleteFunc(a, func(x string) bool { return !in[x] })
}

func checkDates(from, to string) error {
	for _, d := range []struct{ field, date string }{{"from", from}, {"to", to}} {
		if d.date == "" {
			continue
		}
		if _, err := time.Parse(time.DateOnly, d.date); err != nil {
			return refuse(d.field, "%q is no date such as 2026-01-31", d.date)
		}
	}
	if from != "" && to != "" && to < from {
		return refuse("to", "%s is before from, %s", to, from)
	}
	return nil
}

func sectionCode(name string) (string, error) {
	if sec, ok := document.SectionByName(name); ok {
		return sec.LOINC, nil
	}
	c, err := codes.Normalise(codes.LOINC, name)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is neither a LOINC code such as 34070-3 nor the name of a section such as Contraindications", name)
	case c.Problem != "":
		return "", errors.New(c.Problem)
	}
	return c.Value, nil
}

// byID gives the document of that id, or those of which it is the document id.
func (s *Snapshot) byID(id string) []string {
	if s.view.Has(id) {
		return []string{id}
	}
	if c, err := codes.Normalise(codes.SPL, id); err == nil && c.Problem == "" {
		return s.view.ByCode(c)
	}
	return nil
}

// drug gives the documents that a drug of a filter stands for.
func (s *Snapshot) drug(asked string) (ids []string, read []FilterDrug, err error) {
	if s.view.Has(asked) {
		return []string{asked}, []FilterDrug{{Asked: asked, Documents: 1}}, nil
	}
	if c, err := codes.Normalise("", asked); err == nil && c.Problem == "" {
		if ids := s.view.ByCode(c); len(ids) > 0 {
			return ids, []FilterDrug{{Asked: asked, Documents: len(ids)}}, nil
		}
	}
	l, err := s.view.Lexicon()
	if err != nil {
		return nil, nil, s.outcome("read the names", err)
	}
	// Short names, and those that are words as well, are read as names in
	// capitals alone; here nothing else can be meant.
	for _, text := range []string{asked, strings.ToUpper(asked)} {
		r := l.ReadParts(text, s.known, names.Parts{NoShorthand: true, NoSections: true})
		for _, sub := range r.Subjects {
			if len(sub.Documents) > 0 {
				ids = append(ids, sub.Documents...)
				read = append(read, FilterDrug{asked, sub.Name, sub.Spelling, len(sub.Documents)})
			}
		}
		if ids != nil {
			break
		}
	}
	return ids, read, nil
}

// ranges that are allowed; nil are all.
func ranges(a *generation.Allowed) []lexical.Range {
	if a == nil {
		return nil
	}
	return a.Ranges
}

// shared is what lies in both lists of ranges, which ascend; nil is everything.
func shared(a, b []lexical.Range) []lexical.Range {
	if b == nil {
		return a
	}
	out := []lexical.Range{}
	for _, r := range a {
		i, _ := slices.BinarySearchFunc(b, r.First, func(x lexical.Range, first uint32) int {
			if x.End <= first {
				return -1
			}
			return 1
		})
		for ; i < len(b) && b[i].First < r.End; i++ {
			if first, end := max(r.First, b[i].First), min(r.End, b[i].End); first < end {
				out = append(out, lexical.Range{First: first, End: end})
			}
		}
	}
	return out
}
