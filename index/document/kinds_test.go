package document

import (
	"reflect"
	"strings"
	"testing"
)

func TestOpenFDA(t *testing.T) {
	t.Parallel()
	record := `{"set_id":"s1","version":"3","effective_time":"20230115","openfda":{"brand_name":["Zed"],"generic_name":["zedine"],"product_ndc":["1-2"],"package_ndc":["1-2-3","1-2-3"],
	"rxcui":["6809","860975"],"upc":["0300931048011"],"unii":["9100L32L2N"],"spl_id":["d1"],"spl_set_id":["s1"]},"id":"d1",
	"spl_product_data_elements":["Zed zedine"],"dosage_and_administration":["2 DOSAGE AND ADMINISTRATION Take one daily 2.1 Adults Take two. Age Dose Adult 10 mg End of it."],
	"dosage_and_administration_table":["<table><tr><th>Age</th><th>Dose</th></tr><tr><td>Adult</td><td>10 mg</td></tr></table>"],
	"warnings_table":["<table><tr><td>a</td><td>b</td></tr></table>"],"my_new_field":["New."],"count":3}`
	d := readOne(t, "x.json", []byte(`{"meta":{"results":{"total":1}},"results":[`+record+`]}`))
	if d.ID != "s1" || d.Version != "3" || d.Effective != "2023-01-15" || d.Title != "Zed (zedine)" || d.Kind != KindOpenFDA {
		t.Errorf("%+v", d)
	}
	if want := []Code{{"ndc", "1-2"}, {"ndc", "1-2-3"}, {"gtin", "0300931048011"}, {"rxcui", "6809"}, {"rxcui", "860975"}, {"unii", "9100L32L2N"}, {"spl", "d1"}}; !reflect.DeepEqual(d.Codes, want) {
		t.Errorf("codes %v", d.Codes)
	}
	dosage := section(d, "s1#34068-7")
	if dosage == nil || dosage.Text != "2 DOSAGE AND ADMINISTRATION Take one daily\n\n2.1 Adults Take two.\n\nAge | Dose\nAdult | 10 mg\n\nEnd of it." {
		t.Errorf("dosage %+v", dosage)
	}
	if s := section(d, "s1#34071-1"); s == nil || s.Text != "a | b" {
		t.Errorf("a table without its field: %+v", s)
	}
	if s := section(d, "s1#my-new-field"); s == nil || s.Title != "My New Field" {
		t.Errorf("a field of no standard name: %+v", s)
	}
	if bare := readOne(t, "x.json", []byte(record)); Hash(bare) != Hash(d) {
		t.Error("a bare record reads in another way")
	}
	docs, problems := readAll(t, "x.json", []byte(`[`+record+`,{"a":1},`+strings.Replace(record, "s1", "s2", 1)+`,{"set_id":"s3",`))
	if len(docs) != 2 || len(problems) != 2 || problems[0].Record != 2 || problems[0].Field != "set_id" || problems[1].Record != 4 {
		t.Errorf("%d documents, %v", len(docs), problems)
	}
}

func TestJSONL(t *testing.T) {
	t.Parallel()
	docs, problems := readAll(t, "x.jsonl", []byte(`{"id":"a#dosage-and-administration","drug":"a","section":"Dosage and Administration","text":"Take one."}
{"id":"b#x","drug":"B","section":"Odd","text":"Two\n\n *  first\n *  second [see  X (      5.1      )  ]  ."}
{broken
{"id":"a#warnings","section":"warnings","text":"Careful."}
{"id":"a#warnings","section":"warnings","text":"Again."}
{"id":"c#y","text":"  "}
{"id":"c#y","text":7}
{"text":"no id"}

{"_id":12,"title":"Twelve","text":"A BEIR text."}`))
	if len(docs) != 3 {
		t.Fatalf("%d documents", len(docs))
	}
	a, b, beir := docs[0], docs[1], docs[2]
	if a.ID != "a" || len(a.Sections) != 2 || a.Sections[0].LOINC != "34068-7" || a.Sections[1].Title != "Warnings" || a.Names[0] != (Name{"a", "generic"}) {
		t.Errorf("%+v", a)
	}
	if b.Sections[0].Text != "Two\n• first\n• second [see X (5.1)]." || b.Names[0].Kind != "brand" {
		t.Errorf("%+v", b)
	}
	if beir.ID != "12" || beir.Title != "Twelve" || beir.Sections[0].ID != "12" || beir.Sections[0].Title != "Twelve" {
		t.Errorf("%+v", beir)
	}
	type where struct {
		line, record int
		field        string
	}
	var got []where
	for _, p := range problems {
		got = append(got, where{p.Line, p.Record, p.Field})
	}
	if want := []where{{3, 3, ""}, {5, 5, "id"}, {6, 6, "text"}, {7, 7, "text"}, {8, 8, "id"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("problems %v", problems)
	}
}

func TestRecordsThatFailAlikeAreCounted(t *testing.T) {
	t.Parallel()
	_, problems := readAll(t, "x.jsonl", []byte(strings.Repeat("{\"question\":\"q\"}\n", 500)))
	if len(problems) != 1 || problems[0].More != 499 {
		t.Errorf("%d problems, %+v", len(problems), problems[0])
	}
}

func TestPlainLabelText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, loinc, want string }{
		{"6 ADVERSE REACTIONS\n\n  Text (      6.1   ).\n\n\n\n *  one \n *  two\n      EXCERPT:   Most common:\n", "", "6 ADVERSE REACTIONS\n\nText (6.1).\n• one\n• two\n\nEXCERPT: Most common:"},
		{"Hard wrapped lines are\njoined again, for they were\ncut at a width.\n\nNext.", "", "Hard wrapped lines are joined again, for they were cut at a width.\n\nNext."},
		{"  Anaphylaxis has been\n\nreported after it. [\n\n    see X\n\n   (5.1)  ]\n\n .", "", "Anaphylaxis has been reported after it. [see X (5.1)]."},
		{"Drug        Grade3   Grade4\n Rash        54       15   \n Nausea      3        -    ", "", "Drug | Grade3 | Grade4\nRash | 54 | 15\nNausea | 3 | -"},
		{"may be required 5.1 Lactic Acidosis There have been. See Section 5.2 Other and 5.2 Vitamin Deficiency It may. Dose of 5.3 Units.", "43685-7", "may be required\n\n5.1 Lactic Acidosis There have been. See Section 5.2 Other and 5.2 Vitamin Deficiency It may. Dose of 5.3 Units."},
	} {
		if got := plainLabelText(c.in, c.loinc); got != c.want {
			t.Errorf("\n got %q\nwant %q", got, c.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	d := readOne(t, "metformin.md", []byte("---\nid: sample-metformin\ntitle: \"Metformin\"\nversion: 2\neffective: 2026-01-31\nbrand: Glucophage, Fortamet\ngeneric: metformin\nnotice: Sample text, not for clinical use\nsource: written here\n---\n\nIntro *text*.\n\n## Dosage and administration\n\nStart with 500 mg.\n\n| eGFR | Dose |\n|---|---|\n| 30–45 | do not start |\n\n### Adults\n\n- one\n- two\n\n1. first\n2. second\n\n## Renal impairment\nStop.<br>Now & <b>then</b>.\n"))
	wellFormed(t, d)
	if d.ID != "sample-metformin" || d.Version != "2" || d.Effective != "2026-01-31" || d.Title != "Metformin" || d.Notice == "" ||
		!reflect.DeepEqual(d.Names, []Name{{"Glucophage", "brand"}, {"Fortamet", "brand"}, {"metformin", "generic"}}) {
		t.Errorf("%+v", d)
	}
	var got []string
	for _, s := range d.Sections {
		got = append(got, s.ID+"|"+s.LOINC+"|"+s.Title+"|"+strings.Join(s.Path, "/")+"|"+s.Text)
	}
	want := []string{
		"sample-metformin#introduction||Introduction||Intro text.",
		"sample-metformin#34068-7|34068-7|Dosage and administration||Start with 500 mg.\n\neGFR | Dose\n30–45 | do not start",
		"sample-metformin#adults|34068-7|Adults|Dosage and administration|• one\n• two\n\n• 1. first\n• 2. second",
		"sample-metformin#88828-9|88828-9|Renal impairment||Stop.\nNow & then.",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if plain := readOne(t, "a guide.md", []byte("# The Guide\n\nText.\n\n## Part\n\nMore.")); plain.ID != "a-guide" || plain.Title != "The Guide" || plain.Sections[0].Text != "Text." {
		t.Errorf("%+v", plain)
	}
}

func TestHTMLAndText(t *testing.T) {
	t.Parallel()
	d := readOne(t, "page.html", []byte(`<!DOCTYPE html><html><head><title>T</title><style>x{}</style></head><body><nav>Menu</nav><h1>Title</h1><div><p>One<script>alert(1)</script>.</p>
	<div><h2>Contraindications</h2><ul><li>a</li><li>b</li></ul><table><tr><th>x<th>y</tr><tr><td>1<td>2</tr></table></div></div></body></html>`))
	wellFormed(t, d)
	if d.Title != "Title" || len(d.Sections) != 2 || d.Sections[0].Text != "One." || d.Sections[1].ID != "page#34070-3" || d.Sections[1].Text != "• a\n• b\n\nx | y\n1 | 2" {
		t.Errorf("%+v", d)
	}
	p := readOne(t, "note.txt", []byte("Warfarin bridging\n\nStop it\nfive days before.\n\nRestart."))
	if p.ID != "note" || p.Title != "Warfarin bridging" || p.Sections[0].Text != "Stop it five days before.\n\nRestart." {
		t.Errorf("%+v", p)
	}
}

func TestHTMLAsItIsSeen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"hidden":           {`<p>a<span hidden>X</span><span style="display: none">X</span><b style="VISIBILITY:hidden !important">X</b><i aria-hidden="true"> b</i></p><dialog>X</dialog><div hidden><h2>X</h2>X</div>`, "a b"},
		"struck":           {`<p>Give <s>50</s><del>40</del><span style="text-decoration: underline line-through">30</span> 5 mg.</p>`, "Give 5 mg."},
		"raised":           {`<p>10<sup>6</sup> and 10<span style="vertical-align:super;font-size:8pt">−3</span> and 10<sup>6 cells</sup>, 1<sup>st</sup>.</p>`, "10⁶ and 10⁻³ and 10⁶ cells, 1st."},
		"notes":            {`<p>At most 10<sup><a href="#fn1">1</a></sup> mg or 20<a href="#fn2"><sup>b</sup></a> mg, see <a href="#x">section 2</a>.</p>`, "At most 10[1] mg or 20[b] mg, see section 2."},
		"definitions":      {`<dl><dt>Adults<dd>10 mg<dt>Children<dd>5 mg</dl>`, "Adults\n10 mg\n\nChildren\n5 mg"},
		"numbers of items": {`<ol start=3><li>c<li value=7>g<li>h</ol>`, "• 3. c\n• 7. g\n• 8. h"},
		"nested tables":    {`<table><tr><th>Who<th>Dose<tr><td>Adults<td><table><tr><td>day 1<td>5 mg<tr><td>day 2<td>7 mg</table></table>`, "Who | Dose\nAdults | day 1, 5 mg; day 2, 7 mg"},
		"spans":            {`<table><caption>Doses</caption><thead><tr><th rowspan=2>Who<th colspan=2>Dose<tr><th>mg<th>times<tbody><tr><td>Adults<td>10<td>2</table>`, "Doses\nWho | Dose\n| mg | times\nAdults | 10 | 2"},
		"a layout":         {`<table><tr><td>Menu<td><table><caption>T</caption><tr><td>a<td>b<tr><td>c<td>d</table><p>Text.</p></table>`, "Menu\n\nT\na | b\nc | d\n\nText."},
		"said to be one":   {`<table role=presentation><tr><td>One.<td>Two.</table>`, "One.\n\nTwo."},
	} {
		d := readOne(t, "x.html", []byte("<!DOCTYPE html><body>"+c.in))
		wellFormed(t, d)
		if got := d.Sections[0].Text; got != c.want || len(d.Sections) != 1 {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
	d := readOne(t, "x.html", []byte(`<body><table><tr><td>Left<td><h2>Dosage</h2><p>One.</p><h2>Storage</h2><p>Cold.</p><p>Effective date: 2026-02-03</p></table><ul><li>x<ul><li>y</ul></ul><table><tr><td>a<td>b<tr><td><td>c</table>`))
	wellFormed(t, d)
	if len(d.Sections) != 3 || d.Sections[1].LOINC != "34068-7" || d.Effective != "2026-02-03" {
		t.Fatalf("%+v", d)
	}
	s := d.Sections[2]
	for text, want := range map[string]string{"Cold.": "paragraph 3", "• x": "paragraph 5", "• y": "paragraph 6", "a | b": "table 1, row 1", "c": "table 1, row 2"} {
		if got := PlaceAt(s.Places, strings.LastIndex(s.Text, text)).Element; got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"bom.txt":    "\xef\xbb\xbfé",
		"utf16.txt":  "\xff\xfe\xe9\x00",
		"utf16b.txt": "\xfe\xff\x00\xe9",
		"latin.html": `<html><meta charset="iso-8859-1"><p>` + "\xe9",
	} {
		if d := readOne(t, name, []byte(raw)); d.Sections[0].Text != "é" {
			t.Errorf("%s: %q", name, d.Sections[0].Text)
		}
	}
	latin := strings.Replace(splHead, "UTF-8", "ISO-8859-1", 1)
	latin = strings.ReplaceAll(latin, "®", "\xae")
	if d := readOne(t, "x.xml", []byte(latin+splSection("34067-9", "", "<text>caf\xe9</text>")+splTail)); d.Sections[0].Text != "café" || d.Title != "X® (xine) tablets" {
		t.Errorf("%+v", d)
	}
}

func TestHashIsOfTheContent(t *testing.T) {
	t.Parallel()
	a := readOne(t, "one/note.md", []byte("# A\n\nText"))
	b := readOne(t, "note.md", []byte("# A\n\nText"))
	b.Source = "elsewhere"
	c := readOne(t, "note.md", []byte("# A\n\nText!"))
	if Hash(a) != Hash(b) || Hash(a) == Hash(c) || len(Hash(a)) != 64 {
		t.Error("the hash follows the source, or not the content")
	}
}
