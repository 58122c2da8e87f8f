// Package labels makes labels of medicines that do not exist, of the sentences of
// real ones, and questions about them, for what is measured on a large index.
package labels

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"rxedge/daemon/formulary"
	"rxedge/index/chunk"
)

// Record is a section of a label as 'rxedge ingest' reads it.
type Record struct {
	ID      string `json:"id"`
	Drug    string `json:"drug"`
	Section string `json:"section"`
	Text    string `json:"text"`
}

// Read the real labels of dir, where there are any, else the embedded sample. texts
// are those whose sentences are used; real are those that are asked about.
func Read(dir string) (real []Record, texts []Record, err error) {
	for _, name := range []string{"openfda_20drugs.jsonl", "spl_adr_train.jsonl"} {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var r Record
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
			texts = append(texts, r)
			if name == "openfda_20drugs.jsonl" {
				real = append(real, r)
			}
		}
		_ = f.Close()
		if err := lines.Err(); err != nil {
			return nil, nil, err
		}
	}
	if len(texts) > 0 {
		return real, texts, nil
	}
	names, err := fs.Glob(formulary.Files(), "*.md")
	if err != nil {
		return nil, nil, err
	}
	for _, n := range names {
		b, err := fs.ReadFile(formulary.Files(), n)
		if err != nil {
			return nil, nil, err
		}
		_, body, _ := strings.Cut(strings.TrimPrefix(string(b), "---\n"), "\n---\n")
		drug := strings.TrimSuffix(n, ".md")
		for _, part := range strings.Split("\n"+body, "\n## ")[1:] {
			title, text, _ := strings.Cut(part, "\n")
			texts = append(texts, Record{ID: drug + "#" + strings.ReplaceAll(strings.ToLower(title), " ", "-"), Drug: drug, Section: title, Text: strings.TrimSpace(text)})
		}
	}
	return texts, texts, nil
}

// Maker makes labels of medicines that do not exist, of the real labels'
// sentences with the names exchanged: the words are as frequent as in labels.
type Maker struct {
	sentences []string // with nameMark where the medicine was
	Names     []string // of the medicines
}

const nameMark = "\x00"

var sections = []string{"Indications and Usage", "Dosage and Administration", "Contraindications", "Warnings and Precautions",
	"Adverse Reactions", "Drug Interactions", "Use in Specific Populations", "Overdosage"}

// Of a made-up label each section is about this long; with them a passage has
// about perPassage bytes, and a label the passages below.
const (
	sectionBytes       = 1700
	PassagesPerLabel   = 29
	sentencesPerPhrase = 3 // that follow one another in a real label
)

// NewMaker makes names for n medicines.
func NewMaker(texts []Record, n int) *Maker {
	m := &Maker{}
	for _, r := range texts {
		text := strings.Join(strings.Fields(r.Text), " ")
		for _, v := range []string{r.Drug, strings.ToLower(r.Drug), strings.ToUpper(r.Drug), strings.ToUpper(r.Drug[:1]) + strings.ToLower(r.Drug[1:])} {
			text = strings.ReplaceAll(text, v, nameMark)
		}
		for _, s := range chunk.Sentences(text) {
			if s.End-s.Start > 30 {
				m.sentences = append(m.sentences, text[s.Start:s.End])
			}
		}
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	begin, middle, end := strings.Fields("bal cor dex fen gal hyl jov kel lum mir nov ost pra quel riv sol tam ult vex wil xan yor zan"),
		strings.Fields("a e i o u ami eli ixo ora uva ade ine olo"), strings.Fields("pril sartan olol statin mab nib gliptin floxacin azole cillin dipine prazole tidine")
	seen := map[string]bool{}
	for len(m.Names) < n {
		name := begin[rnd.IntN(len(begin))] + middle[rnd.IntN(len(middle))] + begin[rnd.IntN(len(begin))] + middle[rnd.IntN(len(middle))] + end[rnd.IntN(len(end))]
		if !seen[name] {
			seen[name] = true
			m.Names = append(m.Names, name)
		}
	}
	return m
}

// labelsPerFile keeps a file under the size that a box reads.
const labelsPerFile = 500

// Write the labels of all made-up medicines into files in dir.
func (m *Maker) Write(dir string) (files []string, err error) {
	for first := 0; first < len(m.Names); first += labelsPerFile {
		path := filepath.Join(dir, fmt.Sprintf("labels-%05d.jsonl", first))
		f, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		w := bufio.NewWriter(f)
		if err := errors.Join(m.some(w, first, min(first+labelsPerFile, len(m.Names))), w.Flush(), f.Close()); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	return files, nil
}

// Label writes the i-th label alone.
func (m *Maker) Label(w io.Writer, i int) error { return m.some(w, i, i+1) }

func (m *Maker) some(w io.Writer, from, to int) error {
	enc := json.NewEncoder(w)
	for i := from; i < to; i++ {
		name := m.Names[i]
		rnd := rand.New(rand.NewPCG(uint64(i), 5))
		for _, s := range sections {
			var b strings.Builder
			for b.Len() < sectionBytes {
				at := rnd.IntN(len(m.sentences) - sentencesPerPhrase)
				for _, sentence := range m.sentences[at : at+sentencesPerPhrase] {
					b.WriteString(strings.ReplaceAll(sentence, nameMark, name))
					b.WriteByte(' ')
				}
			}
			if err := enc.Encode(Record{ID: name + "#" + strings.ReplaceAll(strings.ToLower(s), " ", "-"), Drug: name, Section: s, Text: b.String()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// forms of questions about one medicine.
var forms = []string{
	"What is the maximum dose of %s?", "Is %s contraindicated in pregnancy?", "%s with an eGFR of 40?", "What are common side effects of %s?",
	"Does %s interact with warfarin?", "How is %s dosed in renal impairment?", "Can %s be taken with food?", "starting dose of %s", "%s overdose, what to do",
	"Should liver function be monitored with %s?", "What is %s used for?", "Is %s safe in the elderly?",
}

// Questions that differ, about made-up and real medicines in turn; first those
// of a file, where there is one.
func Questions(m *Maker, real []Record, dir string, n int) []string {
	var out []string
	if b, err := os.ReadFile(filepath.Join(dir, "questions_dev.jsonl")); err == nil {
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			var q struct{ Question string }
			if json.Unmarshal([]byte(line), &q) == nil && q.Question != "" {
				out = append(out, q.Question)
			}
		}
	}
	var known []string
	for _, r := range real {
		if len(known) == 0 || known[len(known)-1] != r.Drug {
			known = append(known, r.Drug)
		}
	}
	names := m.Names
	for i := 0; len(out) < n; i++ {
		if i < len(forms)*len(known) {
			out = append(out, fmt.Sprintf(forms[i%len(forms)], known[i/len(forms)]))
			continue
		}
		form := forms[i%len(forms)]
		if i/len(forms) >= len(names)*4 { // more are asked for than there are: with a mark that makes them differ
			form += fmt.Sprintf(" (case %d)", i)
		}
		out = append(out, fmt.Sprintf(form, names[(i/len(forms))%len(names)]))
	}
	// Not one medicine after the other.
	rand.New(rand.NewPCG(9, 9)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n]
}
