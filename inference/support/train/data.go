package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// heldOut says whether a document of MedQuAD is kept from all training, one in
// ten by the first four bytes of a hash: the same as for the built-in embedder.
func heldOut(id string) bool {
	sum := sha256.Sum256([]byte("rxedge held out 1 " + id))
	return binary.BigEndian.Uint32(sum[:])%10 == 0
}

// read calls fn with each line of a JSONL file.
func read[T any](path string, fn func(T)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 16<<20)
	for n := 1; sc.Scan(); n++ {
		var v T
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		fn(v)
	}
	return sc.Err()
}

type claim struct {
	ID        string   `json:"id"`
	Claim     string   `json:"claim"`
	DocID     string   `json:"doc_id"`
	Label     string   `json:"label"`
	Sentences []int    `json:"sentences"`
	Cited     []string `json:"cited"`
}

type abstract struct {
	DocID    string   `json:"doc_id"`
	Title    string   `json:"title"`
	Abstract []string `json:"abstract"`
}

type section struct {
	ID      string `json:"id"`
	Drug    string `json:"drug"`
	Section string `json:"section"`
	Text    string `json:"text"`
}

type qa struct {
	ID       string `json:"id"`
	Doc      string `json:"doc"`
	URL      string `json:"url"`
	Focus    string `json:"focus"`
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

func (q qa) document() string {
	for _, s := range []string{q.Doc, q.URL} {
		if s != "" {
			return s
		}
	}
	return q.Focus
}

// corpus is everything that is learned from.
type corpus struct {
	claims    []claim
	abstracts map[string]abstract
	order     []string // ids of the abstracts, as they come
	sections  []section
	spl       []section // of labels in full, which only the doses are taken from
	medquad   []qa      // without what is held out and without empty answers
}

func load(dir string) (*corpus, error) {
	c := &corpus{abstracts: map[string]abstract{}}
	err := read(filepath.Join(dir, "scifact/claims_train.jsonl"), func(v claim) { c.claims = append(c.claims, v) })
	if err == nil {
		err = read(filepath.Join(dir, "scifact/corpus.jsonl"), func(v abstract) {
			c.abstracts[v.DocID] = v
			c.order = append(c.order, v.DocID)
		})
	}
	for _, f := range []string{"openfda_20drugs", "spl_adr_train"} {
		if err == nil {
			err = read(filepath.Join(dir, "labels", f+".jsonl"), func(v section) { c.sections = append(c.sections, v) })
		}
	}
	if err == nil {
		c.spl, err = splFolder(filepath.Join(dir, "spl_xml"))
	}
	if err == nil {
		err = read(filepath.Join(dir, "medquad/medquad.jsonl"), func(v qa) {
			if !heldOut(v.document()) && strings.TrimSpace(v.Answer) != "" {
				c.medquad = append(c.medquad, v)
			}
		})
	}
	return c, err
}

// documents are the texts whose words are counted.
func (c *corpus) documents(yield func(string) bool) {
	for _, id := range c.order {
		if a := c.abstracts[id]; !yield(a.Title + " " + strings.Join(a.Abstract, " ")) {
			return
		}
	}
	for _, s := range c.sections {
		if !yield(s.Drug + " " + s.Section + " " + s.Text) {
			return
		}
	}
	for _, q := range c.medquad {
		if !yield(q.Focus + " " + q.Answer) {
			return
		}
	}
}
