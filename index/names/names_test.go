package names

import (
	"slices"
	"strings"
	"testing"
)

var labels = []Labelled{
	{ID: "metformin", Title: "metformin", Generics: []string{"metformin"}},
	{ID: "lisinopril", Title: "Lisinopril tablets", Generics: []string{"LISINOPRIL"}, Brands: []string{"Lisinopril Tablets USP"}},
	{ID: "warfarin", Title: "warfarin", Generics: []string{"warfarin sodium"}},
	{ID: "aspirin", Title: "aspirin", Generics: []string{"aspirin"}},
	{ID: "sertraline", Title: "sertraline", Generics: []string{"Sertraline hydrochloride"}},
	{ID: "amlodipine", Title: "amlodipine", Generics: []string{"amlodipine besylate"}},
	{ID: "hctz", Title: "hctz", Generics: []string{"hydrochlorothiazide"}},
	{ID: "zestoretic", Title: "Zestoretic", Brands: []string{"Zestoretic"}, Generics: []string{"lisinopril and hydrochlorothiazide"}},
	{ID: "hyzaar", Title: "Hyzaar", Brands: []string{"Hyzaar"}, Generics: []string{"LOSARTAN POTASSIUM", "HYDROCHLOROTHIAZIDE"}},
	{ID: "horizant", Title: "Horizant", Brands: []string{"Horizant"}},
	{ID: "gabapentin", Title: "gabapentin", Generics: []string{"gabapentin"}},
	{ID: "new", Title: "ZYNTARA® (foobaritinib mesylate) tablets", Brands: []string{"Zyntara"}},
	{ID: "cold", Title: "Night Cold", Brands: []string{"Night Time Cold and Flu"}, Generics: []string{"acetaminophen, dextromethorphan hydrobromide and doxylamine succinate"}},
	{ID: "guideline", Title: "Hypertension in adults"},
}

func lexicon(t testing.TB) *Lexicon {
	t.Helper()
	l, err := New(labels)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func nothing(string) bool { return false }

func TestSubjects(t *testing.T) {
	t.Parallel()
	l := lexicon(t)
	for _, c := range []struct {
		question string
		want     string // name:document+document, in order
		spelling bool
	}{
		{"ok to start glucophage?", "metformin:metformin", false},
		{"GLUCOPHAGE XR max", "metformin:metformin", false},
		{"Zestril dose", "lisinopril:lisinopril", false},
		{"lisinopril-hctz dose", "lisinopril:lisinopril hydrochlorothiazide:hctz", false},
		{"Zestoretic dose", "lisinopril/hydrochlorothiazide:zestoretic", false},
		{"losartan start", "losartan:hyzaar", false}, // a combination serves where nothing else does
		{"coumadin + ASA?", "warfarin:warfarin aspirin:aspirin", false},
		{"how many baby aspirins a day", "aspirin:aspirin", false},
		{"sertaline in liver disease", "sertraline:sertraline", true},
		{"metformn", "metformin:metformin", true},
		{"can doxycyline be taken with milk", "doxycycline: milk:", true},
		{"keppra renal dosing", "levetiracetam:", false},
		{"gabapentin enacarbil 600 nightly", "gabapentin enacarbil:horizant", false},
		{"neurontin", "gabapentin:gabapentin", false},
		{"foobaritinib with food?", "foobaritinib:new", false},
		{"Zyntara with food?", "foobaritinib:new", false},
		{"ACEi in pregnancy", "ace-inhibitor:lisinopril+zestoretic", false},
		{"blood thinner and bleeding", "anticoagulant:warfarin", false},
		{"well versed in all of this, and daily sugar", "", false},
		{"can a tech from Canada mitigate the concerns of the program", "", false},
		{"arb or ccb first", "arb:hyzaar dihydropyridine:amlodipine", false},
		{"time of night to give it for a cold", "", false},
	} {
		r := l.Read(c.question, nothing)
		var got []string
		spelling := false
		for _, s := range r.Subjects {
			got = append(got, s.Name+":"+strings.Join(s.Documents, "+"))
			spelling = spelling || s.Spelling
			if c.question[s.Start:s.End] != s.Asked {
				t.Errorf("%q: %q does not lie at %d to %d", c.question, s.Asked, s.Start, s.End)
			}
		}
		if strings.Join(got, " ") != c.want || spelling != c.spelling {
			t.Errorf("%q: %q, spelling %v; want %q, %v", c.question, got, spelling, c.want, c.spelling)
		}
	}
}

func TestMeanings(t *testing.T) {
	t.Parallel()
	l := lexicon(t)
	for _, c := range []struct{ question, from, want string }{
		{"T2DM pt", "T2DM", "type 2 diabetes mellitus"},
		{"start dose in a HD pt", "HD", "hemodialysis"},
		{"watched it in hd", "hd", ""},
		{"hold after 15 min", "min", "minutes"},
		{"min length of tx", "min", "minimum"},
		{"problem w/ adding it", "w/", "with"},
		{"h/o gout", "h/o", "history of"},
		{"a 9 y/o child", "y/o", "years of age"},
		{"dalfampridine for MS walking", "MS", "multiple sclerosis"},
		{"ms smith called", "ms", ""},
		{"HR 38, SBP 92", "HR", "heart rate"},
		{"every 4 hr", "hr", "hour"},
		{"DVT or PE", "PE", "pulmonary embolism"},
		{"history and PE normal", "PE", ""},
		{"cataract sx", "sx", "surgery"},
		{"cold sx", "sx", "symptoms"},
		{"c. diff colitis", "c. diff", "Clostridium difficile"},
		{"turned yellow on it", "turned yellow", "jaundice"},
		{"yellow tablet", "yellow", ""},
	} {
		got := ""
		for _, e := range l.Read(c.question, nothing).Expansions {
			if e.Why == WhyMeaning && e.From == c.from && got == "" {
				got = e.To
			}
		}
		if got != c.want {
			t.Errorf("%q: %q means %q, want %q", c.question, c.from, got, c.want)
		}
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	l := lexicon(t)
	for question, loinc := range map[string]string{
		"max dose of lisinopril":             "34068-7",
		"metformin and eGFR 40":              "88828-9",
		"warfarin in Child-Pugh B":           "88829-7",
		"coumadin + ASA":                     "34073-7",
		"lisinopril while breastfeeding":     "77290-5",
		"is sertraline safe in pregnancy":    "42228-7",
		"boxed warning of warfarin":          "34066-1",
		"side effects of amlodipine":         "34084-4",
		"where to store lisinopril, fridge?": "44425-7",
	} {
		r := l.Read(question, nothing)
		if r.Section(loinc) != 1 {
			t.Errorf("%q: section %s has weight %v", question, loinc, r.Section(loinc))
		}
	}
	if r := l.Read("hello there", nothing); len(r.Sections) > 0 {
		t.Errorf("a greeting asks for %v", r.Sections)
	}
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	l := lexicon(t)
	for question, want := range map[string]int{
		"keppra dose": 1, "lamictal with depakote": 2, "topamax with metformin": 0, "iron with milk": 0, "statin dose": 0, "hello": 0,
	} {
		r := l.Read(question, nothing)
		if got := len(r.Strangers()); got != want {
			t.Errorf("%q: %d strangers, want %d", question, got, want)
		}
	}
}

// A word that the documents have is no misspelling.
func TestKnownWordsStay(t *testing.T) {
	t.Parallel()
	l := lexicon(t)
	r := l.Read("sertaline", func(w string) bool { return w == "sertaline" })
	if len(r.Subjects) > 0 {
		t.Errorf("read as %v", r.Subjects)
	}
}

// No name may ever become another by its spelling, whatever is left out of the
// tables: hydroxyzine is not hydralazine.
func TestNoNameIsCorrected(t *testing.T) {
	t.Parallel()
	l := lexicon(t)
	for _, k := range l.Names() {
		if strings.Contains(k, " ") {
			continue
		}
		if near, d := l.near(k); len(near) > 0 && !l.ordinary[k] && (d > 0 || near[0] != k) {
			t.Errorf("%q is %d from %q", k, d, near)
		}
		r := l.Read(k, nothing)
		for _, s := range r.Subjects {
			if s.Spelling {
				t.Errorf("%q is read as %s", k, s.Name)
			}
		}
	}
	for _, pair := range [][2]string{{"hydroxyzine", "hydralazine"}, {"metformin", "metronidazole"}, {"prednisone", "prednisolone"}, {"clonidine", "clonazepam"},
		{"lamotrigine", "terbinafine"}, {"celebrex", "celexa"}, {"zantac", "zyrtec"}, {"losec", "lasix"}, {"tramadol", "trazodone"}, {"vinblastine", "vincristine"},
		{"cycloserine", "cyclosporine"}, {"bupropion", "buspirone"}, {"chlorpromazine", "chlorpropamide"}, {"streptozocin", "streptomycin"}} {
		for i, w := range pair {
			r := l.Read(w, nothing)
			other, _ := l.named(pair[1-i])
			if len(r.Subjects) != 1 || r.Subjects[0].Spelling || slices.ContainsFunc(other, func(id ref) bool { return l.med(id).name == r.Subjects[0].Name }) {
				t.Errorf("%q is read as %+v", w, r.Subjects)
			}
		}
	}
}

// Every single slip of the keyboard on a name leads to that name, to nothing,
// or to a word that is a name itself; never to a third medicine that is as far.
func TestSlips(t *testing.T) {
	t.Parallel()
	l := lexicon(t)
	slips, kept := 0, 0
	for i, k := range l.Names() {
		if i%7 != 0 || strings.Contains(k, " ") || len(k) < minSpelling || !letters(k) {
			continue
		}
		for j := 1; j < len(k); j++ {
			w := k[:j] + k[j+1:]
			if _, isName := l.named(w); isName || w == k {
				continue
			}
			slips++
			for _, s := range l.Read(w, nothing).Subjects {
				if !s.Spelling {
					continue
				}
				names, d := l.near(w)
				if d > 1 || !slices.Contains(names, k) {
					t.Errorf("%q, from %q, is read as %s", w, k, s.Name)
				}
				kept++
			}
		}
	}
	if kept*10 < slips*8 {
		t.Errorf("only %d of %d names with a letter missing are read", kept, slips)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"lasix", "lasix", 0}, {"lasix", "lsaix", 1}, {"lasix", "losec", 3}, {"abc", "abcd", 1}, {"sertaline", "sertraline", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}} {
		if got := Distance(c.a, c.b, 3); got != c.want {
			t.Errorf("%s to %s: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := Distance(c.b, c.a, 3); got != c.want {
			t.Errorf("%s to %s: %d, want %d", c.b, c.a, got, c.want)
		}
		if c.want > 1 {
			if got := Distance(c.a, c.b, 1); got != 2 {
				t.Errorf("%s to %s, limit 1: %d", c.a, c.b, got)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\tb":                                 "2 columns",
		"a\t\t\t\na\t\t\t":                     "line 2: \"a\" is there twice",
		"a/\t\t\t":                             "empty part",
		"/\t\t\t":                              "no letters",
		"\tX\t\t":                              "column 1",
		"# c\n\nx\ty\t\t\nz":                   "line 4",
		"a\t\t\t" + strings.Repeat("x", 2<<20): "too long",
	} {
		if _, err := parseMedicines([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
	for _, bad := range []string{"a\tb\t2\t", "a\tb\tNaN\t", "a\tb\t1\tsometimes", "a\tb\t1\tnear", "a\tb\t1\tupper x", "a\t\t1\t"} {
		if _, err := parseMeanings([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	for _, bad := range []string{"a\tb\t1:1", "a\tb\t34066-1", "a\tb\t", "a\tb\t34066-1:2"} {
		if _, err := parseCues([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	for _, bad := range []string{"a\tb\t", "a\tb\tc\na\tb\tc"} {
		if _, err := parseClasses([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	q := "T2DM pt on glucophage + coumadin, sertaline? CrCl 38, ACEi too"
	want := lexicon(t).Read(q, nothing)
	for range 5 {
		got := lexicon(t).Read(q, nothing)
		if !slices.Equal(got.Expansions, want.Expansions) || !slices.Equal(got.Sections, want.Sections) {
			t.Fatalf("%v\n%v", got, want)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add(string(medicinesTSV[:2000]))
	f.Add(string(shorthandTSV[:2000]))
	f.Add("a/b\tX, Y\tstatin\tz\n")
	f.Add("x\ty\t0.5\tnear a|b\n")
	f.Add("d\tdose, max\t34068-7:1\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func([]byte) (int, error){
			func(b []byte) (int, error) { m, err := parseMedicines(b); return len(m), err },
			func(b []byte) (int, error) { m, err := parseMeanings(b); return len(m), err },
			func(b []byte) (int, error) { m, err := parseClasses(b); return len(m), err },
			func(b []byte) (int, error) { m, err := parseCues(b); return len(m), err },
		} {
			if _, err := parse([]byte(s)); err != nil && err.Error() == "" {
				t.Error("an error without words")
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	l := lexicon(f)
	for _, q := range []string{"T2DM pt, w/ glucophage?", "w/", "/", "c. diff", "β-blocker’s", "a\xffb", "sertaline metformn", "Tylenol #3", "'''", "h/o s/p y/o"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		r := l.Read(q, nothing)
		for _, s := range r.Subjects {
			if q[s.Start:s.End] != s.Asked || s.Name == "" {
				t.Errorf("%q: %+v", q, s)
			}
		}
		for _, e := range r.Expansions {
			if q[e.Start:e.End] != e.From || e.To == "" || !(e.Weight >= 0 && e.Weight <= 1) {
				t.Errorf("%q: %+v", q, e)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	l := lexicon(b)
	for b.Loop() {
		l.Read("pt stable on metformin and sertaline, kidney fxn just dropped to gfr 27 - stop it or halve the dose?", nothing)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		lexicon(b)
	}
}
