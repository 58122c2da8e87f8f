package falsify

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/api"
	"rxedge/daemon/formulary"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference"
	"rxedge/inference/support"
)

// Nothing of a sentence that was withheld is sent: not in an event of /v1/ask, not
// in a stream as OpenAI's, not in the answer as JSON.
func TestNothingWithheldIsSent(t *testing.T) {
	t.Parallel()
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	var docs []*document.Document
	var medicines, sentences []string
	files := formulary.Files()
	names, _ := fs.Glob(files, "*.md")
	for _, n := range names {
		text, err := fs.ReadFile(files, n)
		if err != nil {
			t.Fatal(err)
		}
		medicines = append(medicines, strings.TrimSuffix(n, ".md"))
		if _, err := document.ReadBytes(t.Context(), n, text, document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	sentences = append(sentences, "Metformin is given with every meal of the day to those who fast.")
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	liar := NewLiar(5, Others{Medicines: medicines, Sentences: sentences})
	s := &answer.Service{Index: ix,
		Generator: func(context.Context) (inference.Generator, error) { return liar, nil },
		Entailer: func(context.Context) (inference.Entailer, error) {
			return answer.InPlainWords(support.Builtin()), nil
		}}
	srv := httptest.NewServer(api.New(api.Deps{Answers: s, Index: ix, MaxRequestBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)}))
	defer srv.Close()

	sent := func(path, body, accept string) []byte {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v %.300s", path, res.StatusCode, err, b)
		}
		return b
	}
	held, shown := 0, 0
	for _, m := range medicines {
		q, _ := json.Marshal("What is the dose of " + m + " in renal impairment?")
		for _, c := range []struct{ path, body, accept string }{
			{"/v1/ask", `{"question":` + string(q) + `}`, "text/event-stream"},
			{"/v1/ask", `{"question":` + string(q) + `}`, "application/json"},
			{"/v1/chat/completions", `{"model":"rxedge","stream":true,"messages":[{"role":"user","content":` + string(q) + `}]}`, "text/event-stream"},
			{"/v1/chat/completions", `{"model":"rxedge","messages":[{"role":"user","content":` + string(q) + `}]}`, "application/json"},
		} {
			got := sent(c.path, c.body, c.accept)
			written, _ := liar.forget()
			for _, w := range written {
				text, _ := json.Marshal(strings.TrimSuffix(w.Text, "."))
				there := bytes.Contains(got, bytes.Trim(text, `"`))
				switch {
				case w.True && there:
					shown++
				case w.Kind == "two sentences spliced":
					// Some of these pass for true (TestLiar), and are then not withheld.
				case !w.True && there:
					t.Errorf("%s %s: %q was sent (%s)", c.path, c.accept, w.Text, w.Kind)
				case !w.True:
					held++
				}
			}
		}
	}
	if held < 100 || shown < 100 {
		t.Errorf("%d held back and %d shown: too few to say anything", held, shown)
	}
}
