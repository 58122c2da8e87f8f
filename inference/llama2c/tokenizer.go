package llama2c

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Tokenizer is a llama2.c tokenizer file: SentencePiece's pieces with a space
// where SentencePiece has "▁", and their scores, by id.
type Tokenizer struct {
	Pieces []string
	Scores []float32
}

const (
	maxPieceBytes = 1 << 12
	// The ids that llama2.c takes for granted.
	unknownID   = 0
	beginID     = 1 // also what ends a text: run.c stops at it
	endID       = 2
	firstByteID = 3
)

// OpenTokenizer reads a tokenizer file for a vocabulary of n pieces.
func OpenTokenizer(path string, n int) (*Tokenizer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := ReadTokenizer(f, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// ReadTokenizer reads a tokenizer file for a vocabulary of n pieces, which must
// hold exactly so many, with the 256 byte pieces at ids 3 to 258.
func ReadTokenizer(r io.Reader, n int) (*Tokenizer, error) {
	if n < firstByteID+256 || n > maxVocabulary {
		return nil, fmt.Errorf("a llama2.c tokenizer has between %d and %d pieces, the model has %d", firstByteID+256, maxVocabulary, n)
	}
	br := bufio.NewReader(r)
	var pos int64
	var buf [8]byte
	read := func(b []byte) error {
		m, err := io.ReadFull(br, b)
		pos += int64(m)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the llama2.c tokenizer ends at byte %d; it is cut off or belongs to a smaller vocabulary than the model's %d", pos, n)
		}
		return err
	}
	if err := read(buf[:4]); err != nil {
		return nil, err
	}
	longest := binary.LittleEndian.Uint32(buf[:4])
	if longest == 0 || longest > maxPieceBytes {
		return nil, fmt.Errorf("not a llama2.c tokenizer: its longest piece would have %d bytes", longest)
	}
	t := &Tokenizer{}
	for id := range n {
		if err := read(buf[:8]); err != nil {
			return nil, err
		}
		score := math.Float32frombits(binary.LittleEndian.Uint32(buf[:4]))
		size := binary.LittleEndian.Uint32(buf[4:8])
		if size == 0 || size > longest || math.IsNaN(float64(score)) {
			return nil, fmt.Errorf("not a llama2.c tokenizer: at byte %d, piece %d has %d bytes (at most %d) and the score %v", pos-8, id, size, longest, score)
		}
		piece := make([]byte, size)
		if err := read(piece); err != nil {
			return nil, err
		}
		t.Pieces = append(t.Pieces, string(piece))
		t.Scores = append(t.Scores, score)
	}
	if _, err := br.ReadByte(); err == nil {
		return nil, fmt.Errorf("the llama2.c tokenizer goes on after its %d pieces, at byte %d; it belongs to a larger vocabulary", n, pos)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	for b := range 256 {
		if want := bytePiece(byte(b)); t.Pieces[firstByteID+b] != want {
			return nil, fmt.Errorf("not a llama2.c tokenizer: piece %d is %q and should be %q", firstByteID+b, t.Pieces[firstByteID+b], want)
		}
	}
	return t, nil
}

func bytePiece(b byte) string { return fmt.Sprintf("<0x%02X>", b) }
