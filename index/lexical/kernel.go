package lexical

import (
	"encoding/binary"
	"math/bits"
)

// What a search does most, in plain Go: kernel_amd64.s does the same with AVX2.

// findShortGo gives the place of x among the ascending 16-bit numbers of a full
// block; -1 where it is not there.
func findShortGo(docs *[2 * blockSize]byte, x uint32) int {
	at := 0
	for step := blockSize / 2; step > 0; step >>= 1 {
		i := (at + step) & (blockSize - 1)
		if uint32(binary.LittleEndian.Uint16(docs[2*i:2*i+2])) <= x {
			at = i
		}
	}
	if uint32(binary.LittleEndian.Uint16(docs[2*at:2*at+2])) != x {
		return -1
	}
	return at
}

// addShortGo adds what a full block has for candidates, all of them between its
// first passage and its last.
func addShortGo(docs *[2 * blockSize]byte, impacts *[blockSize]byte, first, step uint32, of []candidate) {
	for i := range of {
		if j := findShortGo(docs, of[i].doc-first); j >= 0 {
			of[i].sum += uint32(impacts[j]) * step
		}
	}
}

// addBitmapGo is addShortGo for a bitmap; candidates ascend.
func addBitmapGo(words, impacts []byte, first, step uint32, of []candidate) {
	word, before := 0, 0 // ones before the word
	for i := range of {
		x := of[i].doc - first
		for ; word < int(x>>6); word++ {
			before += bits.OnesCount64(binary.LittleEndian.Uint64(words[8*word:]))
		}
		v, bit := binary.LittleEndian.Uint64(words[8*word:]), uint64(1)<<(x&63)
		if v&bit == 0 {
			continue
		}
		if j := before + bits.OnesCount64(v&(bit-1)); j < len(impacts) {
			of[i].sum += uint32(impacts[j]) * step
		}
	}
}

// drainGo gives the passages, the first being lo, whose sums reach need, which is
// above 0, and clears all sums.
func drainGo(sums *[window]uint32, lo, need uint32, out *[window]candidate) int {
	found := 0
	for i := range sums {
		if sum := sums[i]; sum != 0 {
			sums[i] = 0
			if sum >= need {
				out[found] = candidate{lo + uint32(i), sum}
				found++
			}
		}
	}
	return found
}

// strongGo gives the postings of a full block whose impact is at least that, a
// bit each.
func strongGo(impacts *[blockSize]byte, least uint8) (strong [2]uint64) {
	for i, m := range impacts {
		if m >= least {
			strong[i>>6] |= 1 << (i & 63)
		}
	}
	return strong
}
