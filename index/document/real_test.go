package document

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// data is the path of a file of the real data, which is no part of the
// repository.
func data(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("RXEDGE_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(root, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real data is not here (%s); set RXEDGE_TESTDATA to its folder", path)
	}
	return path
}

// words counts the words of text: runs of letters and digits, superscripts
// brought down.
func words(text string) map[string]int {
	out := map[string]int{}
	text = ligatures.Replace(norm.NFKC.String(strings.ReplaceAll(text, "\u00ad", "")))
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		out[w]++
	}
	return out
}

// bodyWords reads the words of a label's body in another way than the package
// does: every piece of text inside a section's text, in order, parted at the
// elements that part words.
func bodyWords(t *testing.T, raw []byte) string {
	t.Helper()
	apart := map[string]bool{"paragraph": true, "item": true, "td": true, "th": true, "caption": true, "br": true, "list": true, "table": true,
		"text": true, "footnote": true, "renderMultiMedia": true, "tr": true, "footnoteRef": true}
	dec := xml.NewDecoder(bytes.NewReader(raw))
	var out strings.Builder
	var stack []string
	in := func(name string) bool {
		for _, s := range stack {
			if s == name {
				return true
			}
		}
		return false
	}
	for {
		tok, err := dec.Token()
		if err != nil {
			return out.String()
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			stack = append(stack, tok.Name.Local)
			if apart[tok.Name.Local] {
				out.WriteByte(' ')
			}
		case xml.EndElement:
			if apart[tok.Name.Local] {
				out.WriteByte(' ')
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if in("section") && in("text") && !in("excerpt") && !in("observationMedia") {
				out.Write(tok)
			}
		}
	}
}

func TestRealLabelsLoseAndDoubleNoWord(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join(data(t, "spl_xml"), "*.xml"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := readOne(t, filepath.Base(file), raw)
		want, got := words(bodyWords(t, raw)), map[string]int{}
		ordinals := map[string]int{}
		for _, s := range d.Sections {
			if s.LOINC == "43683-2" {
				continue // highlights only, which the count leaves out
			}
			text := s.Text
			for line := range strings.Lines(text) { // numbers of ordered lists are not in the XML's text
				if item, ok := strings.CutPrefix(line, "• "); ok {
					if n, _, ok := strings.Cut(item, ". "); ok && len(n) <= 3 {
						ordinals[n]++
					}
				}
			}
			for w, n := range words(text) {
				got[w] += n
			}
		}
		total := 0
		for w, n := range want {
			total += n
			if got[w] < n {
				t.Errorf("%s: %q stands %d times in the label and %d times in what was read", filepath.Base(file), w, n, got[w])
			}
		}
		for w, n := range got {
			if n > want[w]+ordinals[w] && !titleOnly(d, w) {
				t.Errorf("%s: %q was read %d times and stands %d times in the label", filepath.Base(file), w, n, want[w])
			}
		}
		if total < 300 {
			t.Errorf("%s: only %d words", filepath.Base(file), total)
		}
	}
}

// titleOnly: a title without text under it became text.
func titleOnly(d *Document, word string) bool {
	for _, s := range d.Sections {
		for p := range strings.SplitSeq(s.Text, "\n\n") {
			if n, title := splitNumber(p, true); words(p)[word] > 0 && contains(s.Aliases, d.ID+"#"+slug(title)) {
				_ = n
				return true
			}
		}
	}
	return false
}

func TestRealLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, id, version, effective, title string
		brand, code                         string
		sections                            map[string]string // id after "#" → what its text holds
	}{
		{"humira.xml", "608d4f0d-b19f-46d3-749a-7159aa5f933d", "1560", "2013-09-30", "HUMIRA (adalimumab) injection, for subcutaneous use", "Humira", "0074-3799-02", map[string]string{
			"5.1": "Patients treated with HUMIRA are at increased risk for developing serious infections",
			"2.2": "≥30 kg (66 lbs) | 40 mg every other week (HUMIRA Pen or 40 mg Prefilled Syringe)"}},
		{"lipitor-orig.xml", "c6e131fe-e7df-4876-83f7-9156fc4e8228", "11", "2014-01-13", "LIPITOR® (atorvastatin calcium) Tablets for oral administration", "Lipitor", "0071-0155-23", map[string]string{
			"5.1":     "HIV protease inhibitor (lopinavir plus ritonavir) | Use with caution and lowest dose necessary",
			"34070-3": "4.1 Active liver disease"}},
		{"no-title.xml", "0027b8a3-73bf-4005-a7e3-b035f451a861", "1", "2010-07-28", "Haloperidol", "Haloperidol", "", map[string]string{
			"34070-3": "severe toxic central nervous system depression"}},
		{"cough.xml", "00f66f25-3469-4c16-9baf-fba21e9628bd", "1", "2011-04-26", "TRIAMINIC Childrens Night Time Cold and Cough (Diphenhydramine HCl, Phenylephrine HCl): Drug Facts", "TRIAMINIC Childrens Night Time Cold and Cough", "0067-6344-04", map[string]string{
			"34068-7": "children 6 to under 12 years of age | 2 teaspoonfuls (10 mL)"}},
	} {
		d := readOne(t, data(t, "spl_xml/"+c.file), nil)
		if d.ID != c.id || d.Version != c.version || d.Effective != c.effective || d.Title != c.title || d.Kind != KindSPL || d.Source != c.file {
			t.Errorf("%s: %s v%s of %s, %q, %s, %s", c.file, d.ID, d.Version, d.Effective, d.Title, d.Kind, d.Source)
		}
		if len(d.Names) == 0 || d.Names[0] != (Name{c.brand, "brand"}) {
			t.Errorf("%s: names %v", c.file, d.Names)
		}
		if c.code != "" && !strings.Contains(fmt.Sprint(d.Codes), c.code) {
			t.Errorf("%s: codes %v", c.file, d.Codes)
		}
		for id, text := range c.sections {
			if s := section(d, c.id+"#"+id); s == nil || !strings.Contains(s.Text, text) {
				t.Errorf("%s: section %s does not hold %q", c.file, id, text)
			}
		}
		wellFormed(t, d)
	}
}

// wellFormed checks what is promised of every Document.
func wellFormed(t interface {
	Helper()
	Errorf(string, ...any)
}, d *Document) {
	t.Helper()
	seen := map[string]bool{}
	if d.ID == "" {
		t.Errorf("a document without an id")
	}
	for _, s := range d.Sections {
		if seen[s.ID] || s.ID == "" {
			t.Errorf("section id %q stands twice or is empty", s.ID)
		}
		seen[s.ID] = true
		if s.Text == "" || s.Text != strings.TrimSpace(s.Text) {
			t.Errorf("%s: text is empty or has white space around it", s.ID)
		}
		if strings.Contains(s.Text, "\n\n\n") || strings.ContainsAny(s.Text, "\t\r\u00a0\u00ad\x00") || strings.Contains(s.Text, " \n") || strings.Contains(s.Text, "\n ") {
			t.Errorf("%s: text is not in the form of paragraphs: %q", s.ID, s.Text)
		}
		if !norm.NFC.IsNormalString(s.Text) || strings.ToValidUTF8(s.Text, "") != s.Text {
			t.Errorf("%s: text is not NFC", s.ID)
		}
		for _, a := range s.Aliases {
			if a == s.ID || strings.HasSuffix(a, "#") {
				t.Errorf("%s: alias %q", s.ID, a)
			}
		}
	}
}

func TestRealJSONLKeepsWordsInOrder(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
		path := data(t, file)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		docs, problems := readAll(t, path, nil)
		if len(problems) > 0 {
			t.Errorf("%s: %v", file, problems)
		}
		got := map[string]string{}
		for _, d := range docs {
			wellFormed(t, d)
			for _, s := range d.Sections {
				got[s.ID] = s.Text
				if s.LOINC == "" {
					t.Errorf("%s has no LOINC code", s.ID)
				}
			}
		}
		n := 0
		for line := range bytes.Lines(raw) {
			rec := struct{ ID, Text string }{}
			if err := json.Unmarshal(line, &rec); err != nil {
				t.Fatal(err)
			}
			n++
			want, _ := squash(clean(rec.Text))
			if have, _ := squash(got[rec.ID]); have != want {
				t.Errorf("%s: letters and digits differ from the record's", rec.ID)
			}
		}
		if n != len(got) {
			t.Errorf("%s: %d records, %d sections", file, n, len(got))
		}
	}
}

func TestReadIsDeterministic(t *testing.T) {
	t.Parallel()
	path := data(t, "spl_xml")
	a, _ := readAll(t, path, nil)
	b, _ := readAll(t, path, nil)
	if len(a) != 6 || !reflect.DeepEqual(a, b) {
		t.Errorf("%d documents, or they differ from one reading to the next", len(a))
	}
}

func readAll(t testing.TB, path string, raw []byte) (docs []*Document, problems []Problem) {
	t.Helper()
	keep := func(d *Document) error { docs = append(docs, d); return nil }
	var err error
	if raw == nil {
		problems, err = Read(context.Background(), path, Options{}, keep)
	} else {
		problems, err = ReadBytes(context.Background(), path, raw, Options{}, keep)
	}
	if err != nil {
		t.Fatal(err)
	}
	return docs, problems
}

func readOne(t testing.TB, path string, raw []byte) *Document {
	t.Helper()
	docs, problems := readAll(t, path, raw)
	if len(docs) != 1 || len(problems) > 0 {
		t.Fatalf("%s: %d documents, problems %v", path, len(docs), problems)
	}
	return docs[0]
}

func section(d *Document, id string) *Section {
	for i := range d.Sections {
		if d.Sections[i].ID == id {
			return &d.Sections[i]
		}
	}
	return nil
}
