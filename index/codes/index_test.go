package codes

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rxedge/index/document"
)

func doc(id string, codes ...string) *document.Document {
	d := &document.Document{ID: id}
	for i := 0; i < len(codes); i += 2 {
		d.Codes = append(d.Codes, document.Code{System: codes[i], Value: codes[i+1]})
	}
	return d
}

var sample = []*document.Document{
	doc("608d4f0d-b19f-46d3-749a-7159aa5f933d", "ndc", "0074-3799", "ndc", "0074-3799-02", "ndc", "0074-3799-71", "unii", "FYS6T7F842"),
	doc("c6e131fe-e7df-4876-83f7-9156fc4e8228", "ndc", "0071-0155", "ndc", "0071-0155-23", "rxcui", "617310", "spl", "20a11732-b9f5-4b59-9d86-c63f11b139d9"),
	doc("17a163ef-b349-4e32-bc8c-b02bac7f65d6", "ndc", "55289-800-30", "rxcui", "617310", "upc", "6291041500213"),
	doc("warfarin", "ndc", "0931-0048-01"), // the 5-3-2 reading of 0093104801
	doc("metformin", "ndc", "0093-1048-01", "gtin", "0300931048011", "ndc", "broken", "gtin", "0300931048012"),
	doc("guideline"),
}

func build(t testing.TB, docs []*document.Document, size int) (*Index, [][]byte) {
	t.Helper()
	var b Builder
	for i, d := range docs {
		b.AddDocument(uint32(i), d)
	}
	blobs := b.Build(size)
	ix, err := Load(blobs)
	if err != nil {
		t.Fatal(err)
	}
	if err := ix.Verify(uint32(len(docs))); err != nil {
		t.Fatal(err)
	}
	return ix, blobs
}

func TestLookup(t *testing.T) {
	t.Parallel()
	ix, _ := build(t, sample, 0)
	for _, c := range []struct{ text, want string }{
		{"0074-3799-02", "0"}, {"00074379902", "0"}, {"000074379902", "0"}, {"0074379902", "0"}, {"000074-3799-02", "0"}, {"*0074-3799-02*", "0"},
		{"0074-3799", "0p"}, {"00074-3799", "0p"}, {"ndc 00743799", "0p"}, {"0074-3799-55", "0p"}, {"0074-3798-02", ""},
		{"300743799022", ""}, {"300743799026", "0"}, {"(01)00300743799026(17)271231", "0"},
		{"55289-800", "2p"}, {"55289080030", "2"}, {"5528980030", "2"}, {"55289-0800-30", "2"},
		{"0071-0155-99", "1p"},
		{"rxcui 617310", "1 2"}, {"rxcui 617311", ""},
		{"608D4F0D-B19F-46D3-749A-7159AA5F933D", "0"}, {"20a11732-b9f5-4b59-9d86-c63f11b139d9", "1"},
		{"UNII FYS6T7F842", "0"}, {"upc 6291041500213", "2"}, {"gtin 06291041500213", "2"},
		// The layout that a labeler code allows comes before the others.
		{"0093104801", "4"}, {"300931048011", "4"}, {"0931-0048-01", "3"}, {"0300931048012", ""},
	} {
		var got []string
		for _, f := range Find(c.text) {
			for _, m := range ix.Lookup(f) {
				s := fmt.Sprint(m.Doc)
				if m.Product {
					s += "p"
				}
				if !slices.Contains(got, s) {
					got = append(got, s)
				}
			}
		}
		if s := fmt.Sprint(got); s != "["+c.want+"]" {
			t.Errorf("%q: documents %s, want [%s]", c.text, s, c.want)
		}
	}
	// Where nothing has the likely layout, the others count.
	alone, _ := build(t, sample[3:4], 0)
	if m := alone.Lookup(Find("0093104801")[0]); len(m) != 1 || m[0].Value != "000931-0048-01" {
		t.Errorf("the other layouts: %+v", m)
	}
	var b Builder
	if left := b.AddDocument(4, sample[4]); left != 2 {
		t.Errorf("%d codes left out, want the broken NDC and the GTIN that does not check", left)
	}
	empty, _ := build(t, nil, 0)
	if m := empty.Lookup(Find("0093-1048-01")[0]); m != nil || empty.Keys() != 0 {
		t.Errorf("an empty index: %+v", m)
	}
}

func TestLookupParts(t *testing.T) {
	t.Parallel()
	a, _ := build(t, sample[:3], 0)
	b, _ := build(t, sample[2:], 0)
	parts := []Part{{Index: a}, {Index: b, Dead: func(d uint32) bool { return d == 0 }}}
	c := Find("55289-800-30")[0]
	if m := Lookup(parts, c); len(m) != 1 || m[0].Part != 0 || m[0].Doc != 2 {
		t.Errorf("%+v", m)
	}
	parts[0].Dead = parts[1].Dead
	parts[1].Dead = nil
	if m := Lookup(parts, c); len(m) != 2 || m[1] != (Match{1, 0, NDC, "055289-0800-30", false}) {
		t.Errorf("%+v", m)
	}
	parts[0].Dead = func(uint32) bool { return true }
	if m := Lookup(parts, c); len(m) != 1 || m[0].Part != 1 {
		t.Errorf("%+v", m)
	}
}

// random labels: some thousand, of few labelers so that codes are shared.
func random(r *rand.Rand, n int) []*document.Document {
	docs := make([]*document.Document, n)
	for i := range docs {
		d := doc(fmt.Sprintf("%08x-0000-4000-8000-%012x", r.Uint32(), i))
		for range r.IntN(6) {
			p := fmt.Sprintf("%05d-%03d", 10000+r.IntN(50), r.IntN(300))
			d.Codes = append(d.Codes, document.Code{System: NDC, Value: p}, document.Code{System: NDC, Value: fmt.Sprintf("%s-%02d", p, r.IntN(100))})
		}
		for range r.IntN(3) {
			d.Codes = append(d.Codes, document.Code{System: RxCUI, Value: fmt.Sprint(1 + r.IntN(2000))})
		}
		docs[i] = d
	}
	return docs
}

// What is looked up is what a plain map says, over many small blobs.
func TestLookupAgainstMap(t *testing.T) {
	t.Parallel()
	docs := random(rand.New(rand.NewPCG(1, 2)), 1000)
	ix, blobs := build(t, docs, 2048)
	if len(blobs) < 10 {
		t.Fatalf("only %d blobs", len(blobs))
	}
	want := map[string][]uint32{}
	for i, d := range docs {
		for _, c := range append(d.Codes, document.Code{System: SPL, Value: d.ID}) {
			k := c.System + c.Value
			if !slices.Contains(want[k], uint32(i)) {
				want[k] = append(want[k], uint32(i))
			}
		}
	}
	for _, d := range docs {
		for _, c := range append(d.Codes, document.Code{System: SPL, Value: d.ID}) {
			n, err := Normalise(c.System, c.Value)
			if err != nil {
				t.Fatal(err)
			}
			var got []uint32
			for _, m := range ix.Lookup(n) {
				got = append(got, m.Doc)
			}
			if !slices.Equal(got, want[c.System+c.Value]) {
				t.Fatalf("%s %s: %v, want %v", c.System, c.Value, got, want[c.System+c.Value])
			}
		}
	}
}

// Merging gives byte for byte what building the living documents gives.
func TestMerge(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	docs := random(r, 600)
	dead := map[int]bool{}
	for range 150 {
		dead[r.IntN(len(docs))] = true
	}
	var left []*document.Document
	number := map[int]uint32{}
	for i, d := range docs {
		if !dead[i] {
			number[i] = uint32(len(left))
			left = append(left, d)
		}
	}
	var parts []Numbered
	for from := 0; from < len(docs); {
		to := min(len(docs), from+1+r.IntN(300))
		ix, _ := build(t, docs[from:to], 2000)
		base := from
		parts = append(parts, Numbered{ix, func(d uint32) (uint32, bool) { n, ok := number[base+int(d)]; return n, ok }})
		from = to
	}
	_, want := build(t, left, 3000)
	got := Merge(parts, 3000)
	if len(got) != len(want) {
		t.Fatalf("%d blobs from %d parts, want %d", len(got), len(parts), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("blob %d differs", i)
		}
	}
	// The order in which documents came does not matter either.
	var b Builder
	for _, i := range r.Perm(len(left)) {
		b.AddDocument(uint32(i), left[i])
	}
	for i, blob := range b.Build(3000) {
		if !bytes.Equal(blob, want[i]) {
			t.Fatalf("blob %d differs in another order", i)
		}
	}
	if got := Merge(nil, 0); len(got) != 0 {
		t.Errorf("nothing merged is %d blobs", len(got))
	}
}

// A byte changed anywhere is noticed by Verify, or changes nothing but numbers
// of documents, which a checksum over the blob is for; nothing panics.
func TestDamage(t *testing.T) {
	t.Parallel()
	docs := random(rand.New(rand.NewPCG(5, 6)), 20)
	_, blobs := build(t, docs, 700)
	if len(blobs) < 2 {
		t.Fatal("one blob only")
	}
	look := Find("10000-001-01")[0]
	noticed := 0
	for i := range blobs[0] {
		bad := slices.Clone(blobs)
		bad[0] = slices.Clone(blobs[0])
		bad[0][i] ^= 0x41
		ix, err := Load(bad)
		if err != nil {
			noticed++
			continue
		}
		ix.Lookup(look)
		Merge([]Numbered{{ix, func(d uint32) (uint32, bool) { return d, true }}}, 0)
		if ix.Verify(uint32(len(docs))) != nil {
			noticed++
		}
	}
	if noticed*2 < len(blobs[0]) {
		t.Errorf("only %d of %d changed bytes were noticed", noticed, len(blobs[0]))
	}
	if _, err := Load([][]byte{blobs[1], blobs[0]}); err == nil {
		t.Error("blobs in the wrong order were loaded")
	}
	for n := range blobs[0] {
		if ix, err := Load([][]byte{blobs[0][:n]}); err == nil && ix.Verify(0) == nil {
			t.Fatalf("a blob cut to %d of %d bytes was taken", n, len(blobs[0]))
		}
	}
}

func FuzzLoad(f *testing.F) {
	var b Builder
	for i, d := range sample {
		b.AddDocument(uint32(i), d)
	}
	for _, blob := range b.Build(0) {
		f.Add(blob)
	}
	f.Add([]byte(magic))
	cs := append(Find("ndc 0074-3799-02, 0093104801"), Find("rxcui 617310")...)
	f.Fuzz(func(t *testing.T, data []byte) {
		ix, err := Load([][]byte{data})
		if err != nil {
			return
		}
		for _, c := range cs {
			ix.Lookup(c)
		}
		if ix.Verify(0) == nil {
			out := Merge([]Numbered{{ix, func(d uint32) (uint32, bool) { return d, true }}}, 0)
			again, err := Load(out)
			if err != nil || again.Verify(0) != nil || again.Keys() != ix.Keys() {
				t.Fatalf("what was merged is not whole: %v", err)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	for name, q := range map[string]string{"question": "pt stable on metformin and sertraline, kidney fxn just dropped to gfr 27 - stop it or halve the 500-1000 mg dose?",
		"ndc": "max dose of 0093-1048-01 in CKD?", "scan": "]d2010030093104801117261130" + "1010ABC\x1d2121XYZ"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Find(q)
			}
		})
	}
}

func benchmarkDocs(n int) *Builder {
	var b Builder
	for i, d := range random(rand.New(rand.NewPCG(7, 8)), n) {
		b.AddDocument(uint32(i), d)
	}
	return &b
}

func BenchmarkLookup(b *testing.B) {
	blobs := benchmarkDocs(100_000).Build(0)
	ix, err := Load(blobs)
	if err != nil {
		b.Fatal(err)
	}
	c := Find("10031-117-04")[0]
	b.ReportAllocs()
	for b.Loop() {
		ix.Lookup(c)
	}
	size := 0
	for _, x := range blobs {
		size += len(x)
	}
	b.ReportMetric(float64(size)/float64(ix.Keys()), "bytes/key")
}

func BenchmarkLoad(b *testing.B) {
	blobs := benchmarkDocs(100_000).Build(0)
	for b.Loop() {
		if _, err := Load(blobs); err != nil {
			b.Fatal(err)
		}
	}
}
