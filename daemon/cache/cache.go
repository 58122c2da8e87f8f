// Package cache keeps answers and the vectors of questions, in memory and on
// disk, with expiry, bounds, and a way from a document to the answers that rest
// on it. DESIGN.md says what may be served from it and why.
package cache

import (
	"container/list"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"rxedge/daemon/answer"
	"rxedge/daemon/store"
)

// Options of a cache; what is 0 is as a box has it.
type Options struct {
	Answers    time.Duration // an answer is served for; 0: 1 h
	Earlier    time.Duration // an answer is kept for, should nothing else be left to say; 0: 30 days
	Embeddings time.Duration // a vector of a question is kept for; 0: 24 h
	DiskBytes  int64         // of what is kept on disk; 0: 256 MiB
	Memory     int64         // bytes of it in memory; 0: 32 MiB
	Key        []byte        // of the store on disk; nil: it is not encrypted
	Now        func() time.Time
	Log        *slog.Logger
}

// Kinds of what is kept.
const (
	kindAnswer = 'a'
	kindVector = 'v'
)

// Cache is the open folder. Safe for concurrent use. Its methods lose what they
// can't read or write.
type Cache struct {
	opt  Options
	db   *store.DB
	salt []byte
	note string

	answers *otter.Cache[string, *answer.Kept]
	vectors *otter.Cache[string, []float32]

	mu     sync.Mutex
	closed bool
	once   shelf // what was asked for once, and vectors
	often  shelf // answers that were asked for more than once
	held   map[string]*list.Element
	stats  Stats
	done   chan struct{}
	ended  chan struct{}
}

// held is one record on disk.
type held struct {
	id        string // kind and hash
	bytes     int64  // with its links
	expires   time.Time
	often     bool     // it was asked for more than once
	documents []string // an answer rests on
}

// shelf lists records, the latest used first.
type shelf struct {
	order *list.List // of *held
	bytes int64
}

// Stats are numbers alone.
type Stats struct {
	Answers    int   `json:"answers"` // kept, also past their hour
	Popular    int   `json:"popular"` // of these, asked for more than once
	Embeddings int   `json:"embeddings"`
	Bytes      int64 `json:"bytes"`
	// Hits and Misses since the start, by kind.
	AnswerHits      int `json:"answer_hits"`
	AnswerMisses    int `json:"answer_misses"`
	EarlierHits     int `json:"earlier_hits"` // given because nothing else was left
	EmbeddingHits   int `json:"embedding_hits"`
	EmbeddingMisses int `json:"embedding_misses"`
	// Invalidated rested on a document that was changed or withdrawn; of those
	// that were compared with a later generation, Confirmed were as before and
	// Outdated not.
	Invalidated int `json:"invalidated"`
	Confirmed   int `json:"confirmed"`
	Outdated    int `json:"outdated"`
	Evicted     int `json:"evicted"` // for room
	Damaged     int `json:"damaged"` // could not be read
}

// Open opens or makes the cache in dir. A damaged one is thrown away, and Note
// says so; an error is one of the machine.
func Open(dir string, opt Options) (*Cache, error) {
	if opt.Answers == 0 {
		opt.Answers = time.Hour
	}
	if opt.Earlier == 0 {
		opt.Earlier = 30 * 24 * time.Hour
	}
	opt.Earlier = max(opt.Earlier, opt.Answers)
	if opt.Embeddings == 0 {
		opt.Embeddings = 24 * time.Hour
	}
	if opt.DiskBytes == 0 {
		opt.DiskBytes = 256 << 20
	}
	if opt.Memory == 0 {
		opt.Memory = 32 << 20
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{opt: opt, done: make(chan struct{}), ended: make(chan struct{})}
	err := c.load(dir)
	var damaged *store.DamagedError
	if errors.As(err, &damaged) {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("throwing the damaged cache away: %w", err)
		}
		c.note = "the cache of answers was damaged and was begun anew"
		err = c.load(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	c.answers = otter.Must(&otter.Options[string, *answer.Kept]{MaximumWeight: uint64(opt.Memory) * 7 / 8,
		Weigher: func(_ string, k *answer.Kept) uint32 { return weight(k) }})
	c.vectors = otter.Must(&otter.Options[string, []float32]{MaximumWeight: uint64(opt.Memory) / 8,
		Weigher: func(_ string, v []float32) uint32 { return uint32(4*len(v) + 64) }})
	go c.sweep()
	return c, nil
}

// Note says what was wrong when it was opened; "": nothing.
func (c *Cache) Note() string { return c.note }

// Close lets go of the folder; calls that come later find nothing.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	close(c.done)
	<-c.ended
	c.answers.StopAllGoroutines()
	c.vectors.StopAllGoroutines()
	return c.db.Close()
}

// Stats of now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Bytes = c.once.bytes + c.often.bytes
	for id, e := range c.held {
		if id[0] == kindAnswer {
			s.Answers++
			if e.Value.(*held).often {
				s.Popular++
			}
		} else {
			s.Embeddings++
		}
	}
	return s
}

// slack is how far the clock may be set back without an answer being thrown away.
const slack = 2 * time.Minute

// Get implements answer.Cache.
func (c *Cache) Get(key string) (*answer.Kept, bool) {
	s := c.seal(kindAnswer, key)
	k, ok := c.answer(s)
	// Past its hour it stays for Earlier.
	ok = ok && c.touch(s.id)
	if ok {
		// One that was made in the future was made by a clock that has been set back.
		age := c.opt.Now().Sub(k.Made)
		ok = age < c.opt.Answers && age > -slack
	}
	if ok && c.first(s.id) {
		c.Put(key, k) // on the shelf of those that are asked for often
	}
	c.count(func(st *Stats) {
		if ok {
			st.AnswerHits++
		} else {
			st.AnswerMisses++
		}
	})
	if !ok {
		return nil, false
	}
	return k, true
}

// Earlier implements answer.Archive: what was answered, also past its hour.
func (c *Cache) Earlier(key string) (*answer.Kept, bool) {
	s := c.seal(kindAnswer, key)
	k, ok := c.answer(s)
	if ok = ok && c.touch(s.id); !ok {
		return nil, false
	}
	c.count(func(st *Stats) { st.EarlierHits++ })
	return k, true
}

// answer in memory or on disk.
func (c *Cache) answer(s sealed) (*answer.Kept, bool) {
	if k, ok := c.answers.GetIfPresent(s.id); ok {
		return k, true
	}
	body, ok := c.read(s)
	if !ok {
		return nil, false
	}
	k := new(answer.Kept)
	if err := json.Unmarshal(body, k); err != nil {
		c.damaged(s.id)
		return nil, false
	}
	c.answers.Set(s.id, k)
	return k, true
}

// Put implements answer.Cache.
func (c *Cache) Put(key string, k *answer.Kept) {
	expires := k.Made.Add(c.opt.Earlier)
	if !c.opt.Now().Before(expires) {
		return
	}
	body, err := json.Marshal(k)
	if err != nil {
		return
	}
	s := c.seal(kindAnswer, key)
	if c.write(s, body, expires, k.Documents) {
		c.answers.Set(s.id, k)
	}
}

// Checked implements answer.Cache.
func (c *Cache) Checked(same bool) {
	c.count(func(st *Stats) {
		if same {
			st.Confirmed++
		} else {
			st.Outdated++
		}
	})
}

// Vector of a question by the embedder of that hash. It is not to be changed.
func (c *Cache) Vector(embedder, text string) ([]float32, bool) {
	s := c.seal(kindVector, embedder+"\x00"+text)
	v, ok := c.vectors.GetIfPresent(s.id)
	if !ok {
		var body []byte
		if body, ok = c.read(s); ok {
			if v, ok = decode(body); ok {
				c.vectors.Set(s.id, v)
			} else {
				c.damaged(s.id)
			}
		}
	}
	ok = ok && c.touch(s.id)
	c.count(func(st *Stats) {
		if ok {
			st.EmbeddingHits++
		} else {
			st.EmbeddingMisses++
		}
	})
	if !ok {
		return nil, false
	}
	return v, true
}

// PutVector keeps the vector of a question.
func (c *Cache) PutVector(embedder, text string, v []float32) {
	s := c.seal(kindVector, embedder+"\x00"+text)
	if c.write(s, encode(v), c.opt.Now().Add(c.opt.Embeddings), nil) {
		c.vectors.Set(s.id, v)
	}
}

func (c *Cache) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// weight of an answer in memory, about.
func weight(k *answer.Kept) uint32 {
	n := 512 + 200*len(k.Answer.Retrieved)
	for _, c := range k.Answer.Claims {
		n += 100 + len(c.Text)
		for _, ci := range c.Citations {
			n += 250 + len(ci.Quote) + len(ci.DocumentTitle) + len(ci.SectionTitle)
		}
	}
	return uint32(min(n, math.MaxInt32))
}

// Snapshot is what is kept now, sealed as it is.
func (c *Cache) Snapshot() *store.Snapshot { return store.Snap(c.db) }
