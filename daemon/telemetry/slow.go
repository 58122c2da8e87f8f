package telemetry

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// SlowFrom is how many milliseconds an answer may take before it leaves a trace: the
// limit of the alert rule.
const SlowFrom = 300

// spanSlow of traces on disk, and how many are kept; none longer than an hour's window.
const (
	spanSlow  = 's'
	mostSlow  = 500
	freshSlow = 64 // in memory, between two writes
)

// Trace of a slow question: where the time went, and words of our own.
type Trace struct {
	At    time.Time `json:"at"`
	Total float64   `json:"total_ms"`
	// Stages in milliseconds; what they do not account for is Rest.
	Stages     map[string]float64 `json:"stages_ms"`
	Rest       float64            `json:"rest_ms"`
	Outcome    string             `json:"outcome"`
	Mode       string             `json:"mode"`
	Kind       string             `json:"kind"`
	Fallback   string             `json:"fallback"`
	Cached     string             `json:"cached"`
	Model      string             `json:"model,omitempty"`
	Generation string             `json:"generation,omitempty"`
	Words      int                `json:"question_words"`
	Medicines  int                `json:"medicines"`
}

// trace of o, where it was slow. Values of closed dimensions that are none of ours
// become Other, as in a window.
func (o *Observation) trace() (Trace, bool) {
	if v := o.Values[Latency]; math.IsNaN(v) || v < SlowFrom {
		return Trace{}, false
	}
	in := func(d Dimension) string {
		if k := known[d]; k != nil && !k[o.In[d]] {
			return Other
		}
		return o.In[d]
	}
	whole := func(f Feature) int {
		if v := o.Values[f]; !math.IsNaN(v) {
			return int(v)
		}
		return 0
	}
	t := Trace{At: o.At.UTC(), Total: o.Values[Latency], Rest: o.Values[Latency], Stages: map[string]float64{}, Outcome: in(Outcome), Mode: in(Mode), Kind: o.In[Kind],
		Fallback: in(Fallback), Cached: in(Cached), Model: o.Model, Generation: o.Generation, Words: whole(QuestionWords), Medicines: whole(Medicines)}
	for i, name := range Stages[:len(Stages)-1] { // the last is the total
		if ms := o.Stages[i]; ms > 0 {
			t.Stages[name] = ms
			t.Rest = max(0, t.Rest-ms)
		}
	}
	return t, true
}

// keepSlow takes a trace until the next write; with mu held.
func (r *Recorder) keepSlow(t Trace) {
	if len(r.slow) < freshSlow {
		r.slow = append(r.slow, t)
		return
	}
	// Of more than there is room for the slowest stay.
	least := 0
	for i := range r.slow {
		if r.slow[i].Total < r.slow[least].Total {
			least = i
		}
	}
	if t.Total > r.slow[least].Total {
		r.slow[least] = t
	}
}

// writeSlow writes what came since, and lets go of what is too much, too old, or of a time
// when the clock was ahead: it would keep out what comes now.
func (r *Recorder) writeSlow() error {
	r.mu.Lock()
	fresh := r.slow
	r.slow = nil
	r.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	oldest, newest := uint64(0), uint64(max(0, r.opt.Now().Add(ahead).UnixNano()))
	if r.opt.Sound() {
		oldest = uint64(max(0, r.opt.Now().Add(-keepHours).UnixNano()))
	}
	err := r.db.Update(func(txn *badger.Txn) error {
		for i, t := range fresh {
			b, err := json.Marshal(t)
			if err != nil {
				return err
			}
			k := binary.BigEndian.AppendUint64([]byte{spanSlow}, uint64(max(0, t.At.UnixNano())))
			if err := txn.Set(append(k, byte(i)), b); err != nil {
				return err
			}
		}
		var keys [][]byte
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{spanSlow}})
		for it.Rewind(); it.Valid(); it.Next() {
			keys = append(keys, it.Item().KeyCopy(nil))
		}
		it.Close()
		past := len(keys) // as many are of no time to come; keys are in order of time
		for past > 0 && binary.BigEndian.Uint64(keys[past-1][1:]) > newest {
			past--
		}
		for i, k := range keys {
			if i >= past || i < past-mostSlow || binary.BigEndian.Uint64(k[1:]) < oldest {
				if err := txn.Delete(k); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		r.mu.Lock()
		r.slow = append(fresh, r.slow...)
		r.slow = r.slow[:min(len(r.slow), freshSlow)]
		r.mu.Unlock()
		return fmt.Errorf("writing traces of slow questions: %w", err)
	}
	return nil
}

// Slow are the traces from a time on, the latest first.
func (r *Recorder) Slow(from time.Time) ([]Trace, error) {
	r.writing.Lock() // so that none is between memory and disk
	defer r.writing.Unlock()
	out := []Trace{}
	err := r.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{spanSlow}, PrefetchValues: true, PrefetchSize: 64})
		defer it.Close()
		for it.Seek(binary.BigEndian.AppendUint64([]byte{spanSlow}, uint64(max(0, from.UnixNano())))); it.Valid(); it.Next() {
			var t Trace
			if err := it.Item().Value(func(b []byte) error { return json.Unmarshal(b, &t) }); err != nil {
				r.opt.Log.Warn("a trace of a slow question is damaged and is passed over")
				continue
			}
			out = append(out, t)
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.slow {
		if !t.At.Before(from) {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b Trace) int { return b.At.Compare(a.At) })
	return out, err
}
