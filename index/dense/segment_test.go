package dense

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// clustered vectors: topics, and passages around them, with energy that falls
// from dimension to dimension, as those of a sentence encoder have.
func clustered(n, dim, topics int, seed uint64) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	energy := make([]float64, dim)
	for i := range energy {
		energy[i] = math.Pow(float64(i)+8, -.6)
	}
	gauss := func(v []float64, f float64) {
		for i := range v {
			v[i] += f * energy[i] * normal(r)
		}
	}
	mean := make([]float64, dim)
	gauss(mean, .5)
	centres := make([][]float64, topics)
	for i := range centres {
		centres[i] = slices.Clone(mean)
		gauss(centres[i], 1)
	}
	out := make([][]float32, n)
	for i := range out {
		v := slices.Clone(centres[r.IntN(topics)])
		gauss(v, .4+.4*r.Float64())
		out[i] = make([]float32, dim)
		for j, x := range v {
			out[i][j] = float32(x)
		}
		if err := Normalise(out[i]); err != nil {
			panic(err)
		}
	}
	return out
}

// normal is nearly so: set bits of 64, and a little between them.
func normal(r *rand.Rand) float64 {
	u := r.Uint64()
	return (float64(bits.OnesCount64(u))-32)/4 + float64(u&1023)/4096 - .125
}

func build(t testing.TB, vs [][]float32, o BuildOptions) *Segment {
	t.Helper()
	dim := 1
	if len(vs) > 0 {
		dim = len(vs[0])
	}
	s, err := Build(context.Background(), dim, len(vs), func(r int) []float32 { return vs[r] }, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bruteForce is the independent reference: every product in float64.
func bruteForce(vs [][]float32, q []float32, k int, ok func(row int) bool) []Hit {
	var all []Hit
	for r, v := range vs {
		if ok != nil && !ok(r) {
			continue
		}
		s := 0.0
		for i := range v {
			s += float64(v[i]) * float64(q[i])
		}
		all = append(all, Hit{uint32(r), s})
	}
	slices.SortStableFunc(all, func(a, b Hit) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return all[:min(k, len(all))]
}

// exact says whether got is want, where scores that differ only in the last
// bits of a float64 sum may stand in either order.
func exact(got, want []Hit) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if math.Abs(got[i].Score-want[i].Score) > 1e-12 {
			return false
		}
	}
	return true
}

func recallOf(got, want []Hit) float64 {
	in := map[uint32]bool{}
	for _, h := range want {
		in[h.Row] = true
	}
	n := 0
	for _, h := range got {
		if in[h.Row] {
			n++
		}
	}
	return float64(n) / float64(len(want))
}

// Small segments, and large ones where asked to, find exactly the best.
func TestSegmentIsExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dim, n int }{
		{1, 5}, {3, 400}, {64, 1}, {128, 700}, {300, 1023}, {384, 2000}, {512, 300}, {768, 1500}, {1024, 200}, {4200, 40},
	} {
		vs := clustered(c.n, c.dim, 20, 1)
		s := build(t, vs, BuildOptions{})
		at := func(r int) []float32 { return vs[r] }
		for i, q := range clustered(6, c.dim, 20, 2) {
			want := bruteForce(vs, q, 100, nil)
			for _, k := range []int{1, 10, 100} {
				got, err := s.Search(nil, q, k, SearchOptions{Vector: at, Exact: c.n >= codesFrom})
				if err != nil {
					t.Fatal(err)
				}
				if want := want[:min(k, len(want))]; !exact(got, want) {
					t.Fatalf("%d rows of %d, query %d, k %d:\n%v\nwant\n%v", c.n, c.dim, i, k, got, want)
				}
			}
		}
	}
}

func TestRecall(t *testing.T) {
	t.Parallel()
	for _, dim := range []int{100, 384} {
		vs := clustered(2000, dim, 40, 1)
		qs := clustered(30, dim, 40, 2)
		wants := make([][]Hit, len(qs))
		for i, q := range qs {
			wants[i] = bruteForce(vs, q, 10, nil)
		}
		for _, lists := range []int{1, 30} {
			s := build(t, vs, BuildOptions{Lists: lists, heldOut: 150})
			if s.Lists() != lists || s.Recall() < .99 {
				t.Fatalf("%d lists, recall %v", s.Lists(), s.Recall())
			}
			sum, coarse := 0.0, 0.0
			for i, q := range qs {
				want := wants[i]
				got, err := s.Search(nil, q, 10, SearchOptions{Vector: func(r int) []float32 { return vs[r] }})
				if err != nil {
					t.Fatal(err)
				}
				sum += recallOf(got, want)
				got, err = s.Search(nil, q, 10, SearchOptions{})
				if err != nil {
					t.Fatal(err)
				}
				coarse += recallOf(got, want)
				for _, h := range got {
					if d := math.Abs(h.Score - dot64(q, vs[h.Row])); d > .005 {
						t.Errorf("int8 is off by %v", d)
					}
				}
			}
			if r := sum / float64(len(qs)); r < .995 {
				t.Errorf("dimension %d, %d lists: recall %v", dim, lists, r)
			}
			if r := coarse / float64(len(qs)); r < .95 {
				t.Errorf("dimension %d: recall %v by int8 alone", dim, r)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	vs := clustered(4000, 64, 20, 1)
	s := build(t, vs, BuildOptions{})
	at := func(r int) []float32 { return vs[r] }
	q := clustered(1, 64, 20, 2)[0]
	want := bruteForce(vs, q, 20, nil)
	got, err := s.Search(nil, q, 20, SearchOptions{Vector: at, Threshold: (want[6].Score + want[7].Score) / 2})
	if err != nil || !slices.Equal(rowsOf(got), rowsOf(want[:7])) {
		t.Errorf("above a threshold: %v %v, want %v", got, err, want[:7])
	}
	got, err = s.Search([]Hit{{9, 9}}, q, 20, SearchOptions{Vector: at, Rescore: 5})
	if err != nil || len(got) != 6 || got[0].Row != 9 || got[1].Row != want[0].Row {
		t.Errorf("five rescored: %v %v", got, err)
	}
	for _, k := range []int{0, -1} {
		if got, err := s.Search(nil, q, k, SearchOptions{}); err != nil || len(got) != 0 {
			t.Errorf("k %d: %v %v", k, got, err)
		}
	}
	if got, err := s.Search(nil, q, 1e9, SearchOptions{Vector: at}); err != nil || len(got) != 4000 {
		t.Errorf("all: %d %v", len(got), err)
	}
	if got, err := s.Search(nil, make([]float32, 64), 3, SearchOptions{Vector: at}); err != nil || len(got) != 3 {
		t.Errorf("for a zero vector: %v %v", got, err)
	}
	for _, q := range [][]float32{nil, make([]float32, 63), {63: float32(math.NaN())}, {63: float32(math.Inf(1))}} {
		if got, err := s.Search(nil, q, 3, SearchOptions{}); err == nil {
			t.Errorf("a query of %d dimensions finds %v", len(q), got)
		}
	}
}

func rowsOf(hits []Hit) []uint32 {
	var r []uint32
	for _, h := range hits {
		r = append(r, h.Row)
	}
	return r
}

func TestEqualRows(t *testing.T) {
	t.Parallel()
	v := clustered(2, 64, 1, 1)
	vs := make([][]float32, 3000)
	for i := range vs {
		vs[i] = v[i%2]
	}
	for n, lists := range map[int]int{100: 0, 2999: 0, 3000: 7} {
		s := build(t, vs[:n], BuildOptions{Lists: lists})
		got, err := s.Search(nil, v[1], 4, SearchOptions{Vector: func(r int) []float32 { return vs[r] }})
		if err != nil || !slices.Equal(rowsOf(got), []uint32{1, 3, 5, 7}) {
			t.Errorf("%v %v", got, err)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	vs := random(3, 4)
	at := func(r int) []float32 { return vs[r] }
	for name, f := range map[string]func() (*Segment, error){
		"no dimension":      func() (*Segment, error) { return Build(ctx, 0, 3, at, BuildOptions{}) },
		"many dimensions":   func() (*Segment, error) { return Build(ctx, MaxDimension+1, 3, at, BuildOptions{}) },
		"fewer than none":   func() (*Segment, error) { return Build(ctx, 4, -1, at, BuildOptions{}) },
		"another dimension": func() (*Segment, error) { return Build(ctx, 5, 3, at, BuildOptions{}) },
		"no number": func() (*Segment, error) {
			return Build(ctx, 1, 1, func(int) []float32 { return []float32{float32(math.NaN())} }, BuildOptions{})
		},
		"cancelled": func() (*Segment, error) { cancel(); return Build(ctx, 4, 3, at, BuildOptions{}) },
	} {
		if name == "cancelled" {
			continue
		}
		if _, err := f(); err == nil {
			t.Errorf("%s: built", name)
		}
	}
	cancel()
	if _, err := Build(ctx, 4, 3, at, BuildOptions{}); err == nil {
		t.Error("built though cancelled")
	}
}

func blocksOf(t testing.TB, s *Segment) [][]byte {
	t.Helper()
	var blocks [][]byte
	if err := s.Encode(func(b []byte) error { blocks = append(blocks, bytes.Clone(b)); return nil }); err != nil {
		t.Fatal(err)
	}
	return blocks
}

// misaligned copies of blocks, as values in a mapped file may lie.
func misaligned(blocks [][]byte) [][]byte {
	out := make([][]byte, len(blocks))
	for i, b := range blocks {
		out[i] = append(make([]byte, 1+i%3, len(b)+8), b...)[1+i%3:]
	}
	return out
}

func TestEncodeAndLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dim, n, lists int }{{7, 0, 0}, {5, 1, 0}, {100, 500, 0}, {384, 2100, 0}, {1500, 1030, 0}, {300, 1100, 12}, {3, 50, 49}, {1, 40, 40}} {
		vs := clustered(c.n, c.dim, 10, 1)
		at := func(r int) []float32 { return vs[r] }
		s, err := Build(context.Background(), c.dim, c.n, at, BuildOptions{Seed: 3, Lists: c.lists, heldOut: 48})
		if err != nil {
			t.Fatal(err)
		}
		one, err := Build(context.Background(), c.dim, c.n, at, BuildOptions{Seed: 3, Workers: 1, Lists: c.lists, heldOut: 48})
		if err != nil {
			t.Fatal(err)
		}
		blocks := blocksOf(t, s)
		if !slices.EqualFunc(blocks, blocksOf(t, one), bytes.Equal) {
			t.Error("the blocks depend on the number of workers")
		}
		for i, b := range blocks {
			if len(b) > blockBytes+headerBytes {
				t.Errorf("block %d has %d bytes", i, len(b))
			}
		}
		l, err := Load(misaligned(blocks))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Verify(); err != nil {
			t.Error(err)
		}
		if l.Len() != c.n || l.Dimension() != c.dim || l.Lists() != s.Lists() || l.Bytes() != s.Bytes() || l.Recall() != s.Recall() {
			t.Errorf("%d rows of %d: not what was built", l.Len(), l.Dimension())
		}
		for _, q := range clustered(10, c.dim, 10, 2) {
			a, err := s.Search(nil, q, 10, SearchOptions{Vector: at})
			if err != nil {
				t.Fatal(err)
			}
			b, err := l.Search(nil, q, 10, SearchOptions{Vector: at})
			if err != nil || !slices.Equal(a, b) {
				t.Errorf("%v, %v after loading, %v", a, b, err)
			}
		}
	}
}

// A segment is the same bytes on every machine, by assembly or not. The sum was
// found on amd64 and on arm64, with and without assembly.
func TestSameEverywhere(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	vs := make([][]float32, 1500)
	for i := range vs {
		vs[i] = make([]float32, 150)
		for j := range vs[i] {
			vs[i][j] = float32(bits.OnesCount32(r.Uint32())-16) + float32(i%7*(j%5))
		}
		if err := Normalise(vs[i]); err != nil {
			t.Fatal(err)
		}
	}
	h := xxhash.New()
	s := build(t, vs, BuildOptions{Lists: 12})
	for _, b := range blocksOf(t, s) {
		_, _ = h.Write(b)
	}
	for _, q := range vs[:50] {
		hits, err := s.Search(nil, q, 10, SearchOptions{Vector: func(r int) []float32 { return vs[r] }})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintln(h, hits)
	}
	if got := h.Sum64(); got != 0xb3255bf41ec1c037 {
		t.Errorf("the sum of segment and hits is %#x", got)
	}
}

// What was damaged is named, at Load where it concerns the structure, at
// Verify where it is in the bulk.
func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	vs := clustered(3000, 384, 10, 1)
	blocks := blocksOf(t, build(t, vs, BuildOptions{Lists: 9, heldOut: 48}))
	for i := range blocks {
		for _, at := range []int{0, 9, 30, 50, 63, 64, len(blocks[i]) / 2, len(blocks[i]) - 1} {
			hurt := slices.Clone(blocks)
			hurt[i] = bytes.Clone(blocks[i])
			hurt[i][at] ^= 4
			s, err := Load(hurt)
			if err == nil {
				err = s.Verify()
			}
			if err == nil || !strings.Contains(err.Error(), "block "+string(rune('0'+i))) {
				t.Errorf("block %d, byte %d: %v", i, at, err)
			}
		}
		for name, hurt := range map[string][][]byte{
			"cut":     slices.Concat(blocks[:i], [][]byte{blocks[i][:len(blocks[i])-1]}, blocks[i+1:]),
			"empty":   slices.Concat(blocks[:i], [][]byte{nil}, blocks[i+1:]),
			"missing": slices.Concat(blocks[:i], blocks[i+1:]),
			"twice":   slices.Concat(blocks[:i+1], blocks[i:]),
		} {
			if _, err := Load(hurt); err == nil {
				t.Errorf("block %d %s: loaded", i, name)
			}
		}
	}
}

// Blocks whose checksums are right and whose structure is not are refused too.
func TestStructureIsChecked(t *testing.T) {
	t.Parallel()
	vs := clustered(1500, 16, 10, 1)
	blocks := blocksOf(t, build(t, vs, BuildOptions{Lists: 9}))
	kind := func(k int) int {
		return slices.IndexFunc(blocks, func(b []byte) bool { return int(b[6]) == k })
	}
	for name, c := range map[string]struct {
		block, at int
		value     []byte
	}{
		"more lists":               {0, headerBytes, []byte{10, 0, 0, 0}},
		"no lists":                 {0, headerBytes, []byte{0, 0, 0, 0}},
		"fewer units":              {0, headerBytes + 4, []byte{3}},
		"no row numbers":           {0, headerBytes + 12, []byte{0}},
		"a margin that is none":    {0, headerBytes + 24, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f}},
		"a list elsewhere":         {kind(kindLists), headerBytes + listBytes, []byte{1}},
		"a list with more rows":    {kind(kindLists), headerBytes + 4, []byte{255, 255, 255, 255}},
		"a row in two lists":       {kind(kindIDs), headerBytes, blocks[kind(kindIDs)][headerBytes+4:][:4]},
		"a row that is not there":  {kind(kindIDs), headerBytes, []byte{0xdc, 5, 0, 0}},
		"a list without a row":     {kind(kindIDs), headerBytes, []byte{255, 255, 255, 255}},
		"another number of rows":   {kind(kindRows), 20, []byte{9, 9}},
		"another dimension":        {kind(kindUnits), 16, []byte{17}},
		"codes where rows belong":  {kind(kindRows), 6, []byte{kindUnits}},
		"a seed of another":        {kind(kindUnits), 40, []byte{1}},
		"the wrong place":          {kind(kindUnits), 8, []byte{9}},
		"a format not known":       {kind(kindUnits), 4, []byte{9}},
		"rows of another position": {kind(kindRows), 24, []byte{1}},
	} {
		hurt := slices.Clone(blocks)
		b := bytes.Clone(blocks[c.block])
		copy(b[c.at:], c.value)
		if c.at != 4 {
			reseal(b)
		} else {
			binary.LittleEndian.PutUint64(b[56:], xxhash.Sum64(b[:56]))
		}
		hurt[c.block] = b
		s, err := Load(hurt)
		if err == nil && c.block == kind(kindIDs) { // bulk: Verify looks at it
			_, err1 := s.Search(nil, vs[0], 10, SearchOptions{})
			if err = s.Verify(); err1 != nil {
				t.Errorf("%s: %v", name, err1)
			}
		}
		if err == nil || !strings.Contains(err.Error(), "block ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every list comes once, best bound first, and none below the bar.
func TestListQueue(t *testing.T) {
	t.Parallel()
	vs := clustered(600, 32, 10, 1)
	for _, lists := range []int{2, 100, 8 * coarseSample} {
		s := build(t, vs, BuildOptions{Lists: lists, heldOut: 12})
		tab, x := newTable(s.layout.padded), make([]float32, s.layout.padded)
		s.rotation.turn(x, clustered(1, 32, 10, 3)[0])
		tab.set(x)
		var h listQueue
		for _, share := range []float64{0, .1, .5, 1} {
			h.fill(s, tab, float32(s.margin))
			bounds := make([]float32, lists)
			for l := range bounds {
				bounds[l] = h.est[l] + float32(float32(s.margin)*s.spreads[l])
			}
			sorted := slices.Clone(bounds)
			slices.Sort(sorted)
			slices.Reverse(sorted)
			bar := float32(math.Inf(-1))
			if n := int(share * float64(lists)); n < lists {
				bar, sorted = sorted[n], sorted[:n+1]
			}
			for i, want := range sorted {
				l, ok := h.next(bar)
				if !ok || bounds[l] != want {
					t.Fatalf("%d lists: at place %d comes list %d of %v, want %v", lists, i, l, bounds[l], want)
				}
			}
			if l, ok := h.next(bar); ok {
				t.Errorf("%d lists: list %d comes though it is below the bar", lists, l)
			}
		}
	}
}

func TestConcurrentSearch(t *testing.T) {
	t.Parallel()
	vs := clustered(2000, 64, 10, 1)
	s := build(t, vs, BuildOptions{})
	qs := clustered(8, 64, 10, 2)
	done := make(chan []Hit)
	for _, q := range qs {
		go func() {
			var got []Hit
			for range 20 {
				got, _ = s.Search(got[:0], q, 5, SearchOptions{Vector: func(r int) []float32 { return vs[r] }})
			}
			done <- got
		}()
	}
	found := map[uint32]bool{}
	for range qs {
		for _, h := range <-done {
			found[h.Row] = true
		}
	}
	for _, q := range qs {
		if w := bruteForce(vs, q, 1, nil)[0]; !found[w.Row] {
			t.Errorf("row %d is not found", w.Row)
		}
	}
}

// Blocks with a right checksum and anything inside: an error or a segment that
// can be searched, never a panic.
func FuzzSegment(f *testing.F) {
	for _, n := range []int{1, 40, 1100} {
		for i := range 4 {
			f.Add(n, i, 8, uint32(1))
			f.Add(n, i, headerBytes+i, uint32(0xffff))
		}
	}
	segments := map[int][][]byte{}
	vs := clustered(1100, 8, 5, 1)
	for _, n := range []int{1, 40, 1100} {
		segments[n] = blocksOf(f, build(f, vs[:n], BuildOptions{Lists: 1 + n/500}))
	}
	f.Fuzz(func(t *testing.T, n, block, at int, with uint32) {
		blocks := slices.Clone(segments[n])
		if len(blocks) == 0 || block < 0 || at < 0 {
			return
		}
		block %= len(blocks)
		b := bytes.Clone(blocks[block])
		at %= len(b)
		for i := range min(4, len(b)-at) {
			b[at+i] ^= byte(with >> (8 * i))
		}
		reseal(b)
		blocks[block] = b
		s, err := Load(blocks)
		if err != nil {
			return
		}
		q := make([]float32, s.Dimension())
		q[0] = 1
		for _, o := range []SearchOptions{{}, {Exact: true}, {Allow: Bitmap{7}}, {Probes: 1}} {
			if _, err := s.Search(nil, q, 5, o); err != nil {
				t.Error(err)
			}
		}
	})
}

// reseal makes the checksums of a changed block right.
func reseal(b []byte) {
	h := header{kind: int(le16(b[6:])), dim: int(le32(b[16:])), n: int(le32(b[20:])), number: int(le32(b[8:])), of: int(le32(b[12:])), first: int(le32(b[24:])), items: int(le32(b[28:])), seed: uint64(le32(b[40:])) | uint64(le32(b[44:]))<<32}
	seal(b, h)
}

func le16(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 }
func le32(b []byte) uint32 { return le16(b) | le16(b[2:])<<16 }
