package document

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzRead: whatever comes in, every document is well formed, every problem
// says why, and nothing panics.
func fuzzRead(f *testing.F, name string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzOne(t, name, data) })
}

func fuzzOne(t *testing.T, name string, data []byte) {
	fuzzWith(t, name, data, Options{MaxFileBytes: 1 << 20, Tesseract: "no-tesseract"})
}

func fuzzWith(t *testing.T, name string, data []byte, opt Options) {
	problems, err := ReadBytes(context.Background(), name, data, opt, func(d *Document) error {
		wellFormed(t, d)
		Hash(d)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if p.Reason == "" || p.Fix == "" || !strings.HasPrefix(p.File, name) {
			t.Errorf("%+v", p)
		}
	}
}

func FuzzSPL(f *testing.F) {
	fuzzRead(f, "a.xml", splHead+splProducts+splSection("43685-7", "5 WARNINGS", `<text><paragraph>a<footnote ID="f">n</footnote> b</paragraph><list listType="ordered"><item>x</item></list>
	<table><caption>c</caption><tr><td rowspan="2">1</td><td colspan="9">2</td></tr><tr><td>3</td></tr></table></text>`+splSection("42229-5", "", "<text>in</text>"))+splTail)
}

func FuzzOpenFDA(f *testing.F) {
	fuzzRead(f, "a.json", `{"results":[{"set_id":"s","openfda":{"brand_name":["B"]},"warnings":["5 W 5.1 Abc def"],"warnings_table":["<table><tr><td>5.1</td><td>Abc</td></tr></table>"]}]}`, `[{"id":"x","a":"b"}]`)
}

func FuzzJSONL(f *testing.F) {
	fuzzRead(f, "a.jsonl", "{\"id\":\"a#b\",\"section\":\"warnings and precautions\",\"text\":\"5 W\\n\\n *  x\\n  5.1 Abc\\n\\na   b\\n c   d\\n e   f\"}\n{\"_id\":1,\"text\":\"t\"}")
}

func FuzzMarkdown(f *testing.F) {
	fuzzRead(f, "a.md", "---\nid: a\nbrand: [x, y]\n---\n# T\n\n## Use\n\n* a\n  1. b\n\n| a | b |\n|---|---|\n| c | d |\n\n<table><tr><td>x</table>\n")
}

func FuzzHTML(f *testing.F) {
	fuzzRead(f, "a.html", "<html><title>t</title><body><h1>A</h1><ol type=i><li>x<ul><li>y</ul></ol><h2>B</h2><table><tr><td colspan=3>a<td>b</table><pre>c\nd</pre><sup>2</sup>")
}

// FuzzDOCX: what stands in the parts of a Word file, in a zip that is whole.
func FuzzDOCX(f *testing.F) {
	f.Add(wp("Titel", "T")+wli("1", "0", "x")+wp("berschrift1", "H")+`<w:p><w:r><w:t>a</w:t><w:footnoteReference w:id="2"/><w:lastRenderedPageBreak/></w:r></w:p><w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>`+wp("", "c")+`</w:tc><w:tc/></w:tr></w:tbl>`, `<w:footnote w:id="2">`+wp("", "n")+`</w:footnote>`, wordStyles, wordLists)
	f.Add(`<w:p><w:r><w:fldChar w:fldCharType="begin"/><w:sym w:font="Symbol" w:char="F0B3"/></w:r><m:oMath><m:sSup><m:e/><m:sup/></m:sSup></m:oMath><w:ins><w:r><mc:AlternateContent><mc:Choice><w:drawing><w:txbxContent><w:p/></w:txbxContent></w:drawing></mc:Choice></mc:AlternateContent></w:r></w:ins></w:p>`, "", "", "")
	f.Fuzz(func(t *testing.T, body, notes, styles, lists string) {
		data := wordFile(t, body, notes, "word/extra.xml", "")
		if styles != wordStyles || lists != wordLists {
			data = wordFileOf(t, body, notes, styles, lists)
		}
		fuzzOne(t, "a.docx", data)
	})
}

// FuzzOffice: any bytes that call themselves an Office file.
func FuzzOffice(f *testing.F) {
	f.Add(wordFile(f, wp("", "x"), ""))
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzOne(t, "a.docx", data) })
}

// FuzzTable: a table and its mapping.
func FuzzTable(f *testing.F) {
	f.Add([]byte("Drug A,Drug B,Severity,Effect,Advice\nWarfarin,Aspirin,major,E,\"A\"\n\nAspirin,Digoxin,minor,,A\n"), []byte(plainMapping))
	f.Add([]byte("sep=;\na;b;c\n1;x;y\n"), []byte("table = \"interactions\"\nencoding = \"windows-1252\"\nskip_rows = [3]\ndate_format = \"DD.MM.YYYY\"\n[columns]\ndrug_a = \"a\"\ndrug_b = \"b\"\n[constants]\nseverity = \"major\"\n[[further]]\ncolumn = \"c\"\nunit = \"%\""))
	f.Add([]byte("a\tb\n"), []byte{})
	f.Fuzz(func(t *testing.T, table, mapping []byte) {
		opt := Options{MaxFileBytes: 1 << 20, Mapping: mapping, MappingName: "a.csv"}
		if len(mapping) == 0 {
			opt.Mapping = nil
		}
		fuzzWith(t, "a.csv", table, opt)
	})
}

func FuzzText(f *testing.F) {
	fuzzRead(f, "a.txt", "Title\n\nText\n * a\n * b\n\nA   B   C\n1   2   3\n4   5   6\n", "\xff\xfea\x00")
}

// fuzzArchive: an archive of any bytes gives members that read as Read reads them, and
// nothing larger than may be.
func fuzzArchive(f *testing.F, name string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	opt := Options{MaxFileBytes: 1 << 20, MaxStreamBytes: 4 << 20, MaxTempBytes: 4 << 20, MaxUnpackedBytes: 16 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs := 0
		problems, err := ReadBytes(context.Background(), name, data, opt, func(d *Document) error {
			wellFormed(t, d)
			docs++
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		for _, p := range problems {
			if p.Reason == "" || p.Fix == "" || !strings.HasPrefix(p.File, name) || !utf8.ValidString(p.File) {
				t.Errorf("%+v", p)
			}
		}
		if docs == 0 && len(problems) == 0 {
			t.Error("neither a document nor a problem")
		}
		if _, err := Members(context.Background(), name, bytes.NewReader(data), int64(len(data)), opt, func(m Member) error {
			if m.Size > opt.MaxFileBytes && m.Size > opt.MaxStreamBytes {
				t.Errorf("%s: %d bytes", m.Name, m.Size)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

func FuzzZip(f *testing.F) {
	fuzzArchive(f, "a.zip", dailyMed(f, true), dailyMed(f, false), zipOf(f, file{name: "a.tar", data: tarOf(f, file{name: "x.md", data: "# A\n\nb"})}, file{name: "x.json", data: `{"results":[{"set_id":"s","a":"b"}]}`}))
}

func FuzzTar(f *testing.F) {
	fuzzArchive(f, "a.tar", tarOf(f, file{name: "x.md", data: "# A\n\nb"}, file{name: "y.zip", data: zipOf(f, file{name: "z.md", data: "# C\n\nd"})}), gzipOf(f, tarOf(f, file{name: "x.md", data: "# A\n\nb"})), zstdOf(f, "# A\n\nb"))
}

func FuzzBulk(f *testing.F) {
	fuzzArchive(f, "a.json", "{\n  \"meta\": {},\n  \"results\": [\n    {\n      \"set_id\": \"s\",\n      \"a\": [\"b\"]\n    },\n    {\n      \"set_id\": \"t\",\n      \"a\": [\"b\"]\n    }\n  ]\n}", `[{"id":"x","a":"b"},7,{"id":"y","a":["]"]}]`)
}
