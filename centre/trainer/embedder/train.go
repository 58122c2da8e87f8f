// Package embedder trains the built-in embedder anew for a request: on the published
// documents, with made-up questions as often of each kind as they are asked now.
package embedder

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"rxedge/centre/trainer"
	"rxedge/index/document"
	"rxedge/index/names"
	"rxedge/inference/semantic"
	"rxedge/inference/semantic/contrast"
)

// Settings of the training. A little is changed, so that what the champion knows is not
// forgotten: its rows are where it begins, and each section's own heading and words stay
// among the pairs.
type Settings struct {
	Epochs int
	Rate   float64 // in parts of the rows' root mean square
	Seed   uint64
	// Pairs of an epoch of made-up questions; 0: four for each section, 20,000 at most.
	Pairs int
}

// Default settings.
func Default() Settings { return Settings{Epochs: 4, Rate: 0.01, Seed: 1} }

const (
	temperature  = 0.05
	mostPairs    = 20_000
	mostBatch    = 128
	leastBatch   = 8
	sectionWords = 120
	mostLine     = 64 << 20
)

// document of a request, with what is made of it.
type source struct {
	document.Document
	name    string // of the medicine
	classes []string
}

// read the request's documents, and check that they are those it names.
func read(dir string, q *trainer.Request) ([]source, error) {
	f, err := os.Open(filepath.Join(dir, q.Documents.File))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, mostLine)
	var out []source
	for n := 0; sc.Scan(); n++ {
		sum := sha256.Sum256(sc.Bytes())
		if n >= len(q.Documents.Versions) || hex.EncodeToString(sum[:]) != q.Documents.Versions[n].SHA256 {
			return nil, fmt.Errorf("%s:%d: it is not the document that the request names", f.Name(), n+1)
		}
		var s source
		if err := json.Unmarshal(sc.Bytes(), &s.Document); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", f.Name(), n+1, err)
		}
		for _, x := range s.Names {
			if s.name == "" || x.Kind == "generic" {
				s.name = x.Text
			}
			s.classes = append(s.classes, names.ClassesOf(strings.ToLower(x.Text))...)
		}
		out = append(out, s)
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if len(out) != q.Documents.Count {
		return nil, fmt.Errorf("%s has %d documents, the request names %d", f.Name(), len(out), q.Documents.Count)
	}
	return out, nil
}

// Champion of a request.
func Champion(dir string, q *trainer.Request) (*semantic.Model, error) {
	if q.Model.Champion.Builtin {
		return semantic.Builtin()
	}
	return semantic.Open(filepath.Join(dir, q.Model.Champion.File))
}

// pair of texts that belong together; of says what is not to be in a batch twice.
type pair struct {
	left, right contrast.Bag
	of          string
}

// Train a model for the request in dir. tell hears of each epoch. The same request gives
// the same model, on any number of cores of one kind.
func Train(ctx context.Context, dir string, q *trainer.Request, s Settings, tell func(epoch int, loss float64)) ([]byte, *trainer.Trained, error) {
	docs, err := read(dir, q)
	if err != nil {
		return nil, nil, err
	}
	champion, err := Champion(dir, q)
	if err != nil {
		return nil, nil, err
	}
	m := &maker{q: q, docs: docs, model: champion, rng: rand.New(rand.NewPCG(s.Seed, 7))}
	if err := m.choose(); err != nil {
		return nil, nil, err
	}
	n := s.Pairs
	if n == 0 {
		n = min(mostPairs, 4*len(m.sections))
	}
	rows := champion.Rows()
	first := m.epoch(n)
	batch := min(mostBatch, max(leastBatch, len(first)/8))
	c := contrast.New(contrast.Settings{Dimension: champion.Info().Dimension, Batch: batch, Temperature: temperature, Rate: s.Rate, Workers: runtime.GOMAXPROCS(0)}, rows)
	out := &trainer.Trained{Program: "rxedge central retrain train", Seed: s.Seed, Epochs: s.Epochs, Pairs: len(first)}
	for e := range s.Epochs {
		pairs := first
		if e > 0 {
			pairs = m.epoch(n)
		}
		steps, loss := 0, 0.0
		planned := float64(max(1, len(pairs)/batch))
		for len(pairs) > 0 {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			var in []pair
			if in, pairs = take(pairs, batch); len(in) < batch {
				break
			}
			for i, p := range in {
				c.Set(i, p.left, p.right)
			}
			loss += c.Step(min(1, (float64(e)+float64(steps)/planned)/float64(s.Epochs)))
			steps++
		}
		if steps == 0 {
			return nil, nil, fmt.Errorf("the documents have too few sections to train on: %d, and a batch has %d", len(m.sections), batch)
		}
		out.Loss = loss / float64(steps)
		if tell != nil {
			tell(e+1, out.Loss)
		}
	}
	file, err := champion.With("rxedge-semantic-"+q.ID, fmt.Sprintf("%s; then documents %.12s for %s", champion.Data(), q.Documents.SHA256, q.ID), rows)
	return file, out, err
}

// take the next batch: no two of its pairs are of the same section, which would be to
// push apart what belongs together. What is passed over comes later.
func take(pairs []pair, n int) (in, rest []pair) {
	seen := map[string]bool{}
	for _, p := range pairs {
		if len(in) < n && !seen[p.of] {
			seen[p.of] = true
			in = append(in, p)
		} else {
			rest = append(rest, p)
		}
	}
	return in, rest
}

// maker makes up pairs.
type maker struct {
	q        *trainer.Request
	docs     []source
	model    *semantic.Model
	rng      *rand.Rand
	sections []at
	kinds    []trainer.Share
	of       map[string][]at // sections that answer a kind
}

// at is where a section is, and how often it is asked about beside others.
type at struct {
	doc, section int
	weight       float64
}

// choose what can be asked of which section.
func (m *maker) choose() error {
	_, prefers := names.Kinds()
	classes := map[string]float64{}
	for _, c := range m.q.Questions.Classes {
		classes[c.Value] = c.Weight
	}
	m.of = map[string][]at{}
	for d := range m.docs {
		doc := &m.docs[d]
		weight := 0.02 // of a class that nobody asked about: not nothing
		for _, c := range doc.classes {
			weight = max(weight, classes[c])
		}
		for i := range doc.Sections {
			m.sections = append(m.sections, at{d, i, weight})
		}
		if doc.name == "" {
			continue
		}
		for kind := range m.q.Questions.Templates {
			for i := range doc.Sections {
				if ps := prefers[kind]; len(ps) > 0 && doc.Sections[i].LOINC == ps[0].LOINC {
					m.of[kind] = append(m.of[kind], at{d, i, weight})
				}
			}
		}
	}
	if len(m.sections) == 0 {
		return fmt.Errorf("no documents are published to train on")
	}
	for _, k := range m.q.Questions.Kinds {
		if len(m.of[k.Value]) > 0 && k.Weight > 0 {
			m.kinds = append(m.kinds, k)
		}
	}
	if len(m.kinds) == 0 { // nothing is known of what is asked: everything alike
		for _, k := range slices.Sorted(keys(m.of)) {
			m.kinds = append(m.kinds, trainer.Share{Value: k, Weight: 1})
		}
	}
	return nil
}

// epoch of so many made-up questions, and each section's own heading and words.
func (m *maker) epoch(n int) []pair {
	var out []pair
	total := 0.0
	for _, k := range m.kinds {
		total += k.Weight
	}
	for _, k := range m.kinds {
		var texts []string
		for _, t := range m.q.Questions.Templates[k.Value] {
			if !t.HeldOut {
				texts = append(texts, t.Text)
			}
		}
		if len(texts) == 0 {
			continue
		}
		for range int(float64(n)*k.Weight/total + 0.5) {
			a := m.draw(m.of[k.Value])
			q := strings.ReplaceAll(texts[m.rng.IntN(len(texts))], "{medicine}", m.docs[a.doc].name)
			out = m.add(out, q, m.part(a), a)
		}
	}
	for _, a := range m.sections {
		s := &m.docs[a.doc].Sections[a.section]
		out = m.add(out, m.docs[a.doc].name+" "+s.Title, m.part(a), a)
	}
	m.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (m *maker) add(out []pair, left, right string, a at) []pair {
	l, r := contrast.BagOf(m.model.Encode(left)), contrast.BagOf(m.model.Encode(right))
	if len(l.IDs) == 0 || len(r.IDs) == 0 {
		return out
	}
	return append(out, pair{l, r, fmt.Sprint(a.doc, " ", a.section)})
}

// draw one, by weight.
func (m *maker) draw(of []at) at {
	total := 0.0
	for _, a := range of {
		total += a.weight
	}
	x := m.rng.Float64() * total
	for _, a := range of {
		if x -= a.weight; x < 0 {
			return a
		}
	}
	return of[len(of)-1]
}

// part of a section, with its heading.
func (m *maker) part(a at) string {
	d := &m.docs[a.doc]
	w := strings.Fields(d.Sections[a.section].Text)
	if len(w) > sectionWords {
		from := m.rng.IntN(len(w) - sectionWords + 1)
		w = w[from : from+sectionWords]
	}
	return d.Title + ": " + d.Sections[a.section].Title + "\n" + strings.Join(w, " ")
}
