package generation

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
)

// VectorLog keeps the vectors that are made for a generation to come, by a hash
// of the text, so that a kill costs the last of them alone. Not safe for
// concurrent use.
//
//	the embedder, JSON | \n | for each: hash 16 | float32s | xxHash64 of both
type VectorLog struct {
	f       *os.File
	dim     int
	first   int64 // where the vectors begin
	rows    map[TextHash]int64
	unsaved int
}

// TextHash is of the text that a vector was made from.
type TextHash [16]byte

// HashText is the beginning of the text's SHA-256.
func HashText(text string) (h TextHash) {
	sum := sha256.Sum256([]byte(text))
	copy(h[:], sum[:])
	return h
}

// vectorLogName is its file in the store's folder.
const vectorLogName = "reembed.vectors"

// syncEvery so many vectors the log is synced.
const syncEvery = 512

// OpenVectorLog opens the log of an embedder's vectors, or begins one; that of
// another embedder is thrown away. What a kill left half written at the end is
// cut off.
func (s *Store) OpenVectorLog(e EmbedderInfo) (*VectorLog, error) {
	path := filepath.Join(s.dir, vectorLogName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	l := &VectorLog{f: f, dim: e.Dimension, rows: map[TextHash]int64{}}
	if err := l.read(e); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func (l *VectorLog) size() int { return len(TextHash{}) + 4*l.dim + 8 }

func (l *VectorLog) read(e EmbedderInfo) error {
	head, err := json.Marshal(e)
	if err != nil {
		return err
	}
	head = append(head, '\n')
	in := bufio.NewReaderSize(l.f, 1<<20)
	have := make([]byte, len(head))
	if _, err := io.ReadFull(in, have); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	l.first = int64(len(head))
	if string(have) != string(head) {
		if err := l.f.Truncate(0); err != nil {
			return err
		}
		_, err := l.f.WriteAt(head, 0)
		return err
	}
	row := make([]byte, l.size())
	for n := int64(0); ; n++ {
		_, err := io.ReadFull(in, row)
		body := row[:len(row)-8]
		if err == nil && xxhash.Sum64(body) == binary.LittleEndian.Uint64(row[len(body):]) {
			l.rows[TextHash(row)] = n
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		return l.f.Truncate(l.first + n*int64(len(row)))
	}
}

// Len is the number of vectors.
func (l *VectorLog) Len() int { return len(l.rows) }

// Has says whether the vector of a text is there.
func (l *VectorLog) Has(h TextHash) bool { _, ok := l.rows[h]; return ok }

// Vector of a text; nil where it is not there.
func (l *VectorLog) Vector(h TextHash) ([]float32, error) {
	n, ok := l.rows[h]
	if !ok {
		return nil, nil
	}
	b := make([]byte, 4*l.dim)
	if _, err := l.f.ReadAt(b, l.first+n*int64(l.size())+int64(len(h))); err != nil {
		return nil, err
	}
	v := make([]float32, l.dim)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, nil
}

// Add the vector of a text.
func (l *VectorLog) Add(h TextHash, v []float32) error {
	if len(v) != l.dim {
		return fmt.Errorf("a vector of %d dimensions among those of %d", len(v), l.dim)
	}
	if l.Has(h) {
		return nil
	}
	b := append(make([]byte, 0, l.size()), h[:]...)
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	b = binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
	n := int64(len(l.rows))
	if _, err := l.f.WriteAt(b, l.first+n*int64(len(b))); err != nil {
		return err
	}
	l.rows[h] = n
	if l.unsaved++; l.unsaved >= syncEvery {
		l.unsaved = 0
		return l.f.Sync()
	}
	return nil
}

// Close keeps the log for another time.
func (l *VectorLog) Close() error { return errors.Join(l.f.Sync(), l.f.Close()) }

// Remove it: its vectors are in a generation.
func (l *VectorLog) Remove() error { return errors.Join(l.f.Close(), os.Remove(l.f.Name())) }
