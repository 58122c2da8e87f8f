package document

import (
	"reflect"
	"strings"
	"testing"
)

const splHead = `<?xml version="1.0" encoding="UTF-8"?>
<document xmlns="urn:hl7-org:v3"><id root="doc-1"/><title>These highlights do not include all the information needed to use X safely.
 See full prescribing information for X. <br/>X<sup>®</sup> (xine) tablets<br/>Initial U.S. Approval: 1999</title>
<effectiveTime value="20240229120000-0500"/><setId root="set-1"/><versionNumber value="7"/><component><structuredBody>`

const splProducts = `<component><section><id root="G0"/><code code="48780-1"/><subject><manufacturedProduct><manufacturedProduct>
<code code="1111-2222" codeSystem="2.16.840.1.113883.6.69"/><name>X<suffix>XR</suffix></name>
<asEntityWithGeneric><genericMedicine><name>xine</name></genericMedicine></asEntityWithGeneric>
<asEquivalentEntity><definingMaterialKind><code code="9999-9999" codeSystem="2.16.840.1.113883.6.69"/></definingMaterialKind></asEquivalentEntity>
<part><partProduct><code code="1111-3333" codeSystem="2.16.840.1.113883.6.69"/><name>Y</name>
<ingredient classCode="ACTIM"><ingredientSubstance><code code="SALT000000" codeSystem="2.16.840.1.113883.4.9"/><name>XINE SODIUM</name><activeMoiety><activeMoiety><code code="BASE000000" codeSystem="2.16.840.1.113883.4.9"/></activeMoiety></activeMoiety></ingredientSubstance></ingredient>
<ingredient classCode="IACT"><ingredientSubstance><code code="059QF0KO0R" codeSystem="2.16.840.1.113883.4.9"/><name>WATER</name></ingredientSubstance></ingredient>
<asContent><containerPackagedProduct><code code="1111-3333-01" codeSystem="2.16.840.1.113883.6.69"/></containerPackagedProduct></asContent></partProduct></part>
</manufacturedProduct></manufacturedProduct></subject></section></component>`

const splTail = `</structuredBody></component></document>`

func splSection(code, title, inner string) string {
	t := ""
	if title != "" {
		t = "<title>" + title + "</title>"
	}
	return `<component><section><id root="G-` + slug(code+title) + `"/><code code="` + code + `"/>` + t + inner + `</section></component>`
}

func TestSPLHeadAndProducts(t *testing.T) {
	t.Parallel()
	d := readOne(t, "x.xml", []byte(splHead+splProducts+splSection("34067-9", "1 INDICATIONS", "<text>Use it.</text>")+splTail))
	if d.ID != "set-1" || d.Version != "7" || d.Effective != "2024-02-29" || d.Title != "X® (xine) tablets" {
		t.Errorf("%+v", d)
	}
	if want := []Name{{"X XR", "brand"}, {"xine", "generic"}, {"Y", "brand"}, {"XINE SODIUM", "ingredient"}}; !reflect.DeepEqual(d.Names, want) {
		t.Errorf("names %v", d.Names)
	}
	if want := []Code{{"ndc", "1111-2222"}, {"ndc", "1111-3333"}, {"unii", "SALT000000"}, {"unii", "BASE000000"}, {"ndc", "1111-3333-01"}, {"spl", "doc-1"}}; !reflect.DeepEqual(d.Codes, want) {
		t.Errorf("codes %v", d.Codes)
	}
	if len(d.Sections) != 1 {
		t.Errorf("the product section became text: %+v", d.Sections)
	}
}

func TestSPLSections(t *testing.T) {
	t.Parallel()
	d := readOne(t, "x.xml", []byte(splHead+
		splSection("43685-7", "5 WARNINGS AND PRECAUTIONS", "<excerpt><highlight><text>Short form.</text></highlight></excerpt>"+
			splSection("42229-5", "5.1 Serious Infections", "<text>Stop it.</text>"+
				splSection("42229-5", "", "<text>Flows in.</text>")+
				splSection("34077-8", "", "<text>Own code.</text>"))+
			splSection("42229-5", "", "<text>To the outer.</text>"))+
		splSection("34070-3", "4 CONTRAINDICATIONS", splSection("42229-5", "4.1 Known liver disease", ""))+
		splSection("42228-7", "4.3 Pregnancy", "<text>One.</text>")+
		splSection("42228-7", "8.1 Pregnancy", "<text>Two.</text>")+
		splSection("51945-4", "", "<text>Panel.</text>")+splSection("51945-4", "", "<text>Panel 2.</text>")+
		splTail))
	wellFormed(t, d)
	type row struct{ id, loinc, number, title, path, text string }
	var got []row
	for _, s := range d.Sections {
		got = append(got, row{strings.TrimPrefix(s.ID, "set-1#"), s.LOINC, s.Number, s.Title, strings.Join(s.Path, "/"), s.Text})
	}
	want := []row{
		{"43685-7", "43685-7", "5", "WARNINGS AND PRECAUTIONS", "", "To the outer."},
		{"5.1", "43685-7", "5.1", "Serious Infections", "WARNINGS AND PRECAUTIONS", "Stop it.\n\nFlows in."},
		{"34077-8", "34077-8", "", "Teratogenic Effects", "WARNINGS AND PRECAUTIONS/Serious Infections", "Own code."},
		{"34070-3", "34070-3", "4", "CONTRAINDICATIONS", "", "4.1 Known liver disease"},
		{"4.3", "42228-7", "4.3", "Pregnancy", "", "One."},
		{"8.1", "42228-7", "8.1", "Pregnancy", "", "Two."},
		{"section-8", "51945-4", "", "Package Label", "", "Panel."},
		{"section-9", "51945-4", "", "Package Label", "", "Panel 2."},
	}
	for i := range got {
		if strings.HasPrefix(got[i].id, "section-") {
			got[i].id, want[i].id = "", ""
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	for _, alias := range []string{"set-1#g-42229-55-1-serious-infections", "set-1#serious-infections", "set-1#43685-7", "set-1#warnings-and-precautions", "set-1#5"} {
		if s := section(d, "set-1#5.1"); s == nil || !contains(s.Aliases, alias) {
			t.Errorf("5.1 has no alias %s: %v", alias, s.Aliases)
		}
	}
	if s := section(d, "set-1#34070-3"); !contains(s.Aliases, "set-1#4.1") {
		t.Errorf("what became part of a section is no alias of it: %v", s.Aliases)
	}
}

func TestSPLText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ xml, want string }{
		"white space folds, and none is left before a closing mark": {
			"<paragraph>Stop [see <content styleCode=\"italics\">\n   <linkHtml href=\"#S1\">Warnings (5.1)</linkHtml>\n  </content>\n ].\u00a0 Then\u2009go on .</paragraph>",
			"Stop [see Warnings (5.1)]. Then go on."},
		"superscripts are kept, subscripts are plain": {
			"<paragraph>10<sup>6</sup> cells, 1.73 m<sup>2</sup>, C<sub>max</sub>, B<sub>12</sub>, X<sup>®</sup>, Placebo<sup>a</sup>, 5<sup>th</sup></paragraph>",
			"10⁶ cells, 1.73 m², Cmax, B12, X®, Placeboᵃ, 5th"},
		"lists, nested and ordered": {
			"<paragraph>Take:</paragraph><list><item>one<list listType=\"ordered\"><item>a</item><item>b</item></list></item><item><caption>•</caption>two</item><item><caption>(i)</caption>three</item></list><paragraph>End.</paragraph>",
			"Take:\n• one\n• 1. a\n• 2. b\n• two\n• (i) three\n\nEnd."},
		"a line break in a sentence is a space, elsewhere a line, twice a paragraph": {
			"<paragraph>Prevention of<br/>stroke.<br/>Dose<br/><br/>Ten mg</paragraph>", "Prevention of stroke.\nDose\n\nTen mg"},
		"tables line up": {
			`<paragraph>See:</paragraph><table><caption>Table 1</caption><thead><tr><th rowspan="2">Drug<footnote ID="f1">Any form</footnote></th><th colspan="2">Dose</th></tr><tr><th>Day</th><th>Night</th></tr></thead>
			<tfoot><tr><td colspan="3">Foot</td></tr></tfoot>
			<tbody><tr><td rowspan="2">A<footnoteRef IDREF="f1"/></td><td>1<br/>mg</td><td><list><item>x</item><item>y</item></list></td></tr><tr><td>2</td><td/></tr><tr><td/><td/><td>3</td></tr></tbody></table><paragraph>After</paragraph>`,
			"See:\nTable 1\nDrug* | Dose\n| Day | Night\nA* | 1 mg | • x • y\n| 2\n| | 3\nFoot\n* Any form\n\nAfter"},
		"a table of one column is layout": {
			"<table><tbody><tr><td><paragraph>One.</paragraph><paragraph>Two.</paragraph></td></tr><tr><td/></tr></tbody></table>", "One.\n\nTwo."},
		"a table in a cell stays on its line": {
			"<table><tr><td>a</td><td><table><tr><td>b</td><td>c</td></tr><tr><td>d</td></tr></table></td></tr></table>", "a | b, c; d"},
		"footnotes and pictures": {
			`<paragraph>Text<footnote>Note.</footnote>.</paragraph><renderMultiMedia referencedObject="m"><caption>Figure 1: curve</caption></renderMultiMedia>`,
			"Text*.\n\nFigure 1: curve\n\n* Note."},
		"ligatures and what is unseen": {"<paragraph>\ufb01brosis re\u00adduced\u200b</paragraph>", "fibrosis reduced"},
		"bare text":                    {"Just text &amp; more &nbsp; &lt;b&gt;", "Just text & more <b>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := readOne(t, "x.xml", []byte(splHead+splSection("34067-9", "1 INDICATIONS", "<text>"+c.xml+"</text>")+splTail))
			if got := d.Sections[0].Text; got != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestSplitNumber(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"5.1 Serious Infections": "5.1|Serious Infections", "7 DRUG INTERACTIONS": "7|DRUG INTERACTIONS", "2.1\tDosage": "2.1|Dosage",
		"10 mg Tablet": "|10 mg Tablet", "2.5 mg Tablets": "|2.5 mg Tablets", "12 Hour Relief": "|12 Hour Relief", "Warnings": "|Warnings", "5.10. Vaccines": "5.10|Vaccines",
	} {
		if n, rest := splitNumber(title, false); n+"|"+rest != want {
			t.Errorf("%q: %q %q", title, n, rest)
		}
	}
}

func TestStandardSections(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{
		"Dosage and Administration": "34068-7", "dosage_and_administration": "34068-7", "2 DOSAGE & ADMINISTRATION": "34068-7", "boxed warnings": "34066-1",
		"warnings-and-precautions": "43685-7", "Renal": "88828-9", "Interactions": "34073-7", "Use in renal impairment": "88828-9", "Hepatic impairment": "88829-7",
		"Indications": "34067-9", "Contraindications": "34070-3", "Warnings": "34071-1", "How supplied": "34069-5", "Overdose": "34088-5",
	} {
		if s, ok := SectionByName(name); !ok || s.LOINC != code {
			t.Errorf("%q: %+v", name, s)
		}
	}
	if _, ok := SectionByName("Tardive Dyskinesia"); ok {
		t.Error("a title of no standard section has a code")
	}
	if s, ok := SectionByLOINC("34084-4"); !ok || s.Slug != "adverse-reactions" {
		t.Errorf("%+v", s)
	}
}
