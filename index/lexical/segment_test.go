package lexical

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

// A merge of segments writes, byte for byte, what a builder of the live
// passages alone writes, and the counts of a view are those of that segment.
func TestMergeIsABuildOfTheLivePassages(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	rapid.Check(t, func(t *rapid.T) {
		parts, live := someParts(t, a)
		var merged [][]byte
		if err := Merge(parts, func(b []byte) error { merged = append(merged, b); return nil }); err != nil {
			t.Fatal(err)
		}
		ps := make([]Passage, len(live))
		for i := range ps {
			ps[i] = live[i].p
		}
		anew, blobs, err := Build(a, ps)
		if err != nil {
			t.Fatal(err)
		}
		if len(blobs) != len(merged) {
			t.Fatalf("%d blobs, want %d", len(merged), len(blobs))
		}
		for i := range blobs {
			if !bytes.Equal(blobs[i], merged[i]) {
				t.Fatalf("blob %d differs", i)
			}
		}
		view, err := NewSearcher(DefaultParams, parts...)
		if err != nil {
			t.Fatal(err)
		}
		if view.Stats() != anew.summary.Stats {
			t.Fatalf("%+v, want %+v", view.Stats(), anew.summary.Stats)
		}
		for c := 'b'; c < 'r'; c++ {
			term := "zq" + string(c)
			if got, want := view.DocumentFrequency(term), anew.DocumentFrequency(term); got != want {
				t.Fatalf("%d passages have %s, want %d", got, term, want)
			}
		}
		for i := range parts {
			s := parts[i].Segment
			again, err := ReadDead(parts[i].Dead.Append(nil, s), s)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Append(nil, s), parts[i].Dead.Append(nil, s)) || again.Passages() != parts[i].Dead.Passages() {
				t.Fatal("the withdrawn passages are others after reading")
			}
		}
	})
}

// Blobs close at about 1 MB and at their greatest number of terms, in a builder
// as in a merge.
func TestManyBlobs(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	ps, query := zipf(1500, 20, 9)
	for i := range ps {
		var b strings.Builder
		for j := range 47 { // more terms than one blob takes
			fmt.Fprintf(&b, " c0de%d", 47*i+j)
		}
		ps[i].Text += b.String()
	}
	one, blobs := mustBuild(t, a, ps)
	if len(one.blobs) < 3 {
		t.Fatalf("%d blobs", len(one.blobs))
	}
	left, _ := mustBuild(t, a, ps[:400])
	right, _ := mustBuild(t, a, ps[400:])
	i := 0
	err := Merge([]Part{{Segment: left}, {Segment: right}}, func(b []byte) error {
		if i >= len(blobs) || !bytes.Equal(b, blobs[i]) {
			return fmt.Errorf("blob %d differs", i)
		}
		i++
		return nil
	})
	if err != nil || i != len(blobs) {
		t.Fatalf("%d of %d blobs, %v", i, len(blobs), err)
	}
	whole, err := NewSearcher(DefaultParams, Part{Segment: one})
	if err != nil {
		t.Fatal(err)
	}
	halves, err := NewSearcher(DefaultParams, Part{Segment: left}, Part{Segment: right, Base: 400})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		q := Query{Terms: query(), K: 10}
		x, err1 := whole.Search(q)
		y, err2 := halves.Search(q)
		if err1 != nil || err2 != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("%v %v %v %v", x, y, err1, err2)
		}
	}
	for _, term := range []string{"c0de0", "c0de69999", "c0de12345"} {
		if n := one.DocumentFrequency(term); n != 1 {
			t.Errorf("%d passages have %s", n, term)
		}
	}
	if err := one.Each(func(string, uint32, Counts) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestEachGivesBackWhatWasAdded(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	var ps []Passage
	for i := range 1000 { // several blocks of postings, every width of counts
		ps = append(ps, Passage{
			Title:   strings.Repeat("name ", i%2),
			Heading: strings.Repeat("head ", i%7),
			Text:    fmt.Sprintf("common rare%d %s", i, strings.Repeat("zqa ", i%300)),
		})
	}
	ps[70].Text += strings.Repeat("zqa ", 70000)
	ps[999].Text += " zqb"
	ps[0].Text += " zqb"
	s, _ := mustBuild(t, a, ps)
	want, have := map[string]Counts{}, map[string]Counts{}
	for i, p := range ps {
		a.Count(p, func(term string, tf Counts) { want[fmt.Sprint(term, " ", i)] = tf })
	}
	err := s.Each(func(term string, passage uint32, tf Counts) error {
		have[fmt.Sprint(term, " ", passage)] = tf
		return nil
	})
	if err != nil || !reflect.DeepEqual(want, have) {
		t.Errorf("%d postings instead of %d, %v", len(have), len(want), err)
	}
	for term, n := range map[string]int{"common": 1000, "nowhere": 0, "": 0, "rare5": 1, "zzz": 0} {
		if got := s.DocumentFrequency(term); got != n {
			t.Errorf("%d passages have %q, want %d", got, term, n)
		}
	}
	stop := errors.New("stop")
	if err := s.Each(func(string, uint32, Counts) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	ps := []Passage{{Text: "metformin kidney"}, {Text: "metformin liver"}, {Text: "warfarin"}}
	s, _ := mustBuild(t, a, ps)
	one, err := (*Dead)(nil).With(s, a, []Withdrawn{{1, ps[1]}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.With(s, a, []Withdrawn{{0, Passage{Text: "another text"}}}); err == nil {
		t.Error("a passage was withdrawn by another text")
	}
	if _, err := one.With(s, a, []Withdrawn{{3, ps[0]}}); err == nil {
		t.Error("a passage that is not there was withdrawn")
	}
	two, err := one.With(s, a, []Withdrawn{{1, ps[1]}, {2, ps[2]}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dead                   *Dead
		n, metformin, warfarin int
	}{{nil, 0, 2, 1}, {one, 1, 1, 1}, {two, 2, 1, 0}} {
		v, err := NewSearcher(DefaultParams, Part{Segment: s, Dead: c.dead})
		if err != nil {
			t.Fatal(err)
		}
		if c.dead.Passages() != c.n || v.Passages() != 3-c.n || v.DocumentFrequency("metformin") != c.metformin || v.DocumentFrequency("warfarin") != c.warfarin {
			t.Errorf("%d dead, %d live, metformin in %d, warfarin in %d", c.dead.Passages(), v.Passages(), v.DocumentFrequency("metformin"), v.DocumentFrequency("warfarin"))
		}
		if hits, err := v.Search(Query{Terms: []Weighted{{"warfarin", 1}}, K: 5}); err != nil || len(hits) != c.warfarin {
			t.Errorf("%v %v", hits, err)
		}
	}
}

// A blob that was damaged is named when the segment is opened or walked.
func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	ps, _ := zipf(300, 60, 2)
	_, blobs := mustBuild(t, a, ps)
	walk := func(blobs [][]byte) error {
		s, err := OpenSegment(blobs)
		if err != nil {
			return err
		}
		return s.Each(func(string, uint32, Counts) error { return nil })
	}
	if err := walk(blobs); err != nil {
		t.Fatal(err)
	}
	missed := 0
	for i := range blobs {
		for at := 0; at < len(blobs[i]); at += max(1, len(blobs[i])/100) {
			torn := make([][]byte, len(blobs))
			copy(torn, blobs)
			torn[i] = bytes.Clone(blobs[i])
			torn[i][at] ^= 1 << (at % 8)
			err := walk(torn)
			if err == nil {
				missed++ // a bit that nothing reads
				continue
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "lexical blob ") {
				t.Errorf("blob %d, byte %d: %v", i, at, err)
			}
		}
	}
	if missed > 8 {
		t.Errorf("%d flipped bits were not noticed", missed)
	}
	for _, torn := range [][][]byte{nil, {blobs[0]}, blobs[:len(blobs)-1], {blobs[1], blobs[0], blobs[2]}, {blobs[0], blobs[1][:100], blobs[2]}} {
		if err := walk(torn); !errors.Is(err, ErrDamaged) {
			t.Errorf("%v", err)
		}
	}
}

// Damaged blobs give errors or wrong hits, and nothing worse.
func FuzzLoad(f *testing.F) {
	a := NewAnalyzer(nil)
	var ps []Passage
	for i := range 300 {
		ps = append(ps, Passage{Title: "name", Heading: "heading", Text: fmt.Sprintf("text with warfarin %d", i*i)})
	}
	_, blobs := mustBuild(f, a, ps)
	head := blobs[2][:len(blobs[2])-8]
	f.Add(blobs[0], blobs[1], head, uint32(0), byte(0))
	f.Add(blobs[0], blobs[1], head, uint32(5000), byte(255))
	f.Add(blobs[0], blobs[1][:len(blobs[1])-1], head, uint32(0), byte(0))
	f.Add([]byte{}, []byte{1, 0, 0, 0}, []byte{}, uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, lengths, terms, summary []byte, at uint32, flip byte) {
		if len(terms) > 0 {
			terms = bytes.Clone(terms)
			terms[int(at)%len(terms)] ^= flip
		}
		summary = binary.LittleEndian.AppendUint64(bytes.Clone(summary), xxhash.Sum64(summary)) // which no chance would hit
		s, err := OpenSegment([][]byte{lengths, terms, summary})
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if err := s.Each(func(string, uint32, Counts) error { return nil }); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		for _, dead := range []*Dead{nil, {pages: []*deadPage{{1 << 40, 7}}}} {
			v, err := NewSearcher(DefaultParams, Part{Segment: s, Dead: dead})
			if err != nil {
				return
			}
			for _, q := range [][]Weighted{{{"warfarin", 1}}, {{"warfarin", 1}, {"text", 2}, {"head", 1}, {"16", .5}}} {
				for _, within := range [][]Range{nil, {{3, 50}, {100, 200}}} {
					if _, err := v.Search(Query{Terms: q, K: 5, Within: within}); err != nil && !errors.Is(err, ErrDamaged) {
						t.Error(err)
					}
				}
			}
		}
		if err := Merge([]Part{{Segment: s}}, func([]byte) error { return nil }); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}

func FuzzReadDead(f *testing.F) {
	a := NewAnalyzer(nil)
	ps := []Passage{{Text: "one two"}, {Text: "two three"}, {Text: "four"}}
	s, _ := mustBuild(f, a, ps)
	d, err := (*Dead)(nil).With(s, a, []Withdrawn{{0, ps[0]}, {2, ps[2]}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(d.Append(nil, s))
	f.Add((*Dead)(nil).Append(nil, s))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ReadDead(b, s)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if d.Passages() > 3 {
			t.Errorf("%d passages are dead", d.Passages())
		}
	})
}
