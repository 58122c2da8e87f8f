package check_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/centre/check"
	"rxedge/centre/compare"
	"rxedge/index/document"
	"rxedge/inference/quantity"
)

var today = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)

func checker() *check.Checker {
	return check.New(check.Options{Now: func() time.Time { return today }})
}

const body = "The medicine is for adults with pain that does not go away, and it should be taken with food. It has been used in the treatment of children and of adults, and it was found that they are at risk of the effects. "

// label is a whole one, for cases that change it.
func label() *document.Document {
	s := func(loinc, title, text string) document.Section {
		return document.Section{ID: "d#" + loinc, LOINC: loinc, Title: title, Text: text}
	}
	return &document.Document{ID: "d", Version: "3", Effective: "2024-05-06", Kind: document.KindSPL, Title: "Painaway", Names: []document.Name{{Text: "Painaway", Kind: "brand"}},
		Sections: []document.Section{
			s("34067-9", "Indications", strings.Repeat(body, 4)),
			s("34068-7", "Dosage", "Take 50 mcg of the medicine in the morning with a full glass of water. The largest dose is 250 mcg in a day."),
			s("34070-3", "Contraindications", "It must not be taken by those who are allergic to it."),
			s("43685-7", "Warnings", strings.Repeat(body, 4)),
		}}
}

// cases has one of each code that Check finds: what to change in a label to find it.
var cases = map[string]func(doc, before *document.Document){
	check.TextMissing: func(d, _ *document.Document) {
		for i := range d.Sections {
			d.Sections[i].Text = "1"
		}
	},
	check.TextDamaged:       func(d, _ *document.Document) { d.Sections[1].Text = "Take 50 Âµg each day." },
	check.TextOtherLanguage: func(d, _ *document.Document) { d.Sections[0].Text = strings.Repeat(spanish, 20) },
	check.SectionOtherLanguage: func(d, _ *document.Document) {
		d.Sections = append(d.Sections, document.Section{ID: "d#p", LOINC: "42230-3", Title: "Información", Text: spanish})
	},
	check.SectionMissing: func(d, b *document.Document) {
		d.Sections, b.Sections = d.Sections[1:], b.Sections[1:]
	},
	check.SectionDropped:   func(d, _ *document.Document) { d.Sections = d.Sections[:3] },
	check.SectionShrunk:    func(d, _ *document.Document) { d.Sections[3].Text = body },
	check.DateUnreadable:   func(d, _ *document.Document) { d.Effective = "2024-13-40" },
	check.DateFuture:       func(d, _ *document.Document) { d.Effective = "2206-05-06" },
	check.DateAncient:      func(d, b *document.Document) { d.Effective, b.Effective = "1024-05-06", "" },
	check.DateBackwards:    func(d, _ *document.Document) { d.Effective = "2023-05-06" },
	check.VersionBackwards: func(d, _ *document.Document) { d.Version = "2" },
	check.VersionSame:      func(d, _ *document.Document) { d.Sections[2].Text = "It must not be taken by children." },
	check.NameChanged:      func(d, _ *document.Document) { d.Names = []document.Name{{Text: "Sleepwell", Kind: "brand"}} },
	check.DoseTenfold: func(d, _ *document.Document) {
		d.Version = "4"
		d.Sections[1].Text = strings.ReplaceAll(d.Sections[1].Text, "250 mcg", "2500 mcg")
	},
	check.UnitLost: func(d, _ *document.Document) {
		d.Version = "4"
		d.Sections[1].Text = strings.ReplaceAll(d.Sections[1].Text, "50 mcg of", "50 of")
	},
	check.UnitChanged: func(d, _ *document.Document) {
		d.Version = "4"
		d.Sections[1].Text = strings.ReplaceAll(d.Sections[1].Text, "50 mcg of", "50 mg of")
	},
}

const spanish = "Este medicamento se usa para el tratamiento de la presión arterial alta en los adultos y en los niños de más de seis años. No tome este medicamento si usted es alérgico a la sustancia o si está embarazada, porque puede causar daño al bebé. "

func TestEveryCodeIsFound(t *testing.T) {
	t.Parallel()
	if fs := checker().Check(label(), label()); len(fs) > 0 {
		t.Fatalf("a good label: %+v", fs)
	}
	ofTheLibrary := []string{check.Duplicate, check.NearDuplicate} // its tests find these
	for _, c := range check.Codes {
		change, ok := cases[c.Code]
		if !ok {
			if !slices.Contains(ofTheLibrary, c.Code) {
				t.Errorf("%s has no case", c.Code)
			}
			continue
		}
		doc, before := label(), label()
		change(doc, before)
		fs := checker().Check(doc, before)
		i := slices.IndexFunc(fs, func(f check.Finding) bool { return f.Code == c.Code })
		if i < 0 {
			t.Errorf("%s is not found: %+v", c.Code, fs)
			continue
		}
		if fs[i].Severity != c.Severity || fs[i].Reason == "" || fs[i].Fix == "" {
			t.Errorf("%s: %+v", c.Code, fs[i])
		}
		for _, f := range fs {
			if c.Code != f.Code && (c.Code != check.DateFuture || f.Code != check.VersionSame) && f.Code != check.VersionSame && c.Code != check.TextMissing && c.Code != check.DateUnreadable && c.Code != check.TextDamaged && c.Code != check.TextOtherLanguage {
				t.Errorf("%s comes with %+v", c.Code, f)
			}
		}
	}
	if len(cases)+len(ofTheLibrary) != len(check.Codes) {
		t.Errorf("%d cases for %d codes", len(cases), len(check.Codes))
	}
}

func testdata(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	if _, err := os.Stat(filepath.Join(dir, "spl_xml")); err != nil {
		t.Skip("the real labels are not here: ", err)
	}
	return dir
}

var once struct {
	sync.Once
	docs []*document.Document
	err  error
}

// labels are all real ones: 6 SPL documents, 20 of openFDA's, 101 of which one or two
// sections are here.
func labels(t testing.TB) []*document.Document {
	t.Helper()
	dir := testdata(t)
	once.Do(func() {
		for _, p := range []string{"spl_xml", "labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
			if _, err := document.Read(context.Background(), filepath.Join(dir, p), document.Options{}, func(d *document.Document) error {
				once.docs = append(once.docs, d)
				return nil
			}); err != nil {
				once.err = err
			}
		}
	})
	if once.err != nil {
		t.Fatal(once.err)
	}
	return once.docs
}

func TestRealLabelsAreGood(t *testing.T) {
	t.Parallel()
	all := labels(t)
	for _, d := range all {
		for _, f := range append(checker().Check(d, nil), checker().Check(d, d)...) {
			t.Logf("%s %s: %+v", d.ID, d.Title, f)
			if f.Severity == check.Quarantine {
				t.Errorf("%s is held back", d.ID)
			}
		}
	}
	t.Logf("%d labels", len(all))
}

// A fault is put into a real label, at a place drawn by chance; nil where it can't be.
type fault struct {
	code string
	put  func(d *document.Document, r *rand.Rand) bool
}

var aDose = regexp.MustCompile(`\b([1-9][0-9]*(?:\.[0-9]+)?) ?(mg|mcg|g|mL|units)\b`)

// inDose changes one amount of a medicine in a section that people act on.
func inDose(how func(number, unit string) string) func(*document.Document, *rand.Rand) bool {
	return func(d *document.Document, r *rand.Rand) bool {
		type place struct{ section, from, to int }
		var ps []place
		for i := range d.Sections {
			if !compare.ClassOf(&d.Sections[i]).Critical() {
				continue
			}
			text := d.Sections[i].Text
			for _, m := range aDose.FindAllStringSubmatchIndex(text, -1) {
				number, unit := text[m[2]:m[3]], text[m[4]:m[5]]
				rest := text[m[1]:min(len(text), m[1]+2)]
				if strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, " /") || how(number, unit) == "" || m[0] > 0 && strings.ContainsAny(text[m[0]-1:m[0]], ",.-–/") {
					continue
				}
				ps = append(ps, place{i, m[0], m[1]})
			}
		}
		if len(ps) == 0 {
			return false
		}
		p := ps[r.IntN(len(ps))]
		s := &d.Sections[p.section]
		m := aDose.FindStringSubmatch(s.Text[p.from:p.to])
		was := quantity.Numbers(s.Text)
		s.Text = s.Text[:p.from] + how(m[1], m[2]) + s.Text[p.to:]
		// "5 mg to 60 mg" says what "5 to 60 mg" says: no fault
		is := quantity.Numbers(s.Text)
		return !slices.EqualFunc(was, is, func(a, b quantity.Number) bool {
			return a.Value == b.Value && (a.Unit == b.Unit || strings.HasPrefix(a.Unit, b.Unit+"/") || strings.HasPrefix(b.Unit, a.Unit+"/"))
		})
	}
}

var faults = []fault{
	{check.DoseTenfold, inDose(func(n, u string) string {
		if strings.Contains(n, ".") {
			return ""
		}
		return n + "0 " + u
	})},
	{check.UnitLost, inDose(func(n, _ string) string { return n })},
	{check.UnitChanged, inDose(func(n, u string) string {
		if u != "mg" {
			return ""
		}
		return n + " mcg"
	})},
	{check.SectionDropped, func(d *document.Document, r *rand.Rand) bool {
		var cs []compare.Class
		for i := range d.Sections {
			if c := compare.ClassOf(&d.Sections[i]); c.Critical() && !slices.Contains(cs, c) {
				cs = append(cs, c)
			}
		}
		if len(cs) < 2 {
			return false
		}
		c := cs[r.IntN(len(cs))]
		d.Sections = slices.DeleteFunc(d.Sections, func(s document.Section) bool { return compare.ClassOf(&s) == c })
		return true
	}},
	{check.TextDamaged, func(d *document.Document, r *rand.Rand) bool {
		s := &d.Sections[r.IntN(len(d.Sections))]
		for at, c := range s.Text { // the first sign beyond ASCII, read as Windows-1252
			if c >= 0x80 {
				n := len(string(c))
				s.Text = s.Text[:at] + wrongly(string(c)) + s.Text[at+n:]
				return true
			}
		}
		s.Text += " 50 Âµg"
		return true
	}},
	{check.DateFuture, func(d *document.Document, r *rand.Rand) bool {
		d.Effective = today.AddDate(0, 0, 2+r.IntN(4000)).Format(time.DateOnly)
		return true
	}},
	{check.TextOtherLanguage, func(d *document.Document, _ *rand.Rand) bool {
		for i := range d.Sections {
			d.Sections[i].Text = strings.Repeat(spanish, 1+len(d.Sections[i].Text)/len(spanish))
		}
		return true
	}},
	{check.TextMissing, func(d *document.Document, _ *rand.Rand) bool {
		for i := range d.Sections {
			d.Sections[i].Text = d.Sections[i].Text[:min(len(d.Sections[i].Text), 1)]
		}
		return len(d.Sections) < 30
	}},
}

func wrongly(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		r := rune(c)
		if at := slices.Index([]byte{0x80, 0x99, 0x9c, 0x9d, 0x93, 0x94}, c); at >= 0 {
			r = []rune("€™œ\u009d“”")[at]
		}
		b.WriteRune(r)
	}
	return b.String()
}

func clone(d *document.Document) *document.Document {
	c := *d
	c.Sections = slices.Clone(d.Sections)
	return &c
}

// TestFaultsInRealLabels puts each fault into each real label where it can be, by a
// seed, and finds it by its code.
func TestFaultsInRealLabels(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(20261130, 1))
	put, found, held := map[string]int{}, map[string]int{}, map[string]int{}
	for i, d := range labels(t) {
		for j, f := range faults {
			bad := clone(d)
			if (i+j)%2 > 0 || !f.put(bad, r) { // half of all, for time
				continue
			}
			put[f.code]++
			fs := checker().Check(bad, d)
			if slices.ContainsFunc(fs, func(x check.Finding) bool { return x.Code == f.code }) {
				found[f.code]++
			} else {
				t.Logf("%s in %s is not found: %+v; changes %+v", f.code, d.ID, fs, compare.Documents(d, bad).Changes)
			}
			if check.Held(fs) {
				held[f.code]++
			}
		}
	}
	all, n := 0, 0
	for _, code := range slices.Sorted(maps.Keys(put)) {
		t.Logf("%-18s put %3d found %3d held back %3d", code, put[code], found[code], held[code])
		all, n = all+put[code], n+found[code]
	}
	t.Logf("%d faults, %d found", all, n)
	if all < 300 {
		t.Errorf("%d faults are too few", all)
	}
	for code := range put {
		if found[code] < put[code] {
			t.Errorf("%s: %d of %d", code, found[code], put[code])
		}
	}
}
