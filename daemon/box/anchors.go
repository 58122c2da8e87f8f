package box

import (
	"context"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/daemon/telemetry"
	"rxedge/inference/semantic"
)

// anchors are the vectors of telemetry's sentences in the generation that serves.
type anchors struct {
	mu         sync.Mutex
	generation string
	vectors    [][]float32
	making     bool
	made       sync.WaitGroup
}

// nearest anchor of a question; below 0: it has no vector, or those of its generation
// are still being made.
func (b *Box) nearest(a *answer.Answer) int {
	v := a.Vector()
	if v == nil {
		return -1
	}
	generation, _, _ := strings.Cut(a.Generation, "+")
	x := &b.telemetry.anchors
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.generation == generation {
		return telemetry.Nearest(x.vectors, v)
	}
	if !x.making {
		x.making = true
		x.made.Go(func() { b.makeAnchors(generation) })
	}
	return -1
}

// space is where a question's vector can be compared over generations. Of the built-in
// embedder that is what its model was trained to: the rest of its numbers are learned
// anew by each generation.
func (b *Box) space(a *answer.Answer) (uint64, []float32) {
	v, e := a.Vector(), b.Answers.Embedder
	if len(v) == 0 || e.SHA256 == "" {
		return 0, nil
	}
	if b.embedder == config.Builtin {
		if e = b.embedderIn(generationOf(a.Generation)); e.SHA256 == "" {
			return 0, nil
		}
		if v = semantic.Trained(v); v == nil {
			return 0, nil
		}
	}
	return xxhash.Sum64String(e.SHA256) | 1, v
}

// makeAnchors of a generation, where it serves still. One that can't be made stays
// empty until the next generation.
func (b *Box) makeAnchors(generation string) {
	var vectors [][]float32
	snap := b.Index.Acquire()
	if snap != nil {
		defer snap.Release()
		if now, _, _ := strings.Cut(snap.Generation().Label(), "+"); now == generation {
			for _, text := range telemetry.Anchors() {
				v, err := snap.Embed(context.Background(), text)
				if err != nil {
					b.log.Warn("the sentences that questions are counted by could not be embedded", "error", err)
					vectors = nil
					break
				}
				vectors = append(vectors, v)
			}
		}
	}
	x := &b.telemetry.anchors
	x.mu.Lock()
	defer x.mu.Unlock()
	x.generation, x.vectors, x.making = generation, vectors, false
}
