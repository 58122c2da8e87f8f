package flow

import (
	"sync"
	"time"
)

// Progress of a run. Bytes are of the files as they were given.
type Progress struct {
	Files      int   `json:"files"`       // found
	Bytes      int64 `json:"bytes"`       // found
	FilesDone  int   `json:"files_done"`  // fetched
	BytesRead  int64 `json:"bytes_read"`  // fetched
	BytesDone  int64 `json:"bytes_done"`  // in the library, or passed over as known
	ToRead     int   `json:"to_read"`     // units that wait for a worker or are with one
	ToCommit   int   `json:"to_commit"`   // messages with results that wait for the library
	Documents  int   `json:"documents"`   // that went into the library since this process began
	PerSecond  int   `json:"per_second"`  // documents, of the last half minute
	Vectors    int   `json:"vectors"`     // of passages, that came in since this process began
	Bare       int   `json:"bare"`        // documents whose vectors were wanted and could not be made
	Walked     bool  `json:"walked"`      // Files and Bytes are all there are
	SecondsFor int   `json:"seconds_for"` // the rest is likely to take; -1 where it is not known
}

type sample struct {
	at    time.Time
	bytes int64
	docs  int
}

// progress is gathered by those who work.
type progress struct {
	mu      sync.Mutex
	now     func() time.Time
	p       Progress
	known   int   // sources that were not read, as the library has them from before
	passed  int64 // bytes that took no work
	samples []sample
}

func newProgress() *progress { return &progress{now: time.Now} }

func (p *progress) found(files int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.p.Files, p.p.Bytes, p.p.Walked = files, bytes, true
}

func (p *progress) fetched(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.p.FilesDone++
	p.p.BytesRead += bytes
}

// skipped bytes of a source that is not put on the bus. mine: it is part of this run all
// the same.
func (p *progress) skipped(bytes int64, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed += bytes
	if !mine {
		p.known++
	}
}

func (p *progress) committed(r *result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range r.Done {
		p.p.BytesDone += s.Disk
	}
	p.p.Documents += len(r.Items)
}

func (p *progress) embedded(r *result, added int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.p.Vectors += added
	for i := range r.Items {
		if r.Items[i].Bare {
			p.p.Bare++
		}
	}
}

// window over which the rate is taken.
const window = 30 * time.Second

// at is the progress now, with what the bus says of what waits. The rest is estimated by
// the bytes that went through in the last half minute: what took no work counts for none.
func (p *progress) at(toRead, toCommit int) Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.samples = append(p.samples, sample{now, p.p.BytesDone, p.p.Documents})
	for len(p.samples) > 2 && now.Sub(p.samples[0].at) > window {
		p.samples = p.samples[1:]
	}
	out := p.p
	out.ToRead, out.ToCommit, out.SecondsFor = toRead, toCommit, -1
	first := p.samples[0]
	span := now.Sub(first.at).Seconds()
	done := p.p.BytesDone - first.bytes
	if span >= 1 {
		out.PerSecond = int(float64(p.p.Documents-first.docs)/span + .5)
	}
	left := p.p.Bytes - p.p.BytesDone - p.passed
	if span >= 5 && done > 0 && p.p.Walked && left >= 0 {
		out.SecondsFor = int(float64(left) / float64(done) * span)
	}
	out.BytesDone = min(p.p.BytesDone+p.passed, p.p.Bytes)
	return out
}
