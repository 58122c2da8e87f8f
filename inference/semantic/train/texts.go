package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// pair of texts that belong together.
type pair struct{ a, b string }

// texts is what is learned from.
type texts struct {
	whole []string // documents
	pairs []pair
}

// heldOut says whether a document of MedQuAD, or an entailed question, is kept
// from training, one in ten: by the first four bytes of a hash.
func heldOut(id string) bool {
	sum := sha256.Sum256([]byte("rxedge held out 1 " + id))
	return binary.BigEndian.Uint32(sum[:])%10 == 0
}

// read the texts in the order of the files.
func read(dir string) (texts, error) {
	var t texts
	add := func(whole string, pairs ...pair) {
		t.whole = append(t.whole, whole)
		t.pairs = append(t.pairs, pairs...)
	}
	for _, f := range []struct {
		path string
		line func(record)
	}{
		{"medquad/medquad.jsonl", func(r record) {
			if !heldOut(r.document()) {
				add(r.Focus+"\n"+r.Answer, pair{r.Question, r.Answer})
			}
		}},
		{"scifact/corpus.jsonl", func(r record) {
			text := strings.Join(r.Abstract, " ")
			add(r.Title+"\n"+text, pair{r.Title, text})
		}},
		{"scifact/claims_train.jsonl", func(r record) {
			if r.Label == "SUPPORT" && len(r.Evidence) > 0 {
				t.pairs = append(t.pairs, pair{r.Claim, strings.Join(r.Evidence, " ")})
			}
		}},
		{"rqe/train.jsonl", func(r record) {
			if heldOut("rqe " + r.FAQ) {
				return
			}
			t.whole = append(t.whole, r.CHQ)
			if string(r.Label) == "true" && r.CHQ != r.FAQ {
				t.pairs = append(t.pairs, pair{r.CHQ, r.FAQ})
			}
		}},
		{"labels/openfda_20drugs.jsonl", func(r record) { section(&t, r) }},
		{"labels/spl_adr_train.jsonl", func(r record) { section(&t, r) }},
	} {
		if err := lines(filepath.Join(dir, f.path), f.line); err != nil {
			return t, err
		}
	}
	return t, nil
}

// sectionWords is how many words of a section make a text of their own.
const sectionWords = 150

func section(t *texts, r record) {
	w := strings.Fields(r.Text)
	for i := 0; i < len(w); i += sectionWords {
		part := strings.Join(w[i:min(len(w), i+sectionWords)], " ")
		t.whole = append(t.whole, part)
		t.pairs = append(t.pairs, pair{r.Drug + " " + r.Section, part})
	}
}

// record has the fields of all the files.
type record struct {
	Doc, URL, Focus, Question, Answer string
	Title                             string
	Abstract                          []string
	Claim                             string
	Evidence                          []string
	Label                             string
	CHQ, FAQ                          string
	Drug, Section, Text               string
}

// document of MedQuAD that a question is of.
func (r *record) document() string { return cmp.Or(r.Doc, r.URL, r.Focus) }

func lines(path string, fn func(record)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for n := 1; sc.Scan(); n++ {
		if strings.TrimSpace(sc.Text()) == "" {
			continue
		}
		var r record
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		fn(r)
	}
	return sc.Err()
}
