package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/feedback"
	"rxedge/daemon/formulary"
	"rxedge/index"
	"rxedge/index/document"
)

// The page is tested against an API in the test's hands: the shapes are the
// real types, the text is that of the sample formulary, and what comes when is
// each test's to say. The way through the real daemon is tested there.

// box stands for the daemon behind the page.
type box struct {
	*httptest.Server
	docs map[string]*document.Document

	mu       sync.Mutex
	asked    []string
	previous [][]string
	items    []feedback.Item
	ask      func(s *stream, q answer.Question)
}

// stream is the reply to one question.
type stream struct {
	w http.ResponseWriter
	r *http.Request
}

func (s *stream) send(event string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	s.w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", event, b)
	s.w.(http.Flusher).Flush()
}

// whole sends an answer the way the daemon streams it.
func (s *stream) whole(a answer.Answer) {
	s.send("retrieved", map[string]any{"retrieved": a.Retrieved})
	for _, c := range a.Claims {
		s.send("claim", c)
	}
	if a.Withheld > 0 {
		s.send("withheld", map[string]int{"count": a.Withheld})
	}
	s.send("done", a)
}

func (s *stream) refuse(status int, code, detail string) {
	s.w.Header().Set("Content-Type", "application/problem+json")
	s.w.WriteHeader(status)
	_ = json.NewEncoder(s.w).Encode(map[string]any{
		"title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{docs: map[string]*document.Document{}}
	for _, name := range []string{"metformin.md", "apixaban.md", "warfarin.md"} {
		d := sampleDocument(t, name)
		b.docs[d.ID] = d
	}
	odd := oddDocument()
	b.docs[odd.ID] = odd
	b.ask = func(s *stream, q answer.Question) { s.whole(b.answerTo(q.Text)) }

	mux := http.NewServeMux()
	mux.Handle("/", Handler())
	mux.HandleFunc("POST /v1/ask", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			answer.Question
			Previous []string `json:"previous"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Accept") != "text/event-stream" {
			http.Error(w, "not what the contract says", http.StatusBadRequest)
			return
		}
		b.mu.Lock()
		b.asked = append(b.asked, q.Text)
		b.previous = append(b.previous, q.Previous)
		ask := b.ask
		b.mu.Unlock()
		ask(&stream{w, r}, q.Question)
	})
	mux.HandleFunc("GET /v1/documents/{id}", func(w http.ResponseWriter, r *http.Request) {
		d, ok := b.docs[r.PathValue("id")]
		if !ok {
			(&stream{w, r}).refuse(http.StatusNotFound, "not_found", "there is no such document on this box")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(d)
	})
	mux.HandleFunc("POST /v1/feedback", func(w http.ResponseWriter, r *http.Request) {
		var i feedback.Item
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&i); err != nil || i.Check() != nil {
			(&stream{w, r}).refuse(http.StatusBadRequest, "invalid_request", "not what the contract says")
			return
		}
		b.mu.Lock()
		b.items = append(b.items, i)
		b.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]string{"id": i.ID, "answer_id": i.AnswerID})
	})
	mux.HandleFunc("GET /v1/suggest", func(w http.ResponseWriter, r *http.Request) {
		out := []index.Suggestion{}
		if q := r.URL.Query().Get("q"); strings.HasSuffix(q, "metf") {
			out = append(out, index.Suggestion{Text: q + "ormin", Added: "metformin", Kind: index.SuggestMedicine, Documents: 1}, index.Suggestion{Text: q + "oo", Added: "metfoo", Kind: index.SuggestWord, Passages: 3})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"suggestions": out})
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":"ok"}`)) })
	b.Server = httptest.NewServer(mux)
	t.Cleanup(func() { b.Close() })
	return b
}

// leave closes the service, as a daemon that has ended; what it returns starts
// it again at the same address.
func (b *box) leave(t *testing.T) (comeBack func()) {
	t.Helper()
	addr, h := b.Listener.Addr().String(), b.Config.Handler
	b.CloseClientConnections()
	b.Close()
	return func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		s := httptest.NewUnstartedServer(h)
		s.Listener.Close()
		s.Listener = l
		s.Start()
		b.Server = s
	}
}

func (b *box) said() []feedback.Item {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]feedback.Item(nil), b.items...)
}

func (b *box) on(ask func(*stream, answer.Question)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ask = ask
}

func (b *box) questions() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.asked...)
}

// sampleDocument reads a medicine of the formulary, enough of it for a page.
func sampleDocument(t *testing.T, name string) *document.Document {
	t.Helper()
	raw, err := fs.ReadFile(formulary.Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	head, text, _ := strings.Cut(strings.TrimPrefix(string(raw), "---\n"), "\n---\n")
	d := &document.Document{Kind: document.KindMarkdown, Source: name}
	for _, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "id":
			d.ID = value
		case "title":
			d.Title = value
		case "version":
			d.Version = value
		case "effective":
			d.Effective = value
		case "brand", "generic":
			d.Names = append(d.Names, document.Name{Text: value, Kind: key})
		case "notice":
			d.Notice = value
		}
	}
	for _, part := range strings.Split("\n"+text, "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		d.Sections = append(d.Sections, document.Section{
			ID:    d.ID + "#" + strings.ReplaceAll(strings.ToLower(title), " ", "-"),
			Title: title,
			Text:  strings.TrimSpace(body),
		})
	}
	return d
}

// oddDocument is text where bytes, UTF-16 units and characters all differ, in
// paragraphs, a list and a table, under ids that must be escaped.
func oddDocument() *document.Document {
	return &document.Document{
		ID: "set/7 ä#1", Version: "3", Title: "Ödd <b>label</b> & co", Effective: "2024-02-29", Kind: document.KindSPL, Source: "odd.xml",
		Sections: []document.Section{
			{
				ID: "set/7 ä#1#34068-7", LOINC: "34068-7", Number: "2", Title: "Dosage & Administration", Path: []string{"Full Prescribing Information"},
				Text: "β-lactamase 😀 naïve “quotes” — 5 µg ≥ 3 ℃.\n\n" +
					"• First choice 💊: take 10 µg.\n• Second choice: take 20 µg.\n\n" +
					"Weight | Dose\n≥ 40 kg 💊 | 500 mg\n< 40 kg | 25 mg/kg\n\n" +
					"After the table, doses of 7.5 mg are <script>alert(1)</script> whole.",
			},
			{ID: "set/7 ä#1#4", Number: "4", Title: "Contraindications", Text: "None are known."},
		},
	}
}

// cite makes the citation of a sentence that stands in a section.
func (b *box) cite(id, section, quote string) answer.Citation {
	d := b.docs[id]
	for _, s := range d.Sections {
		if s.Title != section {
			continue
		}
		start := strings.Index(s.Text, quote)
		if start < 0 {
			break
		}
		return answer.Citation{
			SetID: d.ID, Version: d.Version, DocumentTitle: d.Title, SectionID: s.ID, SectionTitle: s.Title,
			EffectiveDate: d.Effective, Start: start, End: start + len(quote), Quote: quote,
		}
	}
	panic("no such sentence in " + id + ", " + section + ": " + quote)
}

func (b *box) looked(id string, sections ...string) []answer.Retrieved {
	var out []answer.Retrieved
	for _, d := range []*document.Document{b.docs[id]} {
		for _, s := range d.Sections {
			for _, want := range sections {
				if s.Title == want {
					out = append(out, answer.Retrieved{
						SetID: d.ID, DocumentTitle: d.Title, SectionID: s.ID, SectionTitle: s.Title, Start: 0, End: len(s.Text), Score: 1 / float64(60+len(out)),
					})
				}
			}
		}
	}
	return out
}

const (
	renal     = "Dosage in Renal Impairment"
	starting  = "Starting metformin is not recommended when the eGFR is between 30 and 45 mL/min/1.73 m²."
	falling   = "If the eGFR falls below 45 mL/min/1.73 m² in a patient who already takes metformin, weigh the benefit of continuing against the risk."
	severe    = "Metformin is contraindicated in severe renal impairment, that is an eGFR below 30 mL/min/1.73 m²."
	question  = "Can metformin be started with an eGFR of 40?"
	unknown   = "What is the dose of zanubrutinib?"
	notSample = "Sample text, not for clinical use"
)

// answerTo is the answer to the page's example question, and an abstention to
// any other.
func (b *box) answerTo(q string) answer.Answer {
	a := answer.Answer{
		ID: "a-1", Question: q, Status: answer.StatusAbstained, Reason: answer.ReasonNoEvidence,
		Message: "None of the passages that were found speaks of this.", Claims: []answer.Claim{},
		Retrieved: append(b.looked("sample-metformin", "Dosage and Administration", "Indications and Usage"), b.looked("sample-warfarin", "Dosage and Administration")...),
		Mode:      answer.ModeExtractive, Generation: "g-000003",
		Timings: answer.Timings{Embed: 3.1, Retrieve: 4.2, Generate: 11.4, Total: 19.02},
	}
	if q != question {
		return a
	}
	a.Status, a.Reason, a.Message, a.Notices = answer.StatusAnswered, "", "", []string{notSample}
	a.Claims = []answer.Claim{
		{Text: starting, Citations: []answer.Citation{b.cite("sample-metformin", renal, starting)}},
		{Text: falling, Citations: []answer.Citation{b.cite("sample-metformin", renal, falling)}},
		{Text: severe, Citations: []answer.Citation{b.cite("sample-metformin", "Contraindications", severe)}},
	}
	a.Retrieved = b.looked("sample-metformin", renal, "Contraindications", "Boxed Warning", "Dosage and Administration", "Warnings and Precautions")
	return a
}

// disputed is an answer with all that can be wrong with one, as JSON: some of the
// fields are for answers of models alone.
func (b *box) disputed(q string) map[string]any {
	raw, err := json.Marshal(b.answerTo(question))
	if err != nil {
		panic(err)
	}
	var a map[string]any
	if err := json.Unmarshal(raw, &a); err != nil {
		panic(err)
	}
	a["question"], a["severity"], a["stale"], a["label_date"], a["conflicting"] = q, "contraindication", true, "2026-01-15", true
	a["decision"] = map[string]any{"wrong": .3, "threshold": .5, "doubt": "some"}
	a["explain"] = map[string]any{"previous": map[string]any{"medicines": []string{"metformin"}, "from": "max dose of metformin?"}}
	a["fallback"] = "search by meaning is not available; the documents were searched by words alone"
	side := func(value string, c answer.Citation) map[string]any {
		return map[string]any{"text": "The starting dose is " + value + " once a day.", "values": []string{value}, "citation": c}
	}
	a["conflicts"] = []any{map[string]any{"about": "10 mg | 20 mg", "sides": []any{
		side("10 mg", b.cite("sample-metformin", renal, starting)), side("20 mg", b.cite("sample-metformin", "Contraindications", severe))}}}
	claims := a["claims"].([]any)
	set := func(i int, fields map[string]any) {
		for k, v := range fields {
			claims[i].(map[string]any)[k] = v
		}
	}
	set(0, map[string]any{"severity": "contraindication", "action": "avoid", "support": "grounded", "score": 1})
	set(1, map[string]any{"severity": "warning", "action": "reduce_dose", "evidence_level": "trial", "support": "partly", "score": .6})
	claims[1].(map[string]any)["citations"].([]any)[0].(map[string]any)["stale"] = true
	set(2, map[string]any{"support": "unverified"})
	return a
}
