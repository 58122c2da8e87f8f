package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/api"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/inference/bert/berttest"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
)

func fallbacks(a answer.Answer) string {
	var out []string
	for _, f := range a.Fallbacks {
		if f.Text == "" || !strings.Contains(a.Fallback, f.Text) {
			out = append(out, "(not in words)")
		}
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

// realLabels writes the sample as documents of the site, each with a sentence of
// its own, so that they are no sample, and two batches of them differ.
func realLabels(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	names, err := filepath.Glob(filepath.Join("formulary", "sample", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatal(err, len(names))
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		s := strings.Replace(string(b), "\nid: sample-", "\nid: site-", 1)
		s = strings.Replace(s, "\nnotice: Sample text, not for clinical use\n", "\n", 1)
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(n)), []byte(s+"\n\n## Storage\n\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// flip turns a letter of a text wherever files under dir hold it, under the feet
// of the daemon that has them open.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		for at := 0; ; n++ {
			i := bytes.Index(b[at:], []byte(text))
			if i < 0 {
				return nil
			}
			at += i + 1
			if _, err := f.WriteAt([]byte{text[0] ^ 0x20}, int64(at-1)); err != nil {
				return err
			}
		}
	})
	if err != nil || n == 0 {
		t.Fatalf("%q lies %d times under %s: %v", text, n, dir, err)
	}
}

// The models of a box are killed and their files taken away, first the embedder,
// then the one that orders passages, then the one that writes: questions are answered all the same, and say how.
func TestModelsFallBack(t *testing.T) {
	t.Parallel()
	dir := testdata(t)
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	labels := realLabels(t, "Store below 25 °C.")
	s := startDaemon(t, func(c *config.Config) { c.Cache.Enabled = false })
	importModel := func(path, name string) string {
		t.Helper()
		c, err := control.Dial(s.data)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		e, err := c.ImportModel(t.Context(), path, catalog.ImportOptions{Name: name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(s.data, "models", "blobs", e.SHA256+"*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v %v", err, found)
		}
		return found[0]
	}
	encoder, judge := importModel(berttest.Folder(t), "encoder"), importModel(berttest.Folder(t, "LABEL_0"), "judge")
	stories := importModel(filepath.Join(dir, "models", "stories260K"), "stories")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = startDaemon(t, func(c *config.Config) {
		c.Data, c.Cache.Enabled, c.Model.Embedder, c.Model.Reranker, c.Model.Generator = s.data, false, "encoder", "judge", "stories"
		c.Answer.MaxTokens, c.Answer.Passages = 40, 1
	})
	c, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Ingest(t.Context(), []string{labels}, nil); err != nil {
		t.Fatal(err)
	}
	const question = "Can metformin be started with an eGFR of 40?"
	s.waitDense(t)
	// The box goes on without a model that takes seconds, as one may on a busy machine.
	a := s.ask(t, question)
	for end := time.Now().Add(2 * time.Minute); !allServed(a) && time.Now().Before(end); {
		a = s.ask(t, question)
	}
	if !allServed(a) {
		t.Fatalf("all models should work: embed %v, rerank %v, withheld %d, %q", a.Timings.Embed, a.Timings.Rerank, a.Withheld, a.Fallback)
	}
	kill := func(blob string) {
		t.Helper()
		if err := os.Remove(blob); err != nil {
			t.Fatal(err)
		}
		for _, pid := range enginesOf(blob) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	kill(encoder)
	if a = s.ask(t, question); a.Status != answer.StatusAnswered || !strings.HasPrefix(fallbacks(a), answer.FallbackWords) {
		t.Errorf("without the embedder: %s, %q: %q", a.Status, fallbacks(a), a.Fallback)
	}
	kill(judge)
	if a = s.ask(t, question); a.Status != answer.StatusAnswered || !strings.HasPrefix(fallbacks(a), answer.FallbackWords+" "+answer.FallbackOrder) {
		t.Errorf("without the reranker: %s, %q: %q", a.Status, fallbacks(a), a.Fallback)
	}
	kill(stories)
	if a = s.ask(t, question); a.Status != answer.StatusAnswered || a.Mode != answer.ModeExtractive || fallbacks(a) != answer.FallbackWords+" "+answer.FallbackOrder+" "+answer.FallbackExtract ||
		!strings.Contains(a.Fallback, "engine") && !strings.Contains(a.Fallback, "model is not") {
		t.Errorf("without all: %s, %s, %q: %q", a.Status, a.Mode, fallbacks(a), a.Fallback)
	}
}

// allServed says whether embedder, reranker and the model that writes (whose sentences
// are withheld, as it tells stories) had a part in an answer.
func allServed(a answer.Answer) bool {
	missed := fallbacks(a)
	return a.Timings.Embed > 0 && a.Timings.Rerank > 0 && a.Withheld > 0 && !strings.Contains(missed, answer.FallbackWords) && !strings.Contains(missed, answer.FallbackOrder)
}

// enginesOf are the processes of a model's file.
func enginesOf(blob string) (out []int) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(b), blob) {
			continue
		}
		pid := 0
		for _, c := range filepath.Base(filepath.Dir(p)) {
			pid = pid*10 + int(c-'0')
		}
		out = append(out, pid)
	}
	return out
}

// An ingest is the first to meet the damage: the generation before serves, as after a
// question that meets it, and has what was ingested.
func TestIngestMeetsDamage(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	c, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put := func(dir string) {
		t.Helper()
		if _, err := c.Ingest(t.Context(), []string{dir}, nil); err != nil {
			t.Fatal(err)
		}
	}
	generation := func(storage string) string {
		t.Helper()
		put(realLabels(t, storage))
		if _, err := c.Compact(t.Context(), nil); err != nil { // a generation of its own
			t.Fatal(err)
		}
		var h api.Health
		s.do(t, "GET", "/v1/status", nil, &h)
		g, _, _ := strings.Cut(h.Generation, "+")
		return g
	}
	older := generation("Store below 25 °C.")
	newer := generation("Store below 20 °C.")
	if older == newer {
		t.Fatalf("both are %s", older)
	}
	flip(t, filepath.Join(s.data, "index", newer), "between 30 and 45 mL/min")
	many := t.TempDir() // for an update too many, so all that there is is read
	for n := range 70 {
		text := fmt.Sprintf("---\nid: notice-%d\ntitle: Notice %d\n---\n# Notice %d\n\nShelf %d holds the splints.\n", n, n, n, n)
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("%d.md", n)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(many)
	var h api.Health
	s.do(t, "GET", "/v1/status", nil, &h)
	if strings.HasPrefix(h.Generation, newer) {
		t.Errorf("%s still serves", h.Generation)
	}
	if a := s.ask(t, "Can metformin be started with an eGFR of 40?"); len(a.Claims) == 0 || fallbacks(a) != "" {
		t.Errorf("%q %+v", fallbacks(a), a.Claims)
	}
	if _, err := c.Document(t.Context(), "notice-69"); err != nil {
		t.Error(err)
	}
}

// Bytes of the index are flipped while it is open, generation after generation:
// the last good one answers, then what was answered before, then a problem that
// says what to do; a start finds the same, and ingesting mends it.
func TestIndexFallsBack(t *testing.T) {
	t.Parallel()
	change := func(c *config.Config) { c.Cache.Answers = config.Duration(time.Nanosecond) } // all are past their hour
	s := startDaemon(t, change)
	ingest := func(text string) string {
		t.Helper()
		c, err := control.Dial(s.data)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Ingest(t.Context(), []string{realLabels(t, text)}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compact(t.Context(), nil); err != nil { // a generation of its own
			t.Fatal(err)
		}
		var h api.Health
		s.do(t, "GET", "/v1/status", nil, &h)
		generation, _, _ := strings.Cut(h.Generation, "+")
		return filepath.Join(s.data, "index", generation)
	}
	const asked, unasked = "Can metformin be started with an eGFR of 40?", "eGFR of 40: is starting metformin fine?"
	const sentence = "between 30 and 45 mL/min"
	older := ingest("Store below 25 °C.")
	newer := ingest("Store in a cool place, below 20 °C, and out of the reach of children.")
	if older == newer {
		t.Fatalf("both are %s", older)
	}
	first := s.ask(t, asked)
	if fallbacks(first) != "" || len(first.Claims) == 0 {
		t.Fatalf("%+v", first)
	}

	flip(t, newer, sentence)
	a := s.ask(t, asked)
	if fallbacks(a) != answer.FallbackGeneration || !strings.HasPrefix(a.Generation, filepath.Base(older)) || a.Cached || a.Claims[0].Text != first.Claims[0].Text {
		t.Errorf("the newest generation is damaged: %q from %s, cached %v: %q", fallbacks(a), a.Generation, a.Cached, a.Fallback)
	}
	var h api.Health
	s.do(t, "GET", "/readyz", nil, &h)
	if !h.Ready || !slices.ContainsFunc(h.Degraded, func(d string) bool { return strings.Contains(d, "is damaged") }) {
		t.Errorf("status: %+v", h)
	}

	// The start after it knows that the newest is damaged.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	flip(t, older, sentence)
	s = startDaemon(t, func(c *config.Config) { change(c); c.Data = s.data })
	check := func(when, code string) {
		t.Helper()
		a := s.ask(t, asked)
		if fallbacks(a) != answer.FallbackEarlier || !a.Cached || a.Made == nil || time.Since(*a.Made) > time.Hour || a.Generation == "" || a.Claims[0].Text != first.Claims[0].Text ||
			!strings.Contains(a.Fallback, a.Made.Format("2 January 2006")) || !strings.Contains(a.Fallback, a.Generation) {
			t.Errorf("%s: %q, cached %v, made %v: %q", when, fallbacks(a), a.Cached, a.Made, a.Fallback)
		}
		var p api.Problem
		resp := s.do(t, "POST", "/v1/ask", map[string]string{"question": unasked}, &p)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Content-Type") != "application/problem+json" || p.Code != code || !strings.Contains(p.Detail, "technician") {
			t.Errorf("%s: what was not asked before: %d %+v", when, resp.StatusCode, p)
		}
	}
	check("both are damaged", "index_damaged")

	// Nothing can be opened at a start: it is moved aside, and no sample comes.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	manifests, _ := filepath.Glob(filepath.Join(s.data, "index", "gen-*", "manifest.json"))
	for _, m := range manifests {
		if err := os.WriteFile(m, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s = startDaemon(t, func(c *config.Config) { change(c); c.Data = s.data })
		check("nothing can be opened", "documents_lost")
		if resp := s.do(t, "GET", "/readyz", nil, &h); resp.StatusCode != http.StatusServiceUnavailable || h.Documents != 0 {
			t.Errorf("ready: %d, %+v", resp.StatusCode, h)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(s.data, "index.damaged-*")); len(found) != 1 {
		t.Errorf("moved aside: %v", found)
	}
	s = startDaemon(t, func(c *config.Config) { change(c); c.Data = s.data })
	ingest("Store below 25 °C.")
	for _, q := range []string{asked, unasked} {
		if a := s.ask(t, q); fallbacks(a) != "" || len(a.Claims) == 0 {
			t.Errorf("ingested again: %s: %q %+v", q, fallbacks(a), a.Claims)
		}
	}
}
