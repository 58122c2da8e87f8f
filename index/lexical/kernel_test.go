package lexical

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// What runs here gives what plain Go gives.
func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for range 400 {
		// A block: passages from first on, in 16 bits and as a bitmap.
		span := blockSize + r.IntN(1<<(8+r.IntN(9))-blockSize)
		if r.IntN(3) == 0 {
			span = blockSize + r.IntN(64*mostWords64-blockSize)
		}
		of := []uint32{0}
		for len(of) < blockSize { // ascending, the first and the last are there
			of = append(of, uint32(r.IntN(span)))
			slices.Sort(of)
			of = slices.Compact(of)
		}
		var docs [2 * blockSize]byte
		var impacts [blockSize]byte
		words := make([]byte, 8*(of[blockSize-1]/64+1))
		for i, d := range of {
			binary.LittleEndian.PutUint16(docs[2*i:], uint16(d))
			words[d/8] |= 1 << (d % 8)
			impacts[i] = uint8(r.Uint32())
		}
		first, step := r.Uint32N(1<<30), r.Uint32N(1<<20)
		some := slices.Clone(of[:r.IntN(blockSize)])
		for range r.IntN(100) + 1 {
			some = append(some, r.Uint32N(of[blockSize-1]+1))
		}
		slices.Sort(some)
		var found []candidate
		for _, d := range slices.Compact(some) {
			found = append(found, candidate{first + d, r.Uint32N(1 << 30)})
		}
		for _, c := range found {
			if got, want := findShort(&docs, c.doc-first), slices.Index(of, c.doc-first); got != want || findShortGo(&docs, c.doc-first) != want {
				t.Fatalf("%d is at %d, in Go at %d, and should be at %d", c.doc-first, got, findShortGo(&docs, c.doc-first), want)
			}
		}
		want, got := slices.Clone(found), slices.Clone(found)
		for i := range want {
			if j := slices.Index(of, want[i].doc-first); j >= 0 {
				want[i].sum += uint32(impacts[j]) * step
			}
		}
		if addShort(&docs, &impacts, first, step, got); !slices.Equal(got, want) {
			t.Fatal("addShort")
		}
		copy(got, found)
		if addShortGo(&docs, &impacts, first, step, got); !slices.Equal(got, want) {
			t.Fatal("addShort in Go")
		}
		few := impacts[:]
		if r.IntN(4) == 0 { // damaged: more bits than postings
			few = few[:r.IntN(blockSize)+1]
			for i := range want {
				if j := slices.Index(of, want[i].doc-first); j >= len(few) {
					want[i].sum = found[i].sum
				}
			}
		}
		copy(got, found)
		if addBitmap(words, few, first, step, got); !slices.Equal(got, want) {
			t.Fatal("addBitmap")
		}
		copy(got, found)
		if addBitmapGo(words, few, first, step, got); !slices.Equal(got, want) {
			t.Fatal("addBitmap in Go")
		}

		least := uint8(r.Uint32())
		var those [2]uint64
		for i, m := range impacts {
			if m >= least {
				those[i/64] |= 1 << (i % 64)
			}
		}
		if strong(&impacts, least) != those || strongGo(&impacts, least) != those {
			t.Fatal("strong")
		}
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	sc := new(scratch)
	var want []candidate
	for range 60 {
		lo, need := r.Uint32(), 1+r.Uint32N(1<<r.IntN(32))
		for name, drain := range map[string]func(*[window]uint32, uint32, uint32, *[window]candidate) int{"here": drain, "in Go": drainGo} {
			want = want[:0]
			share := r.IntN(100)
			for i := range sc.sums {
				if r.IntN(100) < share {
					if sc.sums[i] = r.Uint32(); sc.sums[i] >= need {
						want = append(want, candidate{lo + uint32(i), sc.sums[i]})
					}
				}
			}
			if n := drain(&sc.sums, lo, need, &sc.candidates); !slices.Equal(sc.candidates[:n], want) {
				t.Fatalf("%s %d passages reach %d, want %d", name, n, need, len(want))
			}
			if sc.sums != [window]uint32{} {
				t.Fatalf("%s sums are left", name)
			}
		}
	}
}
