package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// export writes the tenth of MedQuAD that training does not see as a collection
// in BEIR layout, for 'rxedge eval': each answer is a document without a title,
// which would repeat the question, and answers its own question alone. Answers
// that say the same are one document.
func export(data, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "qrels"), 0o755); err != nil {
		return err
	}
	var files [3]*bufio.Writer
	for i, name := range []string{"corpus.jsonl", "queries.jsonl", "qrels/test.tsv"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		files[i] = bufio.NewWriter(f)
	}
	type line struct {
		ID    string `json:"_id"`
		Title string `json:"title"`
		Text  string `json:"text"`
	}
	put := func(w *bufio.Writer, id, text string) {
		b, _ := json.Marshal(line{ID: id, Text: text}) // strings can't fail
		fmt.Fprintf(w, "%s\n", b)
	}
	fmt.Fprintln(files[2], "query-id\tcorpus-id\tscore")
	answers, asked, judged := map[string]string{}, map[string]string{}, map[[2]string]bool{}
	n, bad := 0, error(nil)
	err := lines(filepath.Join(data, "medquad/medquad.jsonl"), func(r record) {
		if n++; !heldOut(r.document()) {
			return
		}
		id, ok := answers[r.Answer]
		if !ok {
			id = fmt.Sprintf("a%d", n)
			answers[r.Answer] = id
			put(files[0], id, r.Answer)
		}
		q, ok := asked[r.Question]
		if !ok {
			q = fmt.Sprintf("q%d", n)
			asked[r.Question] = q
			put(files[1], q, r.Question)
		}
		if k := [2]string{q, id}; !judged[k] {
			judged[k] = true
			fmt.Fprintf(files[2], "%s\t%s\t1\n", q, id)
		}
	})
	for _, w := range files {
		if f := w.Flush(); f != nil {
			bad = f
		}
	}
	if err == nil {
		err = bad
	}
	fmt.Printf("%s: %d questions, %d answers\n", dir, len(asked), len(answers))
	return err
}
