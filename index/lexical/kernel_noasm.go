//go:build !amd64

package lexical

func findShort(docs *[2 * blockSize]byte, x uint32) int { return findShortGo(docs, x) }

func addShort(docs *[2 * blockSize]byte, impacts *[blockSize]byte, first, step uint32, of []candidate) {
	addShortGo(docs, impacts, first, step, of)
}

func addBitmap(words, impacts []byte, first, step uint32, of []candidate) {
	addBitmapGo(words, impacts, first, step, of)
}

func drain(sums *[window]uint32, lo, need uint32, out *[window]candidate) int {
	return drainGo(sums, lo, need, out)
}

func strong(impacts *[blockSize]byte, least uint8) [2]uint64 { return strongGo(impacts, least) }
