package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/bench/process"
	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/daemon/logfile"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/synctest"
)

// patient is whom the questions of TestCanary are about: nobody.
const patient = "Zyxwvutina Quetzalmann"

// mayHold says which folders of the data folder may hold what was typed. It is one:
// "feedback", where the text that somebody wrote of an answer is kept, since it is
// written for the pharmacist to read ('rxedge feedback export'); what leaves the box of
// it are counts. The cache may not: what it keeps is sealed under a key that is made of
// the question (daemon/cache/DESIGN.md).
func mayHold(rel string) bool {
	first, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	return first == "feedback"
}

// What is typed at a box of a fleet, asked by every door it has, answered, refused and
// fed back, is nowhere but in the answer and in the feedback: not in the log, the
// metrics, the technician's page and commands, telemetry, alarms, the spool, any file;
// not on the wire, as bytes or as the messages that they carry; not at the hub; not in a
// support bundle, of the running box or of the stopped one.
func TestCanary(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "var")
	// A week and a half came before, the last day unlike the others: alarms.
	today := time.Now().UTC().Truncate(24 * time.Hour)
	if err := telemetrytest.Replay(filepath.Join(data, "telemetry"), 5, today, 10, func(before int) telemetrytest.Change {
		if before > 1 {
			return nil
		}
		return func(rng *rand.Rand, o *telemetry.Observation) {
			if rng.IntN(2) == 0 {
				o.In[telemetry.Class] = "glp-1-agonist"
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	f := synctest.NewFleet(t)
	line, err := synctest.NewLine(f.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	wire := &buffer{}
	line.Record(wire)
	said := hears(t, f)
	f.Enroll(t, filepath.Join(data, "sync"), "site-1", "stable", line.Address())
	configure := func(c *config.Config) {
		noFloor(c)
		c.Data, c.Model.Generator = data, "missing"
	}
	s := startDaemon(t, configure)
	typed(t, s)
	reported(t, f, "alarm", func(central.Report) bool { return true })

	found := &scanner{spellings: spellings(strings.Fields(patient)...)}
	for _, path := range []string{"/metrics", "/v1/station", "/v1/status", "/readyz", "/healthz", "/v1/models"} {
		resp, _, b := s.raw(t, "GET", path, nil)
		if len(b) == 0 {
			t.Errorf("%s is empty: %v", path, resp)
		}
		found.scan(path, b)
	}
	tool := commands(t, data, found)
	supported(t, tool, data, "running", found)

	// What waits while there is no line lies on the disk.
	line.Cut()
	for i := range 3 {
		s.ask(t, fmt.Sprintf("Can metformin be given with an eGFR of %d to %s?", 30+i, patient))
	}
	if _, err := os.Stat(filepath.Join(data, logfile.Folder, logfile.Name)); err != nil {
		t.Error("no log is kept that could be looked at:", err)
	}
	found.folder(t, data, mayHold)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	found.scan("the log", []byte(s.log.String()))
	supported(t, tool, data, "stopped", found)

	// The day ends, and its questions may leave.
	day, err := telemetry.Open(filepath.Join(data, "telemetry"), telemetry.Options{Now: func() time.Time { return today.AddDate(0, 0, 1).Add(time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := day.Close(); err != nil {
		t.Fatal(err)
	}
	line.Heal()
	s = startDaemon(t, configure)
	reported(t, f, "window", func(r central.Report) bool {
		w, err := telemetry.UnmarshalWindow(enroll.SignedData(r.Data))
		return err == nil && w.Model == "" && w.From.Equal(today) && w.Questions >= 14
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	found.scan("the log of the second start", []byte(s.log.String()))
	files := found.folder(t, data, mayHold)
	records := found.stores(t, data, mayHold)

	found.scan("the bytes on the wire", []byte(wire.String()))
	messages := atHub(t, f, found)
	heard := said()
	for _, m := range heard {
		found.scan("a message on "+m.Subject, m.Data)
		for k, v := range m.Header {
			found.scan("a header on "+m.Subject, []byte(k+strings.Join(v, " ")))
		}
	}
	f.StopHub()
	hub := found.folder(t, f.Dir, nil)
	for _, leak := range found.found {
		t.Error(leak)
	}
	if len(wire.String()) < 10_000 || messages < 3 || len(heard) < 3 || files < 30 || records < 50 || hub < 10 {
		t.Errorf("%d bytes of the wire, %d messages at the hub, %d heard, %d files and %d records of the box, %d files of the hub: too few to tell", len(wire.String()), messages, len(heard), files, records, hub)
	}
	t.Logf("%d bytes of the wire, %d messages at the hub, %d heard, %d files and %d records of the box, %d files of the hub, %d compressed members: %d MB",
		len(wire.String()), messages, len(heard), files, records, hub, found.opened, found.looked>>20)

	// Where it may be it is, so the scanner would have seen it elsewhere too.
	there := &scanner{spellings: found.spellings}
	there.folder(t, filepath.Join(data, "feedback"), nil)
	if len(there.found) == 0 {
		t.Error("the correction is not in the feedback")
	}
}

// typed sends the patient's name through every door, in every place for a text.
func typed(t *testing.T, s *station) {
	t.Helper()
	post := func(path, kind, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("User-Agent", patient)
		req.Header.Set("X-Request-Id", patient)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	given := func(path string, body any) int {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return post(path, "application/json", string(b))
	}
	// Enough that a day of them may leave the box.
	var last answer.Answer
	for i := range 14 {
		last = s.ask(t, fmt.Sprintf("%s asks: can metformin be started with an eGFR of %d?", patient, 40+i))
	}
	if last.Status != answer.StatusAnswered {
		t.Errorf("not answered: %+v", last)
	}
	if a := s.ask(t, "What does "+patient+" weigh?"); a.Status != answer.StatusAbstained {
		t.Errorf("not refused: %+v", a)
	}
	for _, b := range []object{
		{"question": "And with warfarin?", "previous": []string{patient + " takes metformin"}, "explain": true}, {"question": "metformin dose of " + strings.ToLower(patient), "cohort": "65+", "fresh": true},
		{"question": "metformin dose", "cohort": patient}, {"question": "metformin dose", "cohort": strings.ToLower(strings.Fields(patient)[0])}, {"question": strings.Repeat(patient+" ", 400)}, {"question": patient, "mode": patient}, {patient: patient}, {"question": object{patient: 1}},
	} {
		given("/v1/ask", b)
	}
	for _, mode := range []string{"", "dense", "bm25", patient} {
		given("/v1/search", object{"query": patient + " metformin", "mode": mode})
	}
	for _, stream := range []bool{false, true} {
		chat := object{"model": "rxedge", "stream": stream, "user": patient, "messages": []object{{"role": "user", "content": patient + " takes warfarin"}, {"role": "assistant", "content": "Yes, " + patient}, {"role": "user", "content": "May " + patient + " take ibuprofen?"}}}
		if code := given("/v1/chat/completions", chat); code != http.StatusOK {
			t.Errorf("chat: %d", code)
		}
	}
	given("/v1/chat/completions", object{"model": patient, "messages": []object{{"role": patient, "content": patient}}})
	given("/v1/embeddings", object{"model": "rxedge", "input": patient})
	given("/v1/rerank", object{"query": patient, "documents": []string{patient}})
	person := object{"resourceType": "Patient", "id": patient, "birthDate": "1950-01-01", "name": []object{{"family": patient}}}
	if code := given("/cds-services/rxedge-order-sign", sign(object{"patient": person, "conditions": object{"resourceType": "Condition", "code": object{"text": patient}}}, order(patient, "warfarin "+patient), order("2", "ibuprofen"))); code != http.StatusOK {
		t.Errorf("CDS Hooks: %d", code)
	}
	given("/cds-services/rxedge-order-sign", object{"hook": patient})
	given("/cds-services/"+url.PathEscape(patient), object{"hook": patient})
	given("/cds-services/rxedge-order-sign/feedback", object{"feedback": []object{{"card": patient, "outcome": "overridden", "overrideReason": object{"userComment": patient}}}})
	q := url.QueryEscape(patient)
	for _, path := range []string{"/infobutton?knowledgeResponseType=application/json&mainSearchCriteria.v.dn=warfarin&patientPerson.administrativeGenderCode.c=F&subTopic.v.dn=" + q,
		"/infobutton?mainSearchCriteria.v.dn=" + q, "/infobutton?" + q + "=%zz", "/v1/suggest?q=" + q, "/v1/documents/" + url.PathEscape(patient), "/" + url.PathEscape(patient)} {
		s.raw(t, "GET", path, nil)
	}
	// Broken, too large, of another kind.
	post("/v1/ask", "application/json", `{"question": "`+patient)
	post("/v1/ask", "text/plain", patient)
	post("/v1/ask", "application/json", `{"question":"`+strings.Repeat(patient, 200_000)+`"}`)
	post("/v1/chat/completions", "application/json", `{"messages":[{"content":`+patient)
	post("/cds-services/rxedge-order-sign", "application/json", `{"hook":"order-sign",`+patient)
	post("/v1/feedback", "application/json", `{"correction":"`+patient)
	// A caller who goes away.
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	if req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/v1/ask", strings.NewReader(`{"question":"interactions of warfarin for `+patient+`","fresh":true}`)); err == nil {
		req.Header.Set("Content-Type", "application/json")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	cancel()
	if resp := s.do(t, "POST", "/v1/feedback", object{"answer_id": last.ID, "thumb": "down", "reason": "wrong", "correction": patient + " got 500 mg"}, nil); resp.StatusCode/100 != 2 {
		t.Errorf("feedback: %s", resp.Status)
	}
	given("/v1/feedback", object{"answer_id": patient, "correction": patient})
	given("/v1/feedback", object{"answer_id": last.ID, "thumb": patient})
}

// buildTool makes rxedge, once.
func buildTool(t *testing.T) string {
	t.Helper()
	tool, err := builtTool()
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

var builtTool = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rxedge-tool-")
	if err != nil {
		return "", err
	}
	toolDir = dir
	return process.Build(context.Background(), dir, "../admin", "rxedge")
})

// toolDir goes when all tests are done.
var toolDir string

// commands are what a technician sees, of a tool that is built here.
func commands(t *testing.T, data string, found *scanner) (tool string) {
	t.Helper()
	tool = buildTool(t)
	run := func(args ...string) []byte {
		c := exec.CommandContext(t.Context(), tool, append(args, "--data", data)...)
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		found.scan("the errors of rxedge "+strings.Join(args, " "), errs.Bytes())
		if err != nil && args[0] != "doctor" && args[0] != "ask" {
			t.Errorf("rxedge %v: %v: %s", args, err, &errs)
		}
		return out
	}
	run("ask", "May "+patient+" take metformin?") // its answer is the person's who asked
	for _, c := range []string{"status", "doctor", "telemetry status", "telemetry alarms", "telemetry drift", "telemetry by --dimension cohort", "telemetry by --dimension kind", "telemetry by --dimension class",
		"telemetry explain", "telemetry slow", "sync status", "sync history", "rollout status", "rollout history", "feedback list", "index list", "index stats", "index documents", "model list", "eval history", "eval ledger"} {
		out := run(append(strings.Fields(c), "--json")...)
		if len(out) == 0 {
			t.Errorf("rxedge %s --json says nothing", c)
		}
		found.scan("rxedge "+c, out)
	}
	reports := t.TempDir()
	for _, suffix := range []string{"html", "md"} {
		run("report", "audit", "--out", filepath.Join(reports, "audit."+suffix))
		run("report", "model-card", "--model", "none", "--out", filepath.Join(reports, "card."+suffix))
	}
	if n := found.folder(t, reports, nil); n < 4 {
		t.Errorf("%d reports", n)
	}
	return tool
}

// hears all messages that the hub passes on in the fleet's account, in clear.
func hears(t *testing.T, f *synctest.Fleet) func() []*nats.Msg {
	t.Helper()
	nc, err := f.Connect(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var mu sync.Mutex
	var heard []*nats.Msg
	if _, err := nc.Subscribe(">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, m)
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() []*nats.Msg {
		mu.Lock()
		defer mu.Unlock()
		return heard
	}
}

// reported waits until a report of a kind is at the hub.
func reported(t *testing.T, f *synctest.Fleet, kind string, is func(central.Report) bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		there := false
		if err := f.Collect(t.Context(), nil, 0, func(r central.Report) error {
			there = there || r.Kind == kind && is(r)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if there {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no report of the kind %q", kind)
		}
	}
}

// atHub scans every message that the hub keeps, and every report as the centre reads it.
func atHub(t *testing.T, f *synctest.Fleet, found *scanner) (messages int) {
	t.Helper()
	if err := f.Collect(t.Context(), nil, 0, func(r central.Report) error {
		found.scan("a report "+r.Kind, r.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	nc, err := f.Connect(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		st, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		state := st.CachedInfo().State
		for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
			m, err := st.GetMsg(t.Context(), seq)
			if err != nil {
				continue // gone since
			}
			messages++
			found.scan("a message in "+name+" on "+m.Subject, m.Data)
			found.scan("a header in "+name, []byte(fmt.Sprint(m.Header)))
		}
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	return messages
}
