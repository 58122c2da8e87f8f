package answer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"rxedge/index"
)

// Kept is an answer as a cache holds it.
type Kept struct {
	// Answer without its id, its question and how that was read.
	Answer Answer `json:"answer"`
	// Stamp is the generation that it was made in or last compared with, and
	// Evidence the hash of all that decided what was said.
	Stamp    string            `json:"stamp"`
	Evidence [sha256.Size]byte `json:"evidence"`
	// Documents it rests on: retrieved or cited, by id.
	Documents []string `json:"documents"`
	// Made is when it was written; being compared anew does not make it younger.
	Made time.Time `json:"made"`
}

// Cache keeps answers by a key that holds the question's text, which the cache
// must not show to anybody who does not know it. Get and Put lose what they
// can't read or write: a question is never worse off for them. What Get gives
// is not changed by the caller.
type Cache interface {
	Get(key string) (*Kept, bool)
	Put(key string, k *Kept)
	// Checked counts an answer that was compared with a later generation.
	Checked(same bool)
}

// key of all that an answer depends on but the index. Letters keep their case:
// names and abbreviations are told by it.
func (s *Service) key(ctx context.Context, q Question) string {
	variant := s.variant(ctx)
	if g := s.group(ctx, &q); g != nil { // what is doubted for one cohort is not for another
		variant += "\x00" + g.String()
	}
	return strings.Join([]string{Normalise(q.asked()), q.Mode, strconv.Itoa(q.K), strconv.Itoa(s.MaxTokens), strconv.FormatBool(q.Explain), variant, s.staleBefore(), strconv.FormatBool(s.StaleAbstains), strconv.FormatBool(s.GuardAbstains)}, "\x00")
}

// Normalise makes one text of those that ask the same in the same words: of
// composed letters, with single blanks, without the mark at the end.
func Normalise(question string) string {
	return strings.TrimRight(strings.Join(strings.Fields(norm.NFC.String(question)), " "), " ?.!")
}

// stamp names a state of the index. A label alone does not: the folder of the
// index may be replaced by another, whose generations have the same numbers.
func stamp(snap *index.Snapshot) string {
	g := snap.Generation()
	return g.Label() + "@" + strconv.FormatInt(g.Created.UnixNano(), 36) + "." + strconv.FormatInt(g.Updated.UnixNano(), 36)
}

// evidence hashes what decides what is said: the passages that a model reads in
// their order, those that sentences were taken from, how the question was read,
// what the extract found. Scores are left out: they move
// with every document that comes.
func (p *looked) evidence() [sha256.Size]byte {
	h := sha256.New()
	enc := json.NewEncoder(h) // of numbers, strings and slices of them: it can't fail
	said := func(hit *index.Hit) {
		_ = enc.Encode([]any{hit.SetID, hit.Version, hit.DocumentTitle, hit.SectionTitle, hit.LOINC, hit.Effective, hit.Notice, hit.Passage, hit.Text})
	}
	for i := range p.hits {
		said(&p.hits[i])
	}
	for _, r := range p.retrieved {
		_ = enc.Encode([]any{r.SectionID, r.Start, r.End})
	}
	// Of the many passages that sentences are taken from, those that gave one.
	for _, s := range p.ex.Sentences {
		said(&p.wide[s.Passage])
		_ = enc.Encode([]int{s.Start, s.End})
	}
	for _, c := range p.differing {
		_ = enc.Encode(c)
	}
	_ = enc.Encode([]any{p.tooOld, p.found.Mode, p.found.Codes, p.reading, p.strangers, p.ex.Missing, p.ex.Absent, p.listed, p.snap.Generation().Documents == 0})
	return [sha256.Size]byte(h.Sum(nil))
}

// degraded says that the embedder should have been asked and did not answer.
func (s *Service) degraded(p *looked) bool {
	g := p.snap.Generation()
	return p.found.Mode == index.ModeBM25 && g.Vectors > 0 && (s.Embedder.Name != "" && p.snap.Embeds() || s.Embedder.Name == "" && s.Vectors)
}

// kept answers from the cache where what is there is as a new answer would be.
// In the generation that an answer was made in, that is so. In a later one the
// question is looked at anew, up to where something would be written: an answer
// stands where that finds the very same, and so does an abstention.
func (s *Service) kept(ctx context.Context, q Question, ev Events, began time.Time) (*Answer, error) {
	key := s.key(ctx, q)
	k, ok := s.Cache.Get(key)
	looking := since(began)
	snap := s.acquire(ctx)
	if snap == nil {
		return nil, index.ErrClosed
	}
	defer snap.Release()
	now := stamp(snap)
	if ok && k.Stamp == now {
		a, err := again(k, q, snap, ev)
		if err != nil {
			return nil, err
		}
		a.Timings = Timings{Cache: looking, Total: since(began)}
		return a, nil
	}
	res, err := s.flights.do(ctx, key+"\x00"+now, ev, s.Log, func(ctx context.Context, ev Events) (*Answer, error) {
		snap := s.acquire(ctx)
		if snap == nil {
			return nil, index.ErrClosed
		}
		defer snap.Release()
		p, err := s.look(ctx, snap, q)
		if err != nil {
			return nil, err
		}
		evidence := p.evidence()
		if ok {
			same := k.Evidence == evidence
			s.Cache.Checked(same)
			if same {
				later := *k
				later.Stamp, later.Answer.Generation = stamp(snap), p.found.Generation
				s.Cache.Put(key, &later)
				a, err := again(&later, q, snap, ev)
				if err != nil {
					return nil, err
				}
				a.Timings = Timings{Cache: looking, Embed: p.found.Timings.Embed, Retrieve: p.found.Timings.Retrieve, Rerank: p.reranking, Generate: p.picking, Total: since(began)}
				return a, nil
			}
		}
		a, err := s.say(ctx, p, ev, began)
		if err != nil {
			return nil, err
		}
		a.Timings.Cache = looking
		// What was made in a lesser way than it could be is made anew next time.
		if a.Fallback == "" && p.unranked == "" && !s.degraded(p) {
			s.Cache.Put(key, keep(a, stamp(snap), evidence, s.now()))
		}
		return a, nil
	})
	if err != nil {
		return nil, err
	}
	a := *res // others were given the same
	a.ID, a.Question = newID(), q.Text
	a.Timings.Total = since(began)
	return &a, nil
}

// again gives a kept answer as if it had just been made.
func again(k *Kept, q Question, snap *index.Snapshot, ev Events) (*Answer, error) {
	reading, err := snap.Read(q.asked())
	if err != nil {
		return nil, err
	}
	reading.Previous = q.carried
	a := k.Answer
	a.ID, a.Question, a.Explain, a.Cached = newID(), q.Text, &reading, true
	tell(&a, ev)
	return &a, nil
}

func keep(a *Answer, stamp string, evidence [sha256.Size]byte, now time.Time) *Kept {
	k := &Kept{Answer: *a, Stamp: stamp, Evidence: evidence, Made: now}
	k.Answer.ID, k.Answer.Question, k.Answer.Explain, k.Answer.Timings = "", "", nil, Timings{}
	k.Answer.written = nil
	add := func(id string) {
		if !slices.Contains(k.Documents, id) {
			k.Documents = append(k.Documents, id)
		}
	}
	for _, r := range a.Retrieved {
		add(r.SetID)
	}
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			add(ci.SetID)
		}
	}
	return k
}

// Wait returns when no question is being worked on.
func (s *Service) Wait() { s.flights.wait.Wait() }
