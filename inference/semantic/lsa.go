package semantic

import (
	"math"
	"math/rand/v2"
	"sync"
)

// Sparse is a matrix of texts × words: text i has the words Words[From[i]:From[i+1]]
// with the weights beside them.
type Sparse struct {
	From    []int
	Words   []int32
	Weights []float32
	Columns int
}

// Rows is the number of texts.
func (s *Sparse) Rows() int { return len(s.From) - 1 }

// Append a row.
func (s *Sparse) Append(words []int32, weights []float32) {
	if len(s.From) == 0 {
		s.From = append(s.From, 0)
	}
	s.Words = append(s.Words, words...)
	s.Weights = append(s.Weights, weights...)
	s.From = append(s.From, len(s.Words))
}

// transposed is the same matrix by words.
func (s *Sparse) transposed() *Sparse {
	t := &Sparse{From: make([]int, s.Columns+1), Words: make([]int32, len(s.Words)), Weights: make([]float32, len(s.Words)), Columns: s.Rows()}
	for _, w := range s.Words {
		t.From[w+1]++
	}
	for i := range s.Columns {
		t.From[i+1] += t.From[i]
	}
	at := append([]int(nil), t.From...)
	for r := range s.Rows() {
		for i := s.From[r]; i < s.From[r+1]; i++ {
			w := s.Words[i]
			t.Words[at[w]], t.Weights[at[w]] = int32(r), s.Weights[i]
			at[w]++
		}
	}
	return t
}

// times is the product with m, of as many rows as s has columns: each row of
// out is made by one goroutine in one order, so it does not depend on their number.
func (s *Sparse) times(m []float32, dim, workers int) []float32 {
	out := make([]float32, s.Rows()*dim)
	Parallel(s.Rows(), workers, func(r int) {
		row := out[r*dim:][:dim]
		for i := s.From[r]; i < s.From[r+1]; i++ {
			Axpy(row, s.Weights[i], m[int(s.Words[i])*dim:][:dim])
		}
	})
	return out
}

// Parallel calls fn with 0 … n−1, workers at a time.
func Parallel(n, workers int, fn func(i int)) {
	const share = 64
	if workers <= 1 || n <= share {
		for i := range n {
			fn(i)
		}
		return
	}
	var mu sync.Mutex
	next := 0
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				from := next
				next += share
				mu.Unlock()
				if from >= n {
					return
				}
				for i := from; i < min(n, from+share); i++ {
					fn(i)
				}
			}
		})
	}
	wg.Wait()
}

// Latent gives the words' places in the space of the dim leading left singular
// directions of texts × words, transposed: latent semantic analysis (Deerwester
// and others, 1990) by subspace iteration from a seeded start (Halko, Martinsson
// and Tropp, 2011). Rows of the result are words; its columns are orthonormal,
// but not turned to the singular directions: products of what is projected are
// the same. It has fewer than dim directions that are not nothing where the
// texts have no more.
func Latent(texts *Sparse, dim, iterations, workers int, seed uint64) []float32 {
	byWord := texts.transposed()
	rng := rand.New(rand.NewPCG(seed, 1))
	start := make([]float32, texts.Rows()*dim)
	for i := range start {
		start[i] = float32(rng.NormFloat64())
	}
	y := byWord.times(start, dim, workers) // words × dim
	for range iterations {
		orthonormalise(y, dim, workers)
		y = byWord.times(texts.times(y, dim, workers), dim, workers)
	}
	orthonormalise(y, dim, workers)
	return y
}

// gramOf is mᵀm of a matrix of k columns, in float64. Blocks of rows are summed
// in order, whatever the number of workers.
func gramOf(m []float32, k, workers int) []float64 {
	n := len(m) / k
	const block = 256
	blocks := (n + block - 1) / block
	g := make([]float64, k*k)
	const most = 16 // blocks in memory at a time
	parts := make([][]float32, most)
	for first := 0; first < blocks; first += most {
		count := min(most, blocks-first)
		each(count, workers, func(i int) {
			if parts[i] == nil {
				parts[i] = make([]float32, k*k)
			}
			p := parts[i]
			clear(p)
			from := (first + i) * block
			for r := from; r < min(n, from+block); r++ {
				row := m[r*k:][:k]
				for a, x := range row {
					if x != 0 {
						Axpy(p[a*k+a:(a+1)*k], x, row[a:])
					}
				}
			}
		})
		for i := range count {
			for j, x := range parts[i] {
				g[j] += float64(x)
			}
		}
	}
	for a := range k {
		for b := range a {
			g[a*k+b] = g[b*k+a]
		}
	}
	return g
}

// each is Parallel for few large pieces of work.
func each(n, workers int, fn func(i int)) {
	if workers <= 1 {
		for i := range n {
			fn(i)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range min(workers, n) {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// orthonormalise the k columns of m by the Cholesky factor of mᵀm, twice, which
// makes up for what the first loses. A column that is none of its own is nothing.
func orthonormalise(m []float32, k, workers int) {
	for range 2 {
		r := gramOf(m, k, workers)
		ok := make([]bool, k)
		scale := 0.0
		for i := range k {
			scale = max(scale, r[i*k+i])
		}
		// r becomes the lower factor L, mᵀm = LLᵀ.
		for j := range k {
			d := r[j*k+j]
			for t := range j {
				d -= float64(r[j*k+t] * r[j*k+t])
			}
			if ok[j] = d > 1e-10*scale; ok[j] {
				r[j*k+j] = math.Sqrt(d)
			}
			for i := j + 1; i < k; i++ {
				if !ok[j] {
					r[i*k+j] = 0
					continue
				}
				s := r[i*k+j]
				for t := range j {
					s -= float64(r[i*k+t] * r[j*k+t])
				}
				r[i*k+j] = s / r[j*k+j]
			}
			if !ok[j] {
				for t := range j {
					r[j*k+t] = 0
				}
			}
		}
		// inverse of L, by rows: m·L⁻ᵀ is then a dot product for each number.
		inv := make([]float32, k*k)
		column := make([]float64, k)
		for c := range k {
			clear(column)
			if !ok[c] {
				continue
			}
			column[c] = 1 / r[c*k+c]
			for i := c + 1; i < k; i++ {
				if !ok[i] {
					continue
				}
				s := 0.0
				for t := c; t < i; t++ {
					s -= float64(r[i*k+t] * column[t])
				}
				column[i] = s / r[i*k+i]
			}
			for i := c; i < k; i++ {
				inv[i*k+c] = float32(column[i])
			}
		}
		n := len(m) / k
		Parallel(n, workers, func(row int) {
			old := append(make([]float32, 0, 512), m[row*k:][:k]...)
			for i := range k {
				m[row*k+i] = Dot(old[:i+1], inv[i*k:][:i+1])
			}
		})
	}
}
