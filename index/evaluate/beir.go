package evaluate

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"rxedge/index/document"
)

// maxLine is the longest line of a BEIR file in bytes.
const maxLine = 64 << 20

// Text is a query.
type Text struct {
	ID   string
	Text string
}

// lines calls fn with each line that is not blank, numbered from 1.
func lines(r io.Reader, name string, fn func(n int, line string) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	for sc.Scan() {
		n++
		line := strings.TrimSuffix(sc.Text(), "\r")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !utf8.ValidString(line) {
			return fmt.Errorf("%s:%d: the line is not UTF-8", name, n)
		}
		if err := fn(n, line); err != nil {
			return err
		}
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%s:%d: the line is longer than %d MiB", name, n+1, maxLine>>20)
	}
	if sc.Err() != nil {
		return fmt.Errorf("%s: %w", name, sc.Err())
	}
	return nil
}

// record is a line of corpus.jsonl or queries.jsonl; pointers tell a field that
// is missing from an empty one.
type record struct {
	ID    *string `json:"_id"`
	Title *string `json:"title"`
	Text  *string `json:"text"`
}

func parseRecord(name string, n int, line string) (record, error) {
	var r record
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) && t.Field != "" {
			return r, fmt.Errorf("%s:%d: field %q is a %s and must be a string", name, n, t.Field, t.Value)
		}
		return r, fmt.Errorf("%s:%d: the line is no JSON object: %w", name, n, err)
	}
	switch {
	case r.ID == nil:
		return r, fmt.Errorf("%s:%d: field \"_id\" is missing", name, n)
	case *r.ID == "":
		return r, fmt.Errorf("%s:%d: field \"_id\" is empty", name, n)
	case r.Text == nil:
		return r, fmt.Errorf("%s:%d: field \"text\" is missing", name, n)
	}
	return r, nil
}

// ReadCorpus reads a corpus.jsonl (_id, title, text), one document of one
// section a line. It stops at the first error, which names file, line and field.
func ReadCorpus(path string) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		errStop := errors.New("stop")
		err = readCorpus(f, filepath.Base(path), func(d *document.Document) error {
			if !yield(d, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

func readCorpus(r io.Reader, name string, fn func(*document.Document) error) error {
	seen := make(map[string]int)
	return lines(r, name, func(n int, line string) error {
		rec, err := parseRecord(name, n, line)
		if err != nil {
			return err
		}
		if first, ok := seen[*rec.ID]; ok {
			return fmt.Errorf("%s:%d: field \"_id\": %q is already on line %d", name, n, *rec.ID, first)
		}
		seen[*rec.ID] = n
		d := &document.Document{ID: *rec.ID, Kind: document.KindJSONL, Source: name}
		if rec.Title != nil {
			d.Title = *rec.Title
		}
		d.Sections = []document.Section{{ID: *rec.ID, Text: *rec.Text}}
		return fn(d)
	})
}

// ReadQueries reads a queries.jsonl (_id, text).
func ReadQueries(path string) ([]Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readQueries(f, filepath.Base(path))
}

func readQueries(r io.Reader, name string) ([]Text, error) {
	var out []Text
	seen := make(map[string]int)
	err := lines(r, name, func(n int, line string) error {
		rec, err := parseRecord(name, n, line)
		if err != nil {
			return err
		}
		if first, ok := seen[*rec.ID]; ok {
			return fmt.Errorf("%s:%d: field \"_id\": %q is already on line %d", name, n, *rec.ID, first)
		}
		seen[*rec.ID] = n
		out = append(out, Text{*rec.ID, *rec.Text})
		return nil
	})
	return out, err
}

// ReadQrels reads a qrels.tsv: a header line, then query-id, corpus-id, score.
func ReadQrels(path string) (map[string]Judgements, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readQrels(f, filepath.Base(path))
}

func readQrels(r io.Reader, name string) (map[string]Judgements, error) {
	const header = "query-id\tcorpus-id\tscore"
	out := make(map[string]Judgements)
	first := true
	err := lines(r, name, func(n int, line string) error {
		if first {
			first = false
			if line != header {
				return fmt.Errorf("%s:%d: the header line must be query-id, corpus-id, score, separated by tabs", name, n)
			}
			return nil
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			return fmt.Errorf("%s:%d: %d fields instead of 3 (query-id, corpus-id, score) separated by tabs", name, n, len(f))
		}
		for i, field := range []string{"query-id", "corpus-id"} {
			if f[i] == "" {
				return fmt.Errorf("%s:%d: field %q is empty", name, n, field)
			}
		}
		grade, err := strconv.Atoi(f[2])
		if err != nil {
			return fmt.Errorf("%s:%d: field \"score\": %q is no whole number", name, n, f[2])
		}
		j := out[f[0]]
		if j == nil {
			j = make(Judgements)
			out[f[0]] = j
		}
		if _, ok := j[f[1]]; ok {
			return fmt.Errorf("%s:%d: query %q and document %q are judged twice", name, n, f[0], f[1])
		}
		j[f[1]] = grade
		return nil
	})
	if err == nil && first {
		err = fmt.Errorf("%s: the file is empty; its first line must be query-id, corpus-id, score", name)
	}
	return out, err
}
