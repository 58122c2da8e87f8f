package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// version of the data that the sources below make: files of another are not
// used.
const version = 1

// depth is how many of the nearest rows the truth holds for each query.
const depth = 10

// set is vectors to search, queries, and the rows nearest to each, all mapped
// from files in the cache folder.
type set struct {
	name    string
	dim     int
	base    []float32
	queries []float32
	truth   []int32 // depth to a query
	paths   struct{ base, queries string }
	maps    [][]byte
}

func (s *set) close() {
	for _, b := range s.maps {
		_ = unix.Munmap(b)
	}
}

func (s *set) rows() int              { return len(s.base) / s.dim }
func (s *set) vector(r int) []float32 { return s.base[r*s.dim : (r+1)*s.dim : (r+1)*s.dim] }
func (s *set) query(i int) []float32  { return s.queries[i*s.dim : (i+1)*s.dim : (i+1)*s.dim] }
func (s *set) count() int             { return len(s.queries) / s.dim }
func (s *set) nearest(i int) []int32  { return s.truth[i*depth : (i+1)*depth] }
func le(b []byte) []float32           { return view[float32](b) }
func view[T int32 | float32](b []byte) []T { // pages are aligned
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/4)
}

// source gives vectors: fill writes row r, the same whenever it is asked.
type source struct {
	name          string
	dim, n, nq    int
	fill, fillAsk func(r int, dst []float32, random *rand.Rand)
}

// open maps the set of a source, making what the cache folder lacks.
func open(dir string, src source) (*set, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &set{name: src.name, dim: src.dim}
	stem := filepath.Join(dir, fmt.Sprintf("%s-v%d-%d-%d", src.name, version, src.n, src.nq))
	s.paths.base, s.paths.queries = stem+".base.f32", stem+".queries.f32"
	base, err := vectors(s.paths.base, src.dim, src.n, 1, src.fill)
	if err != nil {
		return nil, err
	}
	queries, err := vectors(s.paths.queries, src.dim, src.nq, 2, src.fillAsk)
	if err != nil {
		return nil, err
	}
	s.base, s.queries = le(base), le(queries)
	truth, err := mapped(stem+".truth.i32", int64(src.nq)*depth*4, func(b []byte) error {
		s.bruteForce(view[int32](b))
		return nil
	})
	s.truth, s.maps = view[int32](truth), [][]byte{base, queries, truth}
	return s, err
}

// vectors maps a file of n vectors of unit length, filled chunk by chunk: what
// is in it depends on the seed alone.
func vectors(path string, dim, n int, seed uint64, fill func(r int, dst []float32, random *rand.Rand)) ([]byte, error) {
	return mapped(path, int64(n)*int64(dim)*4, func(b []byte) error {
		x := le(b)
		const chunk = 1024
		parallel((n+chunk-1)/chunk, func(c int) {
			random := rand.New(rand.NewPCG(seed, uint64(c)))
			for r := c * chunk; r < min(n, (c+1)*chunk); r++ {
				v := x[r*dim : (r+1)*dim]
				fill(r, v, random)
				sum := 0.0
				for _, f := range v {
					sum += float64(f) * float64(f)
				}
				f := float32(1 / math.Sqrt(sum))
				for i := range v {
					v[i] *= f
				}
			}
		})
		return nil
	})
}

// mapped maps a file of that size, made by fill where it is missing.
func mapped(path string, size int64, fill func(b []byte) error) ([]byte, error) {
	if st, err := os.Stat(path); err != nil || st.Size() != size {
		tmp := path + ".tmp"
		f, err := os.Create(tmp)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
		b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(fill(b), unix.Munmap(b), os.Rename(tmp, path)); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
}

func parallel(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// bruteForce compares every query with every row, in plain Go and float64
// sums: it shares no code with what is measured.
func (s *set) bruteForce(truth []int32) {
	type scored struct {
		score float64
		row   int32
	}
	parallel(s.count(), func(i int) {
		q := s.query(i)
		best := make([]scored, 0, 4*depth)
		least := math.Inf(-1)
		cut := func() {
			slices.SortFunc(best, func(a, b scored) int {
				switch {
				case a.score > b.score:
					return -1
				case a.score < b.score:
					return 1
				}
				return int(a.row - b.row)
			})
			if len(best) >= depth {
				best = best[:depth]
				least = best[depth-1].score
			}
		}
		for r := range s.rows() {
			v := s.vector(r)
			var a, b, c, d float64
			for j := 0; j+4 <= len(v); j += 4 {
				a += float64(q[j]) * float64(v[j])
				b += float64(q[j+1]) * float64(v[j+1])
				c += float64(q[j+2]) * float64(v[j+2])
				d += float64(q[j+3]) * float64(v[j+3])
			}
			for j := len(v) &^ 3; j < len(v); j++ {
				a += float64(q[j]) * float64(v[j])
			}
			if score := (a + b) + (c + d); score > least {
				if best = append(best, scored{score, int32(r)}); len(best) == cap(best) {
					cut()
				}
			}
		}
		cut()
		for j, b := range best {
			truth[i*depth+j] = b.row
		}
	})
}

// synthetic vectors: topics, finer clusters in them of very different sizes,
// and passages around those; energy falls from dimension to dimension, as in a
// sentence encoder's vectors, and three reflections mix the dimensions. Queries
// lie farther out than passages.
func synthetic(n, nq int) source {
	const dim = 384
	r := rand.New(rand.NewPCG(7, 7))
	energy := make([]float32, dim)
	sum := 0.0
	for i := range energy {
		e := math.Pow(float64(i)+8, -.6)
		energy[i] = float32(e)
		sum += e * e
	}
	for i := range energy {
		energy[i] /= float32(math.Sqrt(sum))
	}
	gauss := func(r *rand.Rand) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64()) * energy[i]
		}
		return v
	}
	var mirrors [3][]float32
	for m := range mirrors {
		v := make([]float32, dim)
		sum := 0.0
		for i := range v {
			v[i] = float32(r.NormFloat64())
			sum += float64(v[i]) * float64(v[i])
		}
		for i := range v {
			v[i] *= float32(math.Sqrt(2 / sum))
		}
		mirrors[m] = v
	}
	mean := gauss(r)
	topics := make([][]float32, 150)
	for i := range topics {
		topics[i] = gauss(r)
	}
	clusters := make([][]float32, max(500, n/40))
	parent := make([]int, len(clusters))
	cumulated := make([]float64, len(clusters))
	total := 0.0
	for i := range clusters {
		clusters[i] = gauss(r)
		parent[i] = r.IntN(len(topics))
		total += 1 / (float64(i) + 20)
		cumulated[i] = total
	}
	fill := func(extra float32) func(int, []float32, *rand.Rand) {
		return func(_ int, dst []float32, r *rand.Rand) {
			c := r.IntN(len(clusters))
			if r.IntN(2) == 0 {
				c, _ = slices.BinarySearch(cumulated, r.Float64()*total)
			}
			around := float32(.55 + .45*r.Float64())
			around = float32(math.Hypot(float64(around), float64(extra)))
			for i := range dst {
				dst[i] = .35*mean[i] + .6*topics[parent[c]][i] + .75*clusters[c][i] + around*energy[i]*float32(r.NormFloat64())
			}
			for _, m := range mirrors {
				p := float32(0)
				for i, x := range dst {
					p += x * m[i]
				}
				for i := range dst {
					dst[i] -= p * m[i]
				}
			}
		}
	}
	return source{"synthetic", dim, n, nq, fill(0), fill(.25)}
}

// widened takes real vectors, keeps a tenth of them as queries, and makes n of
// the others by adding noise that has the real ones' own covariance: a random
// mixture of them, as long as half the vector.
func widened(path string, n int) (source, error) {
	real, dim, err := readNPY(path)
	if err != nil {
		return source{}, err
	}
	m := len(real) / dim
	nq := m / 10
	r := rand.New(rand.NewPCG(11, 11))
	order := r.Perm(m)
	at := func(i int) []float32 { return real[order[i]*dim : (order[i]+1)*dim] }
	mean := make([]float32, dim)
	for i := range m {
		for j, x := range at(i) {
			mean[j] += x / float32(m)
		}
	}
	return source{"minilm", dim, n, nq, func(row int, dst []float32, r *rand.Rand) {
		copy(dst, at(nq+row%(m-nq)))
		if row < m-nq {
			return // the real ones themselves
		}
		const parts = 24
		for range parts {
			w := float32(r.NormFloat64() * .5 / math.Sqrt(parts))
			for j, x := range at(nq + r.IntN(m-nq)) {
				dst[j] += w * (x - mean[j])
			}
		}
	}, func(row int, dst []float32, _ *rand.Rand) { copy(dst, at(row)) }}, nil
}

// readNPY reads a float32 matrix in NumPy's format 1.
func readNPY(path string) (x []float32, columns int, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	bad := fmt.Errorf("%s: not a float32 matrix in NumPy's format 1", path)
	if len(b) < 10 || string(b[:7]) != "\x93NUMPY\x01" {
		return nil, 0, bad
	}
	n := int(binary.LittleEndian.Uint16(b[8:]))
	if len(b) < 10+n {
		return nil, 0, bad
	}
	var rows int
	head := string(b[10 : 10+n])
	i := max(0, strings.Index(head, "'shape': ("))
	if _, err := fmt.Sscanf(head[i:], "'shape': (%d, %d)", &rows, &columns); err != nil || len(b) != 10+n+4*rows*columns {
		return nil, 0, bad
	}
	x = make([]float32, rows*columns)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[10+n+4*i:]))
	}
	return x, columns, nil
}
