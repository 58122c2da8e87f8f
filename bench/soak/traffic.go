package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// times of answers since they were taken last, in milliseconds.
type times struct {
	mu  sync.Mutex
	all []float64
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, float64(d)/float64(time.Millisecond))
}

func (t *times) take() []float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.all
	t.all = nil
	return out
}

// tally counts what was sent and what came of it, by kind of request.
type tally struct {
	mu       sync.Mutex
	Sent     map[string]int            `json:"sent"`
	Outcomes map[string]int            `json:"outcomes"` // of answers: answered, abstained, their reasons and fallbacks
	Failed   map[string]map[string]int `json:"failed"`   // by kind, by reason
	Away     map[string]int            `json:"away"`     // sent while the daemon was being started again
	Told     map[string]int            `json:"told"`     // refused as they had to be, by kind and reason
	Example  map[string]string         `json:"example"`  // the first of each reason
}

func newTally() *tally {
	return &tally{Sent: map[string]int{}, Outcomes: map[string]int{}, Failed: map[string]map[string]int{}, Away: map[string]int{}, Told: map[string]int{}, Example: map[string]string{}}
}

func (t *tally) outcome(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Outcomes[what]++
}

// told says whether a refusal is what the box has to say in the state that it was
// brought into: what can't be kept on a full disk is refused, and who asked the language
// model itself is told that it ended. Questions have no such excuse.
func (s *soak) told(kind string, err error, began time.Time, full bool) bool {
	var u *unexpected
	if !errors.As(err, &u) {
		return false
	}
	switch kind {
	case "feedback":
		return full && strings.HasPrefix(u.code, "507")
	case "openai, model alone":
		return !began.Add(-20 * time.Second).After(time.Unix(0, s.killed.Load()))
	}
	return false
}

// came notes what became of a request; away: the daemon was down on purpose for
// some of its time; told: it was refused as it had to be.
func (t *tally) came(kind string, err error, away, told bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Sent[kind]++
	switch {
	case err == nil:
	case away:
		t.Away[kind]++
	case told:
		t.Told[kind+": "+reason(err)]++
	default:
		why := reason(err)
		if t.Failed[kind] == nil {
			t.Failed[kind] = map[string]int{}
		}
		t.Failed[kind][why]++
		if _, ok := t.Example[kind+": "+why]; !ok {
			t.Example[kind+": "+why] = err.Error()
		}
	}
}

func (t *tally) failed() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.Failed {
		for _, v := range m {
			n += v
		}
	}
	return n
}

// unexpected is an answer that came and is not what was asked for.
type unexpected struct{ code, detail string }

func (u *unexpected) Error() string { return u.code + ": " + u.detail }

// reason of a failure in few words.
func reason(err error) string {
	var u *unexpected
	var ne net.Error
	switch {
	case errors.As(err, &u):
		return u.code
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection lost"
	case errors.As(err, &ne) && ne.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return "other"
}

// kinds of requests and how many of a hundred they are.
var kinds = []struct {
	name  string
	share int
	send  func(*asker, context.Context) error
}{
	{"ask", 40, (*asker).ask},
	{"stream", 9, (*asker).stream},
	{"stream, cut", 7, (*asker).cut},
	{"openai", 6, (*asker).openAI},
	{"openai, model alone", 3, (*asker).story},
	{"cds hooks", 6, (*asker).cards},
	{"infobutton", 6, (*asker).infobutton},
	{"search", 9, (*asker).search},
	{"suggest", 4, (*asker).suggest},
	{"feedback", 5, (*asker).feedback},
	{"pages", 3, (*asker).page},
	{"vanished", 2, (*asker).vanish},
}

// patience with one request.
const patience = 30 * time.Second

// traffic sends rate requests a second until ctx ends, at random distances; each
// kind by its share.
func (s *soak) traffic(ctx context.Context, rnd *rand.Rand) {
	var wg sync.WaitGroup
	defer wg.Wait()
	limit := make(chan struct{}, 32) // a box that hangs must not fill this process
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(rnd.ExpFloat64() * float64(time.Second) / s.rate)):
		}
		at := rnd.IntN(100)
		i := 0
		for at -= kinds[0].share; at >= 0; at -= kinds[i].share {
			i++
		}
		a := &asker{soak: s, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 1))}
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			began := time.Now()
			own, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			full := s.full.Load()
			err := kinds[i].send(a, own)
			s.tally.came(kinds[i].name, err, err != nil && s.wasAway(began), s.told(kinds[i].name, err, began, full || s.full.Load()))
		})
	}
}

// asker sends one request.
type asker struct {
	*soak
	rnd *rand.Rand
}

// question that people ask: few of them often, most of them seldom.
func (a *asker) question() string {
	if a.rnd.IntN(12) == 0 { // of what is being changed all the time
		name := siteMedicine(a.rnd.IntN(siteMedicines))
		if a.rnd.IntN(2) == 0 {
			name = centralMedicine(a.rnd.IntN(centralMedicines))
		}
		return fmt.Sprintf("What is the usual dose of %s?", name)
	}
	return a.questions[int(float64(len(a.questions))*a.rnd.Float64()*a.rnd.Float64()*a.rnd.Float64())]
}

func (a *asker) medicine() string { return a.medicines[a.rnd.IntN(len(a.medicines))] }

func (a *asker) request(ctx context.Context, method, path string, body any, header ...string) (*http.Response, error) {
	d, _ := a.daemon()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.URL+path, r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return a.client.Do(req)
}

func (a *asker) send(ctx context.Context, method, path string, body any, header ...string) ([]byte, error) {
	resp, err := a.request(ctx, method, path, body, header...)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp, b)
	}
	return b, nil
}

func refusal(resp *http.Response, b []byte) error {
	var p struct{ Code string }
	_ = json.Unmarshal(b, &p)
	return &unexpected{strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", p.Code)), fmt.Sprintf("%.300s", b)}
}

// answered is the part of an answer that is looked at.
type answered struct {
	ID        string
	Status    string
	Reason    string
	Fallbacks []struct{ Name string }
	Claims    []struct {
		Text      string
		Citations []struct{ Quote string }
	}
}

// check that an answer is one: that each claim is cited.
func (a *asker) check(b []byte) error {
	var got answered
	if err := json.Unmarshal(b, &got); err != nil {
		return &unexpected{"not an answer", err.Error()}
	}
	what := got.Status
	if got.Reason != "" {
		what += ": " + got.Reason
	}
	a.tally.outcome(what)
	for _, f := range got.Fallbacks {
		a.tally.outcome("fallback: " + f.Name)
	}
	switch {
	case got.Status == "answered" && len(got.Claims) == 0, got.Status != "answered" && got.Status != "abstained":
		return &unexpected{"not an answer", fmt.Sprintf("status %q with %d claims", got.Status, len(got.Claims))}
	}
	for _, c := range got.Claims {
		if len(c.Citations) == 0 || c.Citations[0].Quote == "" {
			return &unexpected{"a claim without a citation", got.ID}
		}
	}
	a.remember(got.ID)
	return nil
}

func (a *asker) ask(ctx context.Context) error {
	q := map[string]any{"question": a.question()}
	switch a.rnd.IntN(10) {
	case 0:
		q["explain"] = true
	case 1:
		q["fresh"] = true
	case 2, 3:
		q["cohort"] = []string{"0-17", "18-64", "65+"}[a.rnd.IntN(3)]
	case 4:
		q["previous"] = []string{a.question()}
	}
	began := time.Now()
	b, err := a.send(ctx, http.MethodPost, "/v1/ask", q)
	if err != nil {
		return err
	}
	a.times.add(time.Since(began))
	return a.check(b)
}

func (a *asker) events(ctx context.Context) (*http.Response, error) {
	resp, err := a.request(ctx, http.MethodPost, "/v1/ask", map[string]any{"question": a.question(), "fresh": a.rnd.IntN(2) == 0}, "Accept", "text/event-stream")
	if err == nil && resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		return nil, refusal(resp, b)
	}
	return resp, err
}

func (a *asker) stream(ctx context.Context) error {
	resp, err := a.events(ctx)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	last := ""
	for lines.Scan() {
		name, is := strings.CutPrefix(lines.Text(), "event: ")
		if is {
			last = name
		}
		if data, is := strings.CutPrefix(lines.Text(), "data: "); is && last == "done" {
			return a.check([]byte(data))
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return &unexpected{"a stream without its end", "the last event was " + last}
}

// cut goes away in the midst of a stream.
func (a *asker) cut(ctx context.Context) error {
	resp, err := a.events(ctx)
	if err != nil {
		return err
	}
	_, _ = io.ReadFull(resp.Body, make([]byte, 1+a.rnd.IntN(400)))
	return resp.Body.Close()
}

func (a *asker) openAI(ctx context.Context) error {
	b, err := a.send(ctx, http.MethodPost, "/v1/chat/completions", map[string]any{"model": "rxedge", "messages": []map[string]string{{"role": "user", "content": a.question()}}})
	if err == nil && !bytes.Contains(b, []byte(`"choices"`)) {
		return &unexpected{"not a completion", fmt.Sprintf("%.200s", b)}
	}
	return err
}

// story is a completion of the language model alone, streamed, and cut now and then.
func (a *asker) story(ctx context.Context) error {
	if !a.withModel {
		return a.openAI(ctx)
	}
	resp, err := a.request(ctx, http.MethodPost, "/v1/chat/completions", map[string]any{"model": modelName, "stream": true, "max_tokens": 24, "messages": []map[string]string{{"role": "user", "content": "Once upon a time"}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		return refusal(resp, b)
	}
	if a.rnd.IntN(3) == 0 {
		_, _ = io.ReadFull(resp.Body, make([]byte, 300))
		return nil
	}
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case bytes.Contains(b, []byte(`"error"`)):
		return &unexpected{"the model failed under way", fmt.Sprintf("%.300s", b[max(0, len(b)-300):])}
	case !bytes.Contains(b, []byte("data: [DONE]")):
		return &unexpected{"a stream without its end", fmt.Sprintf("%.200s", b[max(0, len(b)-200):])}
	}
	return nil
}

func order(id, text string) map[string]any {
	return map[string]any{"resourceType": "MedicationRequest", "id": id, "status": "active", "medicationCodeableConcept": map[string]any{"text": text}}
}

func (a *asker) cards(ctx context.Context) error {
	entry := func(m map[string]any) map[string]any { return map[string]any{"resource": m} }
	b, err := a.send(ctx, http.MethodPost, "/cds-services/rxedge-order-sign", map[string]any{"hook": "order-sign", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "prefetch": map[string]any{},
		"context": map[string]any{"userId": "Practitioner/1", "patientId": "1", "draftOrders": map[string]any{"resourceType": "Bundle", "entry": []any{entry(order("1", a.medicine()+" 5 mg tablet")), entry(order("2", a.medicine()))}}}})
	if err == nil && !bytes.Contains(b, []byte(`"cards"`)) {
		return &unexpected{"not cards", fmt.Sprintf("%.200s", b)}
	}
	return err
}

func (a *asker) infobutton(ctx context.Context) error {
	q := url.Values{"mainSearchCriteria.v.dn": {a.medicine()}, "knowledgeResponseType": {[]string{"application/json", "text/xml"}[a.rnd.IntN(2)]}}
	_, err := a.send(ctx, http.MethodGet, "/infobutton?"+q.Encode(), nil)
	return err
}

func (a *asker) search(ctx context.Context) error {
	_, err := a.send(ctx, http.MethodPost, "/v1/search", map[string]any{"query": a.question(), "k": 1 + a.rnd.IntN(30), "mode": []string{"", "bm25", "hybrid"}[a.rnd.IntN(3)], "explain": a.rnd.IntN(4) == 0})
	return err
}

func (a *asker) suggest(ctx context.Context) error {
	name := a.medicine()
	_, err := a.send(ctx, http.MethodGet, "/v1/suggest?q="+url.QueryEscape(name[:1+a.rnd.IntN(len(name))]), nil)
	return err
}

func (a *asker) feedback(ctx context.Context) error {
	id := a.recent(a.rnd)
	if id == "" {
		return nil
	}
	item := map[string]any{"answer_id": id, "thumb": []string{"up", "down"}[a.rnd.IntN(2)]}
	if a.rnd.IntN(3) == 0 {
		item["correction"] = "See the table of the section on renal impairment."
	}
	_, err := a.send(ctx, http.MethodPost, "/v1/feedback", item)
	return err
}

var pages = []string{"/", "/station", "/v1/station", "/v1/status", "/readyz", "/healthz", "/v1/models", "/openapi.json", "/cds-services"}

func (a *asker) page(ctx context.Context) error {
	_, err := a.send(ctx, http.MethodGet, pages[a.rnd.IntN(len(pages))], nil)
	return err
}

// vanish connects and goes away in the midst of a request, or sends rubbish.
func (a *asker) vanish(ctx context.Context) error {
	d, _ := a.daemon()
	var dial net.Dialer
	c, err := dial.DialContext(ctx, "tcp", strings.TrimPrefix(d.URL, "http://"))
	if err != nil {
		return err
	}
	defer c.Close()
	switch a.rnd.IntN(4) {
	case 0: // the body never comes
		_, _ = io.WriteString(c, "POST /v1/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{\"question\"")
	case 1: // nor the head
		_, _ = io.WriteString(c, "POST /v1/ask HT")
	case 2: // nothing at all
	case 3:
		junk := make([]byte, 300)
		for i := range junk {
			junk[i] = byte(a.rnd.IntN(256))
		}
		_, _ = c.Write(junk)
	}
	time.Sleep(time.Duration(a.rnd.IntN(2000)) * time.Millisecond)
	if t, ok := c.(*net.TCPConn); ok && a.rnd.IntN(2) == 0 {
		_ = t.SetLinger(0) // it ends with a reset
	}
	return nil
}

// remember an answer's id for feedback.
func (s *soak) remember(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids = append(s.ids, id); len(s.ids) > 50 {
		s.ids = slices.Delete(s.ids, 0, 1)
	}
}

// recent is the id of one of the last answers; each is given once.
func (s *soak) recent(rnd *rand.Rand) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == 0 {
		return ""
	}
	i := rnd.IntN(len(s.ids))
	id := s.ids[i]
	s.ids = slices.Delete(s.ids, i, i+1)
	return id
}
