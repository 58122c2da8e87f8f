package semantic

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"unsafe"

	"rxedge/inference/wordpiece"
)

// A model file is, all numbers little-endian:
//
//	magic       8 bytes
//	header      uint32 length, JSON
//	vocabulary  uint32 length, pieces by id, one a line; [UNK] [CLS] [SEP] first
//	sayings     uint32 length, as ParseSayings reads them
//	scales      float32 by piece
//	rows        int8, pieces × dimension
//	checksum    SHA-256 of all before
const magic = "rxsemnt2"

type header struct {
	Name      string `json:"name"`
	Dimension int    `json:"dimension"`
	Pieces    int    `json:"pieces"`
	Licence   string `json:"licence"`
	Data      string `json:"data"` // that it was trained on
}

// MaxFile is the most bytes of a model file that Open reads; the built-in one has 7 MB.
const MaxFile = 64 << 20

// Sum of the model in a file, which is the SHA-256 in its Info; "": it is no model file.
// Nothing else of the file is looked at.
func Sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, sum := make([]byte, len(magic)), make([]byte, sha256.Size)
	if _, err := io.ReadFull(f, head); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "", nil
	} else if err != nil || string(head) != magic {
		return "", err
	}
	if _, err := f.Seek(-sha256.Size, io.SeekEnd); err != nil {
		return "", fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	if _, err := io.ReadFull(f, sum); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum), nil
}

// Open a model file. The error is ErrDamaged where it is none that can be used.
func Open(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%w: it has more than %d MB", ErrDamaged, MaxFile>>20)
	}
	return Read(b)
}

// ErrDamaged: a model file or a state is not what was written.
var ErrDamaged = errors.New("the embedder's data is damaged")

//go:embed builtin.bin
var builtin string

// Builtin is the model that every rxedge carries.
var Builtin = sync.OnceValues(func() (*Model, error) {
	m, err := Read(unsafe.Slice(unsafe.StringData(builtin), len(builtin)))
	if err != nil {
		return nil, fmt.Errorf("the built-in embedder: %w; build rxedge anew", err)
	}
	return m, nil
})

// Read a model file. The model keeps file, which must not change.
func Read(file []byte) (*Model, error) {
	m := &Model{}
	body, err := checked(file, magic)
	if err != nil {
		return nil, err
	}
	p := parts{body}
	head, words, sayings := p.next(), p.next(), p.next()
	if err := json.Unmarshal(head, &m.header); err != nil {
		return nil, fmt.Errorf("%w: its header does not parse: %w", ErrDamaged, err)
	}
	n, dim := m.header.Pieces, m.header.Dimension
	vocabulary := strings.Split(string(words), "\n")
	if !validName(m.header.Name) {
		return nil, fmt.Errorf("%w: it has no name of at most 100 letters, digits, '.', '_' and '-'", ErrDamaged)
	}
	if n < 1 || dim < 1 || n > 1<<20 || dim > 1<<12 || n != len(vocabulary) || len(p.rest) != 4*n+n*dim {
		return nil, fmt.Errorf("%w: it says %d pieces of dimension %d, has %d, and %d bytes of them", ErrDamaged, n, dim, len(vocabulary), len(p.rest))
	}
	m.vocabulary, m.table = vocabulary, string(sayings)
	if m.pieces, err = wordpiece.New(vocabulary, wordpiece.Options{Special: []string{}}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.sayings, err = ParseSayings(string(sayings)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.scale, err = scales(p.rest, n); err != nil {
		return nil, err
	}
	m.rows = signed(p.rest[4*n:])
	m.sha256 = hex.EncodeToString(file[len(file)-sha256.Size:])
	return m, nil
}

func validName(s string) bool {
	return s != "" && len(s) <= 100 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
}

// Write makes a model file of float32 rows, pieces × dimension: each row is
// rounded to int8 by its largest number. Sayings are as ParseSayings reads them.
func Write(name, licence, data string, dimension int, vocabulary []string, sayings string, rows []float32) ([]byte, error) {
	if len(rows) != len(vocabulary)*dimension {
		return nil, fmt.Errorf("%d numbers are no %d rows of %d", len(rows), len(vocabulary), dimension)
	}
	if _, err := ParseSayings(sayings); err != nil {
		return nil, err
	}
	head, err := json.Marshal(header{name, dimension, len(vocabulary), licence, data})
	if err != nil {
		return nil, err
	}
	out := []byte(magic)
	for _, p := range []string{string(head), strings.Join(vocabulary, "\n"), sayings} {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	scales, quantised := quantise(rows, dimension)
	for _, s := range scales {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(s))
	}
	for _, q := range quantised {
		out = append(out, byte(q))
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

// quantise rows to int8, each by its largest number.
func quantise(rows []float32, dimension int) (scales []float32, out []int8) {
	scales, out = make([]float32, len(rows)/dimension), make([]int8, len(rows))
	for r := range scales {
		row := rows[r*dimension:][:dimension]
		most := float32(0)
		for _, x := range row {
			most = max(most, x, -x)
		}
		if most == 0 {
			continue
		}
		scales[r] = most / 127
		for d, x := range row {
			out[r*dimension+d] = int8(math.RoundToEven(float64(x) / float64(most) * 127))
		}
	}
	return scales, out
}
