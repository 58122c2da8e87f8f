package chunk

import (
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"rxedge/index/document"
)

func doc(texts ...string) *document.Document {
	d := &document.Document{ID: "d", Title: "Metformin hydrochloride tablets", Names: []document.Name{{Text: "metformin", Kind: "generic"}}}
	for i, s := range texts {
		d.Sections = append(d.Sections, document.Section{ID: "d#" + string(rune('a'+i)), Title: "Dosage and Administration", Path: []string{"Outer"}, Text: s})
	}
	return d
}

func holds(t interface{ Fatalf(string, ...any) }, d *document.Document, passages []Passage, max int) {
	c := ConservativeCounter{}
	covered := make([][]bool, len(d.Sections))
	for i := range covered {
		covered[i] = make([]bool, len(d.Sections[i].Text))
	}
	for _, p := range passages {
		text := d.Sections[p.Section].Text
		if p.SectionID != d.Sections[p.Section].ID || p.DocumentID != d.ID {
			t.Fatalf("passage names %s of %s", p.SectionID, p.DocumentID)
		}
		if p.Tokens != c.Count(p.Heading)+c.Count(text[p.Start:p.End]) {
			t.Fatalf("passage says %d tokens", p.Tokens)
		}
		if p.Tokens > max {
			t.Fatalf("passage of %d tokens is over %d", p.Tokens, max)
		}
		if len(p.Sentences) == 0 || p.Sentences[0].Start != p.Start || p.Sentences[len(p.Sentences)-1].End != p.End {
			t.Fatalf("span %v is not that of its sentences %v", p.Span, p.Sentences)
		}
		at := p.Start
		for _, s := range p.Sentences {
			if s.Start < at || s.End <= s.Start || strings.TrimSpace(text[at:s.Start]) != "" {
				t.Fatalf("sentences of %v leave text out: %v", p.Span, p.Sentences)
			}
			if utf8.ValidString(text) && !utf8.ValidString(text[s.Start:s.End]) {
				t.Fatalf("a character is cut in two")
			}
			at = s.End
			for i := s.Start; i < s.End; i++ {
				covered[p.Section][i] = true
			}
		}
	}
	for i, s := range d.Sections {
		for j, r := range s.Text {
			if !unicode.IsSpace(r) && !covered[i][j] {
				t.Fatalf("byte %d of section %d (%q) is in no passage", j, i, r)
			}
		}
	}
}

func TestSplitHoldsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.OneOf(labelish(), rapid.String(), rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,300}[,;]?`), 0, 40).Draw(t, "words"), " ")
		}))
		d := doc(rapid.SliceOfN(gen, 1, 3).Draw(t, "sections")...)
		opt := Options{MaxTokens: rapid.IntRange(16, 600).Draw(t, "max"), Overlap: rapid.IntRange(-1, 80).Draw(t, "overlap"), MergeUnder: rapid.IntRange(0, 150).Draw(t, "merge")}
		got := Split(d, ConservativeCounter{}, opt)
		holds(t, d, got, min(opt.MaxTokens, HardMaxTokens))
		if again := Split(d, ConservativeCounter{}, opt); !reflect.DeepEqual(got, again) {
			t.Fatalf("the same document gave other passages")
		}
	})
}

func sentence(words int) string { return "The " + strings.Repeat("dose ", words-2) + "ends." }

func TestSplitKeepsParagraphsAndMergesShortOnes(t *testing.T) {
	t.Parallel()
	// 20 + 20 tokens are merged; a paragraph of 150 stands alone beside another.
	d := doc(sentence(20) + "\n\n" + sentence(20) + "\n\n" + sentence(150) + "\n\n" + sentence(150))
	got := Split(d, ConservativeCounter{}, Options{})
	holds(t, d, got, 256)
	var sizes []int
	for _, p := range got {
		sizes = append(sizes, len(p.Sentences))
	}
	if !reflect.DeepEqual(sizes, []int{3, 1}) {
		t.Errorf("sentences a passage: %v", sizes)
	}
	if h := got[0].Heading; h != "Metformin hydrochloride tablets: Outer > Dosage and Administration" {
		t.Errorf("heading %q", h)
	}
}

func TestSplitOverlapsByWholeSentences(t *testing.T) {
	t.Parallel()
	var long []string
	for range 40 {
		long = append(long, sentence(19)) // 20 tokens with its full stop
	}
	d := doc(strings.Join(long, " "))
	got := Split(d, ConservativeCounter{}, Options{})
	holds(t, d, got, 256)
	for i := 1; i < len(got); i++ {
		if shared := got[i-1].End - got[i].Start; shared <= 0 {
			t.Errorf("passage %d repeats nothing of the one before", i)
		} else if n := (ConservativeCounter{}).Count(d.Sections[0].Text[got[i].Start:got[i-1].End]); n > 50 || n < 30 {
			t.Errorf("passage %d repeats %d tokens", i, n)
		}
	}
}

func TestSplitCutsALongSentenceAtClauses(t *testing.T) {
	t.Parallel()
	d := doc(strings.Repeat("patients with renal impairment should not take more than the dose, ", 60) + "ever.")
	got := Split(d, ConservativeCounter{}, Options{Overlap: -1})
	holds(t, d, got, 256)
	for _, p := range got[:len(got)-1] {
		if text := d.Sections[0].Text[p.Start:p.End]; !strings.HasSuffix(text, ",") {
			t.Errorf("cut inside a clause: …%q", text[len(text)-30:])
		}
	}
}

func TestSplitKeepsATableWhole(t *testing.T) {
	t.Parallel()
	table := "Table 1. Doses\nAge | Dose" + strings.Repeat("\n6 to 12 years | 10 mg", 12)
	d := doc(sentence(100) + "\n\n" + table)
	got := Split(d, ConservativeCounter{}, Options{})
	holds(t, d, got, 256)
	last := got[len(got)-1]
	if !strings.Contains(d.Sections[0].Text[last.Start:last.End], table) {
		t.Errorf("the table is parted: %v", got)
	}
}

func TestSplitBoundsTheHeading(t *testing.T) {
	t.Parallel()
	d := doc("Take one.")
	d.Title = strings.Repeat("a very long title ", 100)
	d.Sections[0].Path = []string{strings.Repeat("outer ", 200)}
	d.Sections[0].Title = strings.Repeat("x", 5000)
	got := Split(d, ConservativeCounter{}, Options{})
	holds(t, d, got, 256)
}

func BenchmarkSplit(b *testing.B) {
	d := doc(strings.Repeat(sentence(20)+" "+sentence(12)+"\n\n• item of a list (e.g. this)\n• another [see 5.1]\n\n", 200))
	b.SetBytes(int64(len(d.Sections[0].Text)))
	for b.Loop() {
		Split(d, ConservativeCounter{}, Options{})
	}
}

// What could not be read in full is in no passage, nor does a span run over it.
func TestSplitLeavesOutWhatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	d := doc("Take it with food. Take "+document.Unreadable+" mg at night. Swallow it whole.\n\nA | "+document.Unreadable+"\nB | 5 mg", document.Unreadable)
	var got []string
	for _, p := range Split(d, ConservativeCounter{}, Options{}) {
		text := d.Sections[p.Section].Text[p.Start:p.End]
		if !document.Quotable(text) {
			t.Errorf("%q", text)
		}
		for _, s := range p.Sentences {
			got = append(got, d.Sections[p.Section].Text[s.Start:s.End])
		}
	}
	if want := []string{"Take it with food.", "Swallow it whole.", "B | 5 mg"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
