package support

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
)

// Model is what is trained: weights of words and four forests.
type Model struct {
	Words      Words
	Support    Forest // claim beside window: supported?
	Contradict Forest // and contradicted?
	Answers    Forest // question beside passage: answered?
	Passages   Forest // claim beside a passage of many sentences: supported?
}

//go:embed model.bin
var embedded []byte

// builtin reads the embedded model once. It is written by 'make support-model'
// and tested whole, so an error is a broken build.
var builtin = sync.OnceValue(func() *Model {
	m, err := decode(embedded)
	if err != nil {
		panic(fmt.Sprintf("the embedded support model: %v", err))
	}
	return m
})

const magic = "rxsup2\n"

// forests in the order of the file.
func (m *Model) forests() []*Forest {
	return []*Forest{&m.Support, &m.Contradict, &m.Answers, &m.Passages}
}

// Encode writes a model: magic; the words as count, weight of others, hashes,
// weights; each forest as base, roots, nodes, curve. Little-endian.
func (m *Model) Encode() []byte {
	var b bytes.Buffer
	put := func(vs ...any) {
		for _, v := range vs {
			_ = binary.Write(&b, binary.LittleEndian, v) // to memory: never fails
		}
	}
	b.WriteString(magic)
	put(uint32(len(m.Words.Hashes)), m.Words.Other, m.Words.Hashes, m.Words.Values)
	for _, f := range m.forests() {
		put(f.Base, uint32(len(f.Roots)), uint32(len(f.Nodes)), uint32(len(f.Curve)), f.Roots)
		for _, n := range f.Nodes {
			put(n.Feature, n.Left, n.Value)
		}
		for _, p := range f.Curve {
			put(p.X, p.Y)
		}
	}
	return b.Bytes()
}

var errDamaged = errors.New("the file is damaged")

// decode reads what Encode wrote, and checks that no tree leads out of it.
func decode(data []byte) (*Model, error) {
	r := bytes.NewReader(data)
	var err error
	get := func(v any) {
		if err == nil {
			err = binary.Read(r, binary.LittleEndian, v)
		}
	}
	count := func(size int) int {
		var n uint32
		get(&n)
		if err == nil && int64(n)*int64(size) > int64(r.Len()) {
			err = errDamaged
		}
		if err != nil {
			return 0
		}
		return int(n)
	}
	head := make([]byte, len(magic))
	if _, e := io.ReadFull(r, head); e != nil || string(head) != magic {
		return nil, errors.New("not a support model")
	}
	m := &Model{}
	words := count(5)
	get(&m.Words.Other)
	m.Words.Hashes, m.Words.Values = make([]uint32, words), make([]byte, words)
	get(m.Words.Hashes)
	get(m.Words.Values)
	for i, f := range m.forests() {
		get(&f.Base)
		roots, nodes, curve := count(4), count(10), count(8)
		f.Roots, f.Nodes, f.Curve = make([]int32, roots), make([]Node, nodes), make([]Point, curve)
		get(f.Roots)
		for i := range f.Nodes {
			get(&f.Nodes[i].Feature)
			get(&f.Nodes[i].Left)
			get(&f.Nodes[i].Value)
		}
		for i := range f.Curve {
			get(&f.Curve[i].X)
			get(&f.Curve[i].Y)
		}
		if err == nil {
			err = f.check([]int{claimFeatures, claimFeatures, questionFeatures, passageFeatures}[i])
		}
	}
	if err == nil && r.Len() > 0 {
		err = errDamaged
	}
	return m, err
}

// check makes sure that every walk ends: children lie behind their parent.
func (f *Forest) check(features int) error {
	for _, r := range f.Roots {
		if r < 0 || int(r) >= len(f.Nodes) {
			return errDamaged
		}
	}
	for i, n := range f.Nodes {
		if n.Feature >= 0 && (int(n.Feature) >= features || int(n.Left) <= i || int(n.Left)+1 >= len(f.Nodes)) || math.IsNaN(float64(n.Value)) {
			return errDamaged
		}
	}
	for i := range f.Curve {
		if i > 0 && !(f.Curve[i].X > f.Curve[i-1].X && f.Curve[i].Y >= f.Curve[i-1].Y) {
			return errDamaged
		}
	}
	return nil
}
