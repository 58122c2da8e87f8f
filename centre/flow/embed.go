package flow

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"rxedge/centre/vectors"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/sync/bundle"
)

// Embedder tells one whose vectors are wanted. The zero value: none are.
type Embedder struct {
	Name      string      `json:"name,omitempty"`
	Hash      bundle.Hash `json:"hash,omitzero"`
	Dimension int         `json:"dimension,omitempty"`
}

func (e Embedder) wanted() bool { return e.Hash != bundle.Hash{} }

// Embedding is a worker's embedder.
type Embedding struct {
	Embedder
	// Make gives rows (bundle.Vectors) of what is embedded of a document, but for the texts
	// that has knows. tick is called as it goes on.
	Make func(ctx context.Context, d *document.Document, has func([]index.TextHash) map[index.TextHash]bool, tick func()) ([]byte, error)
}

// Of a unit of small sources whose vectors are made: a second or two, so that little is
// done twice where a worker dies.
const (
	embedSources = 16
	embedBytes   = 256 << 10
)

// subjectAsk is what a worker asks the command on: which texts have their vectors?
const subjectAsk = "ingest.ask"

// askLimit is how long the answer is waited for; where none comes, none has.
const askLimit = 2 * time.Second

type question struct {
	Embedder
	Texts []byte `json:"texts"` // hashes, one after another
}

// has asks the command which texts of an embedder have their vectors.
func (q *Queue) has(ctx context.Context, e Embedder, texts []index.TextHash) map[index.TextHash]bool {
	if len(texts) == 0 {
		return nil
	}
	ask := question{Embedder: e}
	for _, t := range texts {
		ask.Texts = append(ask.Texts, t[:]...)
	}
	data, err := json.Marshal(ask)
	if err != nil || int64(len(data)) > q.nc.MaxPayload() {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	m, err := q.nc.RequestWithContext(within, subjectAsk, data)
	if err != nil || len(m.Data) != len(texts) {
		return nil
	}
	known := map[index.TextHash]bool{}
	for i, t := range texts {
		known[t] = m.Data[i] == 1
	}
	return known
}

// kept are the vectors that the command has, by embedder.
type kept struct {
	centre string
	mu     sync.Mutex
	open   map[bundle.Hash]*vectors.Store
}

func (k *kept) of(ctx context.Context, e Embedder) (*vectors.Store, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.open[e.Hash]; s != nil {
		return s, nil
	}
	s, err := vectors.Open(ctx, k.centre, e.Hash, e.Dimension)
	if err != nil {
		return nil, err
	}
	if k.open == nil {
		k.open = map[bundle.Hash]*vectors.Store{}
	}
	k.open[e.Hash] = s
	return s, nil
}

func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.open {
		_ = s.Close()
	}
	k.open = nil
}

// answer workers until the connection or ctx ends.
func (k *kept) answer(ctx context.Context, nc *nats.Conn, e Embedder) (stop func(), err error) {
	if !e.wanted() {
		return func() {}, nil
	}
	sub, err := nc.Subscribe(subjectAsk, func(m *nats.Msg) {
		var ask question
		if json.Unmarshal(m.Data, &ask) != nil || ask.Hash != e.Hash || len(ask.Texts)%len(index.TextHash{}) != 0 {
			return
		}
		s, err := k.of(ctx, e)
		if err != nil {
			return
		}
		var texts []index.TextHash
		at := map[index.TextHash]int{}
		for t := ask.Texts; len(t) > 0; t = t[len(index.TextHash{}):] {
			h := index.TextHash(t)
			at[h] = len(texts)
			texts = append(texts, h)
		}
		out := make([]byte, len(texts))
		if s.Get(ctx, texts, func(t index.TextHash, _ []uint16) { out[at[t]] = 1 }) == nil {
			_ = m.Respond(out)
		}
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// keep the rows of a result: before it is acknowledged.
func (k *kept) keep(ctx context.Context, r *result) (added int, err error) {
	for i := range r.Items {
		if len(r.Items[i].Vectors) == 0 {
			continue
		}
		s, err := k.of(ctx, r.Embedder)
		if err != nil {
			return added, err
		}
		n, err := s.Put(ctx, r.Items[i].Vectors)
		added += n
		if err != nil {
			return added, err
		}
	}
	return added, nil
}

// embed is the step of a worker. What fails is tried again as all else, but no document
// is given up for want of vectors.
func (w *Worker) embed(ctx context.Context, u *Unit, b *beat, t try, it *item) error {
	if !u.Embedder.wanted() {
		return nil
	}
	e := w.opt.Vectors
	it.Bare = true
	if e == nil || e.Hash != u.Embedder.Hash || t.Stage == Embed && t.Tries >= w.opt.MaxTries-1 {
		return nil
	}
	rows, err := e.Make(ctx, it.Document, func(texts []index.TextHash) map[index.TextHash]bool { return w.q.has(ctx, u.Embedder, texts) }, b.next)
	if err != nil {
		return err
	}
	form := bundle.Vectors{Dimension: u.Embedder.Dimension}
	if _, err := form.Rows(rows, nil); err != nil {
		return fmt.Errorf("the embedder %s: %w", hex.EncodeToString(u.Embedder.Hash[:6]), err)
	}
	it.Vectors, it.Bare = rows, false
	return nil
}
