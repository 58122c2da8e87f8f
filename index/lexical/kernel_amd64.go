package lexical

import "golang.org/x/sys/cpu"

var hasVector = cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasBMI2 && cpu.X86.HasPOPCNT

func findShort(docs *[2 * blockSize]byte, x uint32) int {
	if !hasVector || x > 1<<16-1 {
		return findShortGo(docs, x)
	}
	return findShortVector(docs, x)
}

func addShort(docs *[2 * blockSize]byte, impacts *[blockSize]byte, first, step uint32, of []candidate) {
	if !hasVector {
		addShortGo(docs, impacts, first, step, of)
		return
	}
	if len(of) > 0 {
		addShortVector(docs, impacts, first, step, &of[0], len(of))
	}
}

func addBitmap(words, impacts []byte, first, step uint32, of []candidate) {
	if !hasVector || len(words) > 8*mostWords64 {
		addBitmapGo(words, impacts, first, step, of)
		return
	}
	if n := len(of); n > 0 {
		_, _ = words[(of[n-1].doc-first)>>6*8+7], impacts[0]
		addBitmapVector(&words[0], &impacts[0], uint32(len(impacts)), first, step, &of[0], n)
	}
}

// mostWords64 of a bitmap that a builder writes: two bytes a posting.
const mostWords64 = 2 * blockSize / 8

func drain(sums *[window]uint32, lo, need uint32, out *[window]candidate) int {
	if !hasVector {
		return drainGo(sums, lo, need, out)
	}
	return drainVector(sums, lo, need, out)
}

func strong(impacts *[blockSize]byte, least uint8) [2]uint64 {
	if !hasVector {
		return strongGo(impacts, least)
	}
	low, high := strongVector(impacts, least)
	return [2]uint64{low, high}
}

// In assembly; what they do stands at the functions that end in Go instead.

//go:noescape
func findShortVector(docs *[2 * blockSize]byte, x uint32) int

//go:noescape
func addShortVector(docs *[2 * blockSize]byte, impacts *[blockSize]byte, first, step uint32, of *candidate, n int)

//go:noescape
func drainVector(sums *[window]uint32, lo, need uint32, out *[window]candidate) int

//go:noescape
func strongVector(impacts *[blockSize]byte, least uint8) (low, high uint64)

//go:noescape
func addBitmapVector(words, impacts *byte, n, first, step uint32, of *candidate, many int)
