package codes_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"rxedge/index/codes"
	"rxedge/index/document"
)

// labels are the whole labels of the real data, which are no part of the
// repository, and their XML.
func labels(t *testing.T) ([]*document.Document, string) {
	t.Helper()
	root := os.Getenv("RXEDGE_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "spl_xml")
	files, _ := filepath.Glob(filepath.Join(dir, "*.xml"))
	if len(files) == 0 {
		t.Skipf("the real labels are not on this machine (%s); set RXEDGE_TESTDATA to the folder of the data", dir)
	}
	readOnce.Do(func() {
		var b strings.Builder
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
		raw = b.String()
		if _, err := document.Read(context.Background(), dir, document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	return docs, raw
}

var (
	readOnce sync.Once
	docs     []*document.Document
	raw      string
)

// checkDigit of GTIN, written once more.
func checkDigit(d string) string {
	sum := 0
	for i := range d {
		w := 1
		if (len(d)-i)%2 == 1 {
			w = 3
		}
		sum += w * int(d[i]-'0')
	}
	return fmt.Sprint((10 - sum%10) % 10)
}

// Every NDC of every label is read back from each form that it is written or
// scanned in, to the same canonical form, which an independent rule gives.
func TestRealNDCs(t *testing.T) {
	t.Parallel()
	_, raw := labels(t)
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`code="(\d+-\d+(?:-\d+)?)" codeSystem="2\.16\.840\.1\.113883\.6\.69"`).FindAllStringSubmatch(raw, -1) {
		seen[m[1]] = true
	}
	packages := 0
	for ndc := range seen {
		p := strings.Split(ndc, "-")
		want := fmt.Sprintf("%06s-%04s", p[0], p[1])
		forms := []string{ndc, "NDC " + ndc, "ndc#" + ndc + "?", strings.ReplaceAll("NDC "+ndc, "-", "–"), "http://hl7.org/fhir/sid/ndc|" + ndc}
		if len(p) == 3 {
			packages++
			want += fmt.Sprintf("-%02s", p[2])
			ten := strings.Join(p, "")
			eleven := fmt.Sprintf("%05s%04s%02s", p[0], p[1], p[2])
			if got := codes.NDC11(want); got != eleven {
				t.Errorf("%s as 11 digits: %s, want %s", ndc, got, eleven)
			}
			upc := "3" + ten
			upc += checkDigit(upc)
			forms = append(forms, "max dose of "+ndc+" in CKD", strings.ReplaceAll("ndc "+ndc, "-", " "), "*"+ndc+"*", ten, "ndc "+ten, eleven, "ndc"+eleven,
				fmt.Sprintf("%05s-%04s-%02s", p[0], p[1], p[2]), strings.ReplaceAll(want, "-", ""), want,
				upc, "0"+upc, "00"+upc, "upc "+upc, "(01)00"+upc+"(17)271231(10)L1", "]d20100"+upc+"1727123110L1\x1d21S", "0100"+upc, "]E00"+upc)
			level5 := "503" + ten
			forms = append(forms, level5+checkDigit(level5))
		}
		for _, form := range append(forms, want) {
			found := false
			for _, c := range codes.Find(form) {
				found = found || slices.Contains(c.Readings, want) && !c.Weak && c.Problem == ""
			}
			if !found {
				t.Errorf("%s is not read from %q: %+v", want, form, codes.Find(form))
			}
		}
		if c, err := codes.Normalise(codes.NDC, ndc); err != nil || c.Value != want {
			t.Errorf("%s: %+v, %v", ndc, c, err)
		}
	}
	if packages < 38 {
		t.Errorf("only %d packages in the labels", packages)
	}
}

// Every other code of the labels checks: LOINC, UNII, set id and document id.
func TestRealCodes(t *testing.T) {
	t.Parallel()
	_, raw := labels(t)
	for _, c := range []struct {
		system, form string
		least        int
	}{
		{codes.LOINC, `code="(\d+-\d)" codeSystem="2\.16\.840\.1\.113883\.6\.1"`, 30},
		{codes.UNII, `code="(\w{10})" codeSystem="2\.16\.840\.1\.113883\.4\.9"`, 40},
		{codes.SPL, `<setId root="([^"]+)"`, 6},
		{codes.SPL, `<document[^>]*>\s*<id root="([^"]+)"`, 6},
	} {
		seen := map[string]bool{}
		for _, m := range regexp.MustCompile(c.form).FindAllStringSubmatch(raw, -1) {
			seen[m[1]] = true
			got, err := codes.Normalise(c.system, m[1])
			if err != nil || got.Problem != "" || !strings.EqualFold(got.Value, m[1]) {
				t.Errorf("%s %s: %+v, %v", c.system, m[1], got, err)
			}
			if alone := codes.Find(m[1]); len(alone) != 1 || alone[0].System != c.system || alone[0].Value != got.Value || alone[0].Problem != "" {
				t.Errorf("%s alone: %+v", m[1], alone)
			}
		}
		if len(seen) < c.least {
			t.Errorf("%s: only %d codes in the labels", c.system, len(seen))
		}
	}
}

// The text of labels holds no code but NDCs that are there, and section codes
// that a reader may cite.
func TestRealTexts(t *testing.T) {
	t.Parallel()
	docs, raw := labels(t)
	ndcs := 0
	for _, d := range docs {
		for _, s := range d.Sections {
			for _, c := range codes.Find(s.Text) {
				if c.Weak {
					continue
				}
				if c.System != codes.NDC || c.Problem != "" || !strings.Contains(strings.ReplaceAll(raw, "–", "-"), strings.ReplaceAll(c.As[strings.IndexAny(c.As, "0123456789"):], "–", "-")) {
					t.Errorf("%s: %+v", s.ID, c)
				}
				ndcs++
			}
		}
	}
	if ndcs < 40 {
		t.Errorf("only %d NDCs found in the texts", ndcs)
	}
}

// Each real label is found by its set id, its document id, and every code that
// it carries, from the forms that are typed and scanned.
func TestRealLabelsAreFound(t *testing.T) {
	t.Parallel()
	docs, _ := labels(t)
	var b codes.Builder
	for i, d := range docs {
		if left := b.AddDocument(uint32(i), d); left > 0 {
			t.Errorf("%s: %d codes of a real label are left out", d.ID, left)
		}
	}
	ix, err := codes.Load(b.Build(0))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range docs {
		systems := map[string]int{}
		for _, c := range append(d.Codes, document.Code{System: codes.SPL, Value: d.ID}) {
			systems[c.System]++
			n, err := codes.Normalise(c.System, c.Value)
			if err != nil {
				t.Fatal(err)
			}
			forms := []string{c.Value, c.System + " " + c.Value}
			if eleven := codes.NDC11(n.Value); eleven != "" {
				forms = append(forms, eleven, "ndc "+strings.ReplaceAll(c.Value, "-", ""))
			}
			for _, form := range forms {
				got := false
				for _, f := range codes.Find(form) {
					got = got || slices.ContainsFunc(ix.Lookup(f), func(m codes.Match) bool { return m.Doc == uint32(i) })
				}
				if !got {
					t.Errorf("%s is not found by %q", d.ID, form)
				}
			}
		}
		if systems[codes.NDC] < 1 || systems[codes.UNII] < 1 || systems[codes.SPL] < 1 {
			t.Errorf("%s carries %v", d.ID, systems)
		}
	}
}
