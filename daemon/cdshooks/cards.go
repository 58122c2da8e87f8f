package cdshooks

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"rxedge/daemon/answer"
	"rxedge/daemon/feedback"
	"rxedge/index"
	"rxedge/index/codes"
	"rxedge/index/names"
	"rxedge/inference/quantity"
)

// Limits of one call. Too many cards are passed over unread: the most urgent
// are shown, and one more names what was left out.
const (
	maxCards     = 5
	maxClaims    = 3 // of a card
	maxQuestions = 60
	atOnce       = 4
	maxSummary   = 139 // characters
)

// Kidney function from which labels begin to make differences, in mL/min.
const impaired = 60

// Asker is the answer service.
type Asker interface {
	Ask(context.Context, answer.Question, answer.Events) (*answer.Answer, error)
}

// Searcher is the index.
type Searcher interface {
	Acquire() *index.Snapshot
}

// Cards asks what the labels say of a request. base is the address of the page,
// such as http://localhost:8731, and given what is remembered of each card, so
// that feedback on it is taken. Answers are verbatim sentences: a card has to be
// there in half a second, and quotes a label.
func Cards(ctx context.Context, ask Asker, ix Searcher, r *Request, base string) (_ Response, given []feedback.Given, _ error) {
	snap := ix.Acquire()
	if snap == nil {
		return Response{}, nil, index.ErrClosed
	}
	defer snap.Release()
	orders, err := resolve(ctx, snap, r.Orders)
	if err != nil {
		return Response{}, nil, err
	}
	others, err := resolve(ctx, snap, r.Others)
	if err != nil {
		return Response{}, nil, err
	}
	qs := questions(snap, r, orders, others)
	unasked := max(0, len(qs)-maxQuestions)
	qs = qs[:len(qs)-unasked]
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(atOnce)
	for i := range qs {
		q := &qs[i]
		work.Go(func() error {
			a, err := ask.Ask(ctx, answer.Question{Text: q.text, Mode: answer.ModeExtractive}, answer.Events{})
			if err != nil {
				return err
			}
			q.answer = a
			for _, c := range a.Claims {
				if len(q.claims) < maxClaims && len(c.Citations) > 0 && q.bears(c.Citations[0]) {
					q.claims = append(q.claims, c)
					q.indicator = worse(q.indicator, q.urgency(c.Citations[0]))
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return Response{}, nil, err
	}
	slices.SortStableFunc(qs, func(a, b question) int { return cmp.Compare(rank[b.indicator], rank[a.indicator]) })
	out := Response{Cards: []Card{}}
	shown := map[string]bool{}
	var left []string
	for _, q := range qs {
		// A sentence that an earlier card shows is not shown again.
		q.claims = slices.DeleteFunc(slices.Clone(q.claims), func(c answer.Claim) bool { return shown[place(c)] })
		if len(q.claims) == 0 {
			continue
		}
		for _, c := range q.claims {
			shown[place(c)] = true
		}
		if len(out.Cards) >= maxCards {
			left = append(left, q.summary)
			continue
		}
		c := card(q, base)
		out.Cards = append(out.Cards, c)
		given = append(given, remember(c, q.answer, r.Hook))
	}
	if len(left) > 0 || unasked > 0 {
		out.Cards = append(out.Cards, more(left, unasked, base))
	}
	return out, given, nil
}

func remember(c Card, a *answer.Answer, hook string) feedback.Given {
	g := feedback.GivenOf(a, time.Now())
	g.ID, g.Interface = c.UUID, "cds-hooks/"+hook
	return g
}

// drug is a medicine of a request as the index knows it.
type drug struct {
	name      string
	documents map[string]bool
}

// resolve finds the labels of medicines, by their codes before their names. One
// that neither the documents nor the names know is left out: nothing can be
// said of it.
func resolve(ctx context.Context, snap *index.Snapshot, ms []Medicine) ([]drug, error) {
	var out []drug
	for _, m := range ms {
		d := drug{documents: map[string]bool{}}
		for _, k := range m.Codes {
			c, err := codes.Normalise(k.System, k.Code)
			if err != nil || k.System == "" || c.Problem != "" || c.System != codes.RxCUI && c.System != codes.NDC && c.System != codes.GTIN {
				continue
			}
			res, err := snap.Search(ctx, index.Query{Text: c.System + " " + k.Code, K: 1, Mode: index.ModeBM25})
			if err != nil {
				return nil, err
			}
			for _, found := range res.Codes {
				for _, id := range found.Documents {
					d.documents[id] = true
				}
			}
		}
		if m.Text != "" {
			reading, err := snap.Read(m.Text)
			if err != nil {
				return nil, err
			}
			for _, s := range reading.Subjects {
				// A machine does not misspell: what is only near a name is another's.
				if s.Class || s.Substance || s.Spelling {
					continue
				}
				d.name = cmp.Or(d.name, s.Name)
				if len(d.documents) == 0 || len(m.Codes) == 0 {
					for _, id := range s.Documents {
						d.documents[id] = true
					}
				}
			}
		}
		if d.name == "" {
			for id := range d.documents {
				doc, err := snap.Document(id)
				if err != nil {
					return nil, err
				}
				for _, n := range doc.Names {
					if d.name == "" || n.Kind == "generic" {
						d.name = n.Text
					}
				}
			}
		}
		if d.name != "" && !slices.ContainsFunc(out, func(o drug) bool { return strings.EqualFold(o.name, d.name) }) {
			out = append(out, d)
		}
	}
	return out, nil
}

// Resolve gives the name of a medicine and the documents about it; "" where
// nothing is known of it.
func Resolve(ctx context.Context, snap *index.Snapshot, m Medicine) (name string, documents map[string]bool, _ error) {
	ds, err := resolve(ctx, snap, []Medicine{m})
	if err != nil || len(ds) == 0 {
		return "", nil, err
	}
	return ds[0].name, ds[0].documents, nil
}

// question is one that is asked for a request, and what came of it.
type question struct {
	text, summary, topic string
	bears                func(answer.Citation) bool // whether a sentence is about it
	urgency              func(answer.Citation) string

	answer    *answer.Answer
	claims    []answer.Claim
	indicator string
}

// Sections by LOINC code.
const (
	boxed            = "34066-1"
	contraindication = "34070-3"
	interactions     = "34073-7"
	pediatric        = "34081-0"
)

var (
	warnings = []string{boxed, contraindication, "43685-7", "34071-1", "42232-9", "34072-9"}
	rank     = map[string]int{"": 0, Info: 1, Warning: 2, Critical: 3}
)

func worse(a, b string) string {
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// bySection is how urgent a sentence about this patient is: as its section is,
// and critical where the label itself says that it is contraindicated.
func bySection(c answer.Citation) string {
	if contains(c.Quote, "contraindicated") && !contains(c.Quote, "not contraindicated") {
		return Critical
	}
	switch c.LOINC {
	case boxed, contraindication:
		return Critical
	case "34084-4", "34090-1", "43682-4", "34089-3": // reactions and pharmacology
		return Info
	}
	return Warning
}

func questions(snap *index.Snapshot, r *Request, orders, others []drug) []question {
	var out []question
	for i, a := range orders {
		for _, b := range append(slices.Clone(orders[i+1:]), others...) {
			if strings.EqualFold(a.name, b.name) || len(a.documents)+len(b.documents) == 0 {
				continue
			}
			out = append(out, question{text: fmt.Sprintf("Interaction of %s with %s", a.name, b.name), topic: "interaction",
				summary: fmt.Sprintf("%s together with %s: the label warns", a.name, b.name), urgency: bySection,
				bears: func(c answer.Citation) bool {
					return a.documents[c.SetID] && says(snap, c.Quote, b) || b.documents[c.SetID] && says(snap, c.Quote, a)
				}})
		}
	}
	for _, a := range orders {
		if len(a.documents) == 0 {
			continue
		}
		for _, k := range []struct {
			value      *float64
			name, unit string
		}{{r.Patient.EGFR, "eGFR", "mL/min/1.73 m²"}, {r.Patient.Clearance, "creatinine clearance", "mL/min"}} {
			if k.value == nil || *k.value >= impaired {
				continue
			}
			out = append(out, question{text: fmt.Sprintf("Can %s be used with an %s of %.0f %s?", a.name, k.name, *k.value, k.unit), topic: "renal",
				summary: fmt.Sprintf("%s with an %s of %.0f %s: see the label", a.name, k.name, *k.value, k.unit), urgency: bySection,
				bears: func(c answer.Citation) bool { return a.documents[c.SetID] && renal(c.Quote, *k.value) }})
		}
		for _, what := range r.Patient.Conditions {
			terms := snap.Terms(what)
			out = append(out, question{text: fmt.Sprintf("Is %s contraindicated in %s?", a.name, what), topic: "contraindication",
				summary: fmt.Sprintf("%s and %s: the label warns", a.name, what), urgency: bySection,
				bears: func(c answer.Citation) bool {
					return a.documents[c.SetID] && slices.Contains(warnings, c.LOINC) && all(terms, snap.Terms(c.Quote))
				}})
		}
		if age := r.Patient.Age; age != nil && *age < 18 {
			out = append(out, question{text: fmt.Sprintf("Can %s be used in pediatric patients aged %d years?", a.name, *age), topic: "age",
				summary: fmt.Sprintf("%s at an age of %d: see the label on children", a.name, *age),
				urgency: func(c answer.Citation) string {
					if c.LOINC == boxed || c.LOINC == contraindication {
						return Critical
					}
					return Info
				},
				bears: func(c answer.Citation) bool {
					return a.documents[c.SetID] && (c.LOINC == pediatric || slices.Contains(warnings, c.LOINC)) && contains(c.Quote, "pediatric", "child", "infant", "adolescent", "younger than", "years of age")
				}})
		}
		// Of a medicine's own boxed warning one is told while choosing it.
		if r.Hook == OrderSelect {
			out = append(out, question{text: "Boxed warning of " + a.name, topic: "boxed-warning", summary: a.name + ": the label has a boxed warning",
				urgency: func(answer.Citation) string { return Warning },
				bears:   func(c answer.Citation) bool { return a.documents[c.SetID] && c.LOINC == boxed }})
		}
	}
	return out
}

// says whether a sentence names the medicine, or a class that it is of.
func says(snap *index.Snapshot, sentence string, d drug) bool {
	said, err := snap.Mentions(sentence)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(said, func(s names.Subject) bool {
		if !s.Class {
			return strings.EqualFold(s.Name, d.name)
		}
		return slices.ContainsFunc(s.Documents, func(id string) bool { return d.documents[id] })
	})
}

// renal says whether a sentence is about kidney function at this value: where it
// states a range, the value lies in it.
func renal(sentence string, value float64) bool {
	if !contains(sentence, "egfr", "gfr", "creatinine", "crcl", "renal", "kidney") {
		return false
	}
	ranges := false
	for _, b := range quantity.Bounds(sentence) {
		if !strings.Contains(strings.ToLower(b.Unit), "ml/min") {
			continue
		}
		ranges = true
		if b.Contains(value) {
			return true
		}
	}
	return !ranges && contains(sentence, "impairment", "insufficiency", "failure", "disease", "reduced", "decreased")
}

func contains(text string, words ...string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

func all(terms, in []string) bool {
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(t string) bool { return !slices.Contains(in, t) })
}

func place(c answer.Claim) string {
	ci := c.Citations[0]
	return fmt.Sprintf("%s %d %d", ci.SectionID, ci.Start, ci.End)
}

func card(q question, base string) Card {
	first := q.claims[0].Citations[0]
	c := Card{UUID: uuid.NewString(), Summary: shorten(q.summary, maxSummary), Indicator: q.indicator, OverrideReasons: OverrideReasons,
		Source: Source{Label: first.DocumentTitle, URL: PageOf(base, answer.Citation{SetID: first.SetID}), Topic: &Coding{System: "urn:rxedge:topic", Code: q.topic}}}
	var b strings.Builder
	seen := map[string]bool{}
	for _, cl := range q.claims {
		ci := cl.Citations[0]
		fmt.Fprintf(&b, "> %s\n>\n> — [%s](%s)", markdown(cl.Text), markdown(ci.DocumentTitle+", "+ci.SectionTitle), PageOf(base, ci))
		if ci.EffectiveDate != "" {
			fmt.Fprintf(&b, ", effective %s", markdown(ci.EffectiveDate))
		}
		if ci.Version != "" {
			fmt.Fprintf(&b, ", version %s", markdown(ci.Version))
		}
		b.WriteString("\n\n")
		if !seen[ci.SectionID] {
			seen[ci.SectionID] = true
			c.Links = append(c.Links, Link{Label: shorten(ci.DocumentTitle+": "+ci.SectionTitle, 100), URL: PageOf(base, ci), Type: "absolute"})
		}
	}
	for _, n := range q.answer.Notices {
		fmt.Fprintf(&b, "%s.\n", markdown(strings.TrimSuffix(n, ".")))
	}
	c.Detail = strings.TrimSpace(b.String())
	return c
}

// more says what was left out.
func more(left []string, unasked int, base string) Card {
	c := Card{UUID: uuid.NewString(), Indicator: Info, Source: Source{Label: "rxedge", URL: base + "/"},
		Summary: "The labels say more than is shown here; see the details"}
	var b strings.Builder
	for _, s := range left {
		b.WriteString("- " + markdown(s) + "\n")
	}
	if unasked > 0 {
		fmt.Fprintf(&b, "\nThe labels were not asked about %d further combinations; check them on the page.\n", unasked)
	}
	c.Detail = strings.TrimSpace(b.String())
	return c
}

// PageOf is the address of a citation's place on the page.
func PageOf(base string, c answer.Citation) string {
	q := url.Values{"doc": {c.SetID}}
	if c.SectionID != "" {
		q.Set("section", c.SectionID)
	}
	if c.End > c.Start {
		q.Set("start", fmt.Sprint(c.Start))
		q.Set("end", fmt.Sprint(c.End))
	}
	return base + "/#" + q.Encode()
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return strings.TrimSpace(string(r[:n-1])) + "…"
}

// markdown keeps text from being read as markup.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>#|~&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
