package benchmark

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rxedge/index"
	"rxedge/index/pace"
)

// Request says how large, and where.
type Request struct {
	Passages int
	Dense    bool   // with vectors of dimension 384
	Dir      string // for the index; "": the system's temporary folder
	// Keep leaves the index in Dir; one that is there already is not built again.
	Keep bool
	// Readers ask at the same time for Seconds while a writer adds Rate passages
	// a second; any of them may be 0.
	Readers  int
	Seconds  float64
	Rate     int
	Progress func(index.Progress) // may be nil
}

// Report is what came of it. Times are in milliseconds.
type Report struct {
	Passages     int     `json:"passages"`
	Dense        bool    `json:"dense"`
	BuildPerS    float64 `json:"build_passages_per_s"`
	BuildSeconds float64 `json:"build_s"`
	DiskBytes    float64 `json:"disk_bytes_per_passage"`
	HeapBytes    float64 `json:"heap_bytes_per_passage"`   // after the start
	MappedBytes  float64 `json:"mapped_bytes_per_passage"` // of what a search reads
	StartMS      float64 `json:"start_to_first_query_ms"`
	AloneP50     float64 `json:"alone_p50_ms"` // one reader, nobody writes
	AloneP95     float64 `json:"alone_p95_ms"`
	// Within one of eight sections, likewise: the first such question, for which it is
	// found out what is allowed, and others.
	FilterFirst   float64 `json:"filter_first_ms"`
	FilterP50     float64 `json:"filter_p50_ms"`
	FilterP95     float64 `json:"filter_p95_ms"`
	Readers       int     `json:"readers"`
	WrittenPerS   float64 `json:"written_passages_per_s"`
	QueriesPerS   float64 `json:"queries_per_s"`
	P50           float64 `json:"p50_ms"`
	P95           float64 `json:"p95_ms"`
	P99           float64 `json:"p99_ms"`
	Segments      int     `json:"segments"` // at the end
	WriteP95      float64 `json:"write_p95_ms"`
	PeakResidents float64 `json:"peak_resident_bytes"`
}

const (
	aloneQueries  = 500
	filterQueries = 200
	batchEvery    = 250 * time.Millisecond // or a little more, for whole documents
)

// Run builds an index, starts it again, and asks it.
func Run(ctx context.Context, req Request) (rep Report, err error) {
	if req.Passages < passagesPerDocument {
		return rep, fmt.Errorf("at least %d passages are needed", passagesPerDocument)
	}
	dir := req.Dir
	if !req.Keep {
		if dir, err = os.MkdirTemp(req.Dir, "rxedge-bench-"); err != nil {
			return rep, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	defer pace.Process()() // as the service does
	c, opt := newCorpus(), index.Options{}
	if req.Dense {
		v := newVectors()
		opt.Embedder, opt.EmbedderInfo = v, v.info()
	}
	rep.Dense, rep.Readers = req.Dense, req.Readers
	docs := req.Passages / passagesPerDocument

	ix, err := index.Open(filepath.Join(dir, "index"), opt)
	if err != nil {
		return rep, err
	}
	made := ix.Stats().Generation
	if made.Passages == 0 {
		put := c.documents(0, docs, 1)
		began := time.Now()
		r, err := ix.Apply(ctx, index.Changes{Put: put}, req.Progress)
		if err != nil {
			return rep, errors.Join(err, ix.Close())
		}
		made = r.Generation
		rep.BuildSeconds = time.Since(began).Seconds()
		rep.BuildPerS = float64(made.Passages) / rep.BuildSeconds
	}
	if rep.Passages = made.Passages; req.Dense != (made.Vectors > 0) {
		return rep, errors.Join(fmt.Errorf("the index in %s is %s", dir, map[bool]string{true: "with vectors", false: "without vectors"}[made.Vectors > 0]), ix.Close())
	}
	rep.DiskBytes = float64(made.Bytes) / float64(made.Passages)
	if err := ix.Close(); err != nil {
		return rep, err
	}

	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rnd := rand.New(rand.NewPCG(7, 7))
	began := time.Now()
	if ix, err = index.Open(filepath.Join(dir, "index"), opt); err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, ix.Close()) }()
	if _, err := ix.Search(ctx, index.Query{Text: c.question(rnd), K: 10}); err != nil {
		return rep, err
	}
	rep.StartMS = ms(time.Since(began))
	runtime.GC()
	runtime.ReadMemStats(&after)
	rep.HeapBytes = max(0, float64(after.HeapAlloc)-float64(before.HeapAlloc)) / float64(rep.Passages)
	st := ix.Stats()
	rep.MappedBytes = float64(st.LexicalBytes+st.VectorBytes) / float64(rep.Passages)

	var alone, filtered []float64
	for range aloneQueries {
		took, err := ask(ctx, ix, index.Query{Text: c.question(rnd), K: 10})
		if err != nil {
			return rep, err
		}
		alone = append(alone, took)
	}
	rep.AloneP50, rep.AloneP95 = percentile(alone, 50), percentile(alone, 95)
	for i := range filterQueries {
		took, err := ask(ctx, ix, index.Query{Text: c.question(rnd), K: 10, Filter: index.Filter{Sections: []string{loincs[2]}}})
		if err != nil {
			return rep, err
		}
		if i == 0 {
			rep.FilterFirst = took
			continue
		}
		filtered = append(filtered, took)
	}
	rep.FilterP50, rep.FilterP95 = percentile(filtered, 50), percentile(filtered, 95)
	if req.Seconds > 0 && req.Readers+req.Rate > 0 {
		if err := together(ctx, ix, c, req, docs, &rep); err != nil {
			return rep, err
		}
	}
	rep.PeakResidents = peak()
	return rep, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func ask(ctx context.Context, ix *index.Index, q index.Query) (float64, error) {
	began := time.Now()
	res, err := ix.Search(ctx, q)
	return ms(time.Since(began)) - res.Timings.Embed, err
}

// together asks from several readers while a writer adds documents.
func together(ctx context.Context, ix *index.Index, c *corpus, req Request, docs int, rep *Report) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(req.Seconds*float64(time.Second)))
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var took, writes []float64
	var failed error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil && failed == nil {
			failed = err
			cancel()
		}
	}
	began := time.Now()
	for i := range req.Readers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 11))
			var own []float64
			for ctx.Err() == nil {
				t, err := ask(ctx, ix, index.Query{Text: c.question(r), K: 10})
				if err != nil {
					fail(err)
					break
				}
				own = append(own, t)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	written := 0
	if req.Rate > 0 {
		wg.Go(func() {
			each := max(1, int(math.Ceil(float64(req.Rate)*batchEvery.Seconds()/passagesPerDocument)))
			tick := time.NewTicker(time.Duration(float64(each*passagesPerDocument) / float64(req.Rate) * float64(time.Second)))
			defer tick.Stop()
			for next := docs; ; next += each {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				put := c.documents(next, each, 1)
				began := time.Now()
				if _, err := ix.Apply(ctx, index.Changes{Put: put}, nil); err != nil {
					fail(err)
					return
				}
				writes = append(writes, ms(time.Since(began)))
				written += each * passagesPerDocument
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	seconds := time.Since(began).Seconds()
	rep.WrittenPerS, rep.QueriesPerS = float64(written)/seconds, float64(len(took))/seconds
	rep.P50, rep.P95, rep.P99 = percentile(took, 50), percentile(took, 95), percentile(took, 99)
	rep.WriteP95 = percentile(writes, 95)
	rep.Segments = ix.Stats().Segments
	return nil
}

func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, int(float64(len(v))*p/100))]
}

// peak is the most memory that the process held, mapped files included.
func peak() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	if f := strings.Fields(rest); len(f) > 0 {
		if kb, err := strconv.ParseFloat(f[0], 64); err == nil {
			return kb * 1024
		}
	}
	return 0
}
