// Package infobutton answers requests for knowledge in the URL form of HL7's
// Context-Aware Knowledge Retrieval (Infobutton), Release 4: a medicine by code or
// name, and what one wants to know of it. It answers with a feed of sections of
// labels and the sentences in them that answer.
package infobutton

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"rxedge/daemon/answer"
	"rxedge/daemon/cdshooks"
	"rxedge/index"
	"rxedge/index/codes"
	"rxedge/index/document"
)

// Forms of the answer.
const (
	JSON = "application/json"
	XML  = "text/xml"
	Atom = "application/atom+xml"
)

// RequestError says what is wrong with the parameters, without quoting them.
type RequestError struct{ Field, Detail string }

func (e *RequestError) Error() string { return e.Field + ": " + e.Detail }

// Request is what was asked for.
type Request struct {
	Code, System, Name string // of the medicine
	Topics             []Topic
	Form               string
}

// Topic is a part of what one may want to know: as a question, and the sections
// of labels that tell of it, by LOINC code; none: all.
type Topic struct {
	Name, Ask string
	Sections  []string
}

// general are the topics of a request that names none.
var general = []Topic{
	{"boxed warning", "Boxed warning of %s", []string{"34066-1"}},
	{"indications", "What is %s indicated for?", []string{"34067-9"}},
	{"dose", "What is the usual dose of %s?", []string{"34068-7"}},
	{"contraindications", "When is %s contraindicated?", []string{"34070-3"}},
	{"interactions", "What interacts with %s?", []string{"34073-7"}},
	{"adverse reactions", "What are the adverse reactions of %s?", []string{"34084-4"}},
}

// bySubTopic are topics by MeSH qualifier and SNOMED CT concept, of which the
// specification's value set of sub-topics is made. LOINC codes of sections are
// understood, too.
var bySubTopic = map[string]Topic{
	"Q000008":  {"dose", "What is the usual dose of %s?", []string{"34068-7"}}, // administration and dosage
	"Q000009":  {"adverse reactions", "What are the adverse reactions of %s?", []string{"34084-4", "34066-1"}},
	"Q000744":  general[3], // contraindications
	"79899007": general[4], // drug interaction
	"Q000494":  {"pharmacology", "What is the mechanism of action of %s?", []string{"43679-0", "34090-1"}},
	"Q000493":  {"pharmacokinetics", "What are the pharmacokinetics of %s?", []string{"43682-4", "34090-1"}},
	"Q000627":  general[1], // therapeutic use
	"Q000506":  {"overdose", "What is to be done in an overdose of %s?", []string{"34088-5"}},
}

// byTask are topics by the task at which the button was pressed (ActTaskCode).
var byTask = map[string][]Topic{
	"MEDOE":       {general[0], general[3], general[2], general[4]}, // medication order entry
	"MEDREC":      general,                                          // reconciliation
	"MLREV":       general,
	"PROBLISTREV": general,
}

// Limits.
const (
	maxParameter = 200
	maxSections  = 12
)

// ReadRequest reads the parameters of the URL. Errors are *RequestError.
func ReadRequest(q url.Values) (*Request, error) {
	get := func(name string) string {
		for k, v := range q {
			if strings.EqualFold(k, name) && len(v) > 0 {
				return strings.Join(strings.Fields(v[0]), " ")
			}
		}
		return ""
	}
	for k, vs := range q {
		for _, v := range vs {
			if len(v) > maxParameter || !utf8.ValidString(v) || !utf8.ValidString(k) {
				return nil, &RequestError{"parameters", fmt.Sprintf("each must be UTF-8 of at most %d bytes", maxParameter)}
			}
		}
	}
	r := &Request{Code: get("mainSearchCriteria.v.c"), System: get("mainSearchCriteria.v.cs"), Name: cmp.Or(get("mainSearchCriteria.v.dn"), get("mainSearchCriteria.v.ot"))}
	if r.Code == "" && r.Name == "" {
		return nil, &RequestError{"mainSearchCriteria", "send a code (mainSearchCriteria.v.c with its system in .v.cs) or a name (.v.dn)"}
	}
	if r.Code != "" {
		c, err := codes.Normalise(cmp.Or(r.System, "?"), r.Code)
		known := err == nil && (c.System == codes.RxCUI || c.System == codes.NDC || c.System == codes.GTIN || c.System == codes.UNII)
		switch {
		case known && c.Problem != "":
			return nil, &RequestError{"mainSearchCriteria.v.c", c.Problem}
		case known:
			r.System = c.System
		case r.Name == "":
			return nil, &RequestError{"mainSearchCriteria.v.cs", "the code is read as RxNorm (2.16.840.1.113883.6.88), NDC (2.16.840.1.113883.6.69) or UNII (2.16.840.1.113883.4.9), in the form of its system; else send the name in mainSearchCriteria.v.dn"}
		default:
			r.Code, r.System = "", "" // of another system: the name is asked for
		}
	}
	switch form := strings.ToLower(get("knowledgeResponseType")); form {
	case "", XML, "application/xml", Atom:
		r.Form = Atom
		if strings.HasSuffix(form, "/xml") {
			r.Form = XML
		}
	case JSON, "application/javascript":
		r.Form = JSON
	default:
		return nil, &RequestError{"knowledgeResponseType", "is none of application/json, application/atom+xml, text/xml"}
	}
	r.Topics = general
	if t, ok := byTask[strings.ToUpper(get("taskContext.c.c"))]; ok {
		r.Topics = t
	}
	if sub := get("subTopic.v.c"); sub != "" {
		if t, ok := bySubTopic[strings.ToUpper(sub)]; ok {
			r.Topics = []Topic{t}
		} else if s, ok := document.SectionByLOINC(sub); ok {
			r.Topics = []Topic{{s.Name, s.Name + " of %s", []string{s.LOINC}}}
		} else if name := strings.ToLower(get("subTopic.v.dn")); name != "" {
			// Other terms are asked in their words.
			r.Topics = []Topic{{Name: name, Ask: strings.ReplaceAll(name, "%", "") + " of %s"}}
		}
	}
	return r, nil
}

// Feed is the answer, as Atom and as its JSON form.
type Feed struct {
	XMLName  xml.Name `xml:"http://www.w3.org/2005/Atom feed" json:"-"`
	Title    Text     `xml:"title" json:"title"`
	ID       Text     `xml:"id" json:"id"`
	Updated  Text     `xml:"updated" json:"updated"`
	Author   Author   `xml:"author" json:"author"`
	Category []Term   `xml:"category" json:"category"`
	Entries  []Entry  `xml:"entry" json:"entry"`
}

// Text is an element of text; in the JSON form its value is under _value.
type Text struct {
	Value string `xml:",chardata" json:"_value"`
	Type  string `xml:"type,attr,omitempty" json:"type,omitempty"`
}

// Author of the feed.
type Author struct {
	Name Text `xml:"name" json:"name"`
}

// Term says what was asked for.
type Term struct {
	Scheme string `xml:"scheme,attr" json:"scheme"`
	Term   string `xml:"term,attr" json:"term"`
}

// Entry is a section of a label with sentences of it.
type Entry struct {
	Title   Text      `xml:"title" json:"title"`
	Link    []AtomRef `xml:"link" json:"link"`
	ID      Text      `xml:"id" json:"id"`
	Updated Text      `xml:"updated" json:"updated"`
	Summary Text      `xml:"summary" json:"summary"`
}

// AtomRef is a link.
type AtomRef struct {
	Href string `xml:"href,attr" json:"href"`
	Rel  string `xml:"rel,attr" json:"rel"`
	Type string `xml:"type,attr" json:"type"`
}

// Answer asks each topic and gathers the sections that the answers cite. base is
// the address of the page. A medicine that no document is about has a feed
// without entries.
func Answer(ctx context.Context, ask cdshooks.Asker, ix cdshooks.Searcher, r *Request, base string, now time.Time) (*Feed, error) {
	snap := ix.Acquire()
	if snap == nil {
		return nil, index.ErrClosed
	}
	defer snap.Release()
	f := &Feed{Title: Text{Value: "rxedge: what the labels on this box say", Type: "text"}, ID: Text{Value: "urn:uuid:" + uuid.NewString()}, Updated: Text{Value: now.UTC().Format(time.RFC3339)},
		Author: Author{Text{Value: "rxedge"}}, Category: []Term{}, Entries: []Entry{}}
	for k, v := range map[string]string{"mainSearchCriteria.v.c": r.Code, "mainSearchCriteria.v.cs": r.System, "mainSearchCriteria.v.dn": r.Name} {
		if v != "" {
			f.Category = append(f.Category, Term{k, v})
		}
	}
	slices.SortFunc(f.Category, func(a, b Term) int { return strings.Compare(a.Scheme, b.Scheme) })
	m := cdshooks.Medicine{Text: r.Name}
	if r.Code != "" {
		m.Codes = []cdshooks.Coding{{System: r.System, Code: r.Code}}
	}
	name, documents, err := cdshooks.Resolve(ctx, snap, m)
	if err != nil || name == "" || len(documents) == 0 {
		return f, err
	}
	at := map[string]int{}
	for _, t := range r.Topics {
		a, err := ask.Ask(ctx, answer.Question{Text: fmt.Sprintf(t.Ask, name), Mode: answer.ModeExtractive}, answer.Events{})
		if err != nil {
			return nil, err
		}
		for _, c := range a.Claims {
			ci := c.Citations[0]
			if !documents[ci.SetID] || len(t.Sections) > 0 && !slices.Contains(t.Sections, ci.LOINC) {
				continue
			}
			i, ok := at[ci.SectionID]
			if !ok {
				if len(f.Entries) >= maxSections {
					continue
				}
				i, at[ci.SectionID] = len(f.Entries), len(f.Entries)
				f.Entries = append(f.Entries, Entry{Title: Text{Value: ci.DocumentTitle + ": " + ci.SectionTitle, Type: "text"}, ID: Text{Value: "urn:rxedge:" + url.PathEscape(ci.SectionID)},
					Updated: Text{Value: updated(ci.EffectiveDate, now)}, Link: []AtomRef{{Href: cdshooks.PageOf(base, ci), Rel: "alternate", Type: "text/html"}}, Summary: Text{Type: "text"}})
			}
			e := &f.Entries[i]
			if !strings.Contains(e.Summary.Value, c.Text) {
				e.Summary.Value = strings.TrimSpace(e.Summary.Value + " " + c.Text)
			}
		}
	}
	return f, nil
}

// updated is the label's effective date, in the form that Atom wants.
func updated(effective string, now time.Time) string {
	if t, err := time.Parse(time.DateOnly, effective); err == nil {
		return t.Format(time.RFC3339)
	}
	return now.UTC().Format(time.RFC3339)
}
