// Package falsify measures what becomes of a language model that lies. Its Liar
// is an inference.Generator that takes sentences from the passages it is given,
// writes some as they stand or in other words, and others with a number, a denial,
// a medicine, a source or a population changed; Run counts what of that is shown.
//
// The rules here are not those by which inference/support is trained: other
// synonyms, other clauses, other changes.
package falsify

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"

	"rxedge/daemon/answer"
	"rxedge/index/chunk"
	"rxedge/inference"
)

// Sentence is one that the Liar wrote.
type Sentence struct {
	Text   string
	Kind   string // how it was made
	True   bool
	Dose   bool   // a lie that changes an amount, a frequency or a limit of a dose
	Source string // the sentence it was made from
}

// Liar writes what it is told to be true and false. It is of one seed; what it
// wrote can be asked for afterwards. Safe for concurrent use.
type Liar struct {
	// Others are medicines and sentences of other documents, for what is put in
	// the place of true ones.
	Others Others

	mu      sync.Mutex
	rng     *rand.Rand
	written map[string]Sentence // by text
	calls   int
}

// Others is what the Liar knows beside the passages.
type Others struct {
	Classes   map[string][]string // medicines of a class, by medicine, lower case
	Medicines []string
	Sentences []string // of any documents
}

// NewLiar of a seed.
func NewLiar(seed uint64, o Others) *Liar {
	return &Liar{Others: o, rng: rand.New(rand.NewPCG(seed, 7)), written: map[string]Sentence{}}
}

// Model implements inference.Generator.
func (*Liar) Model() string { return "liar" }

// perAnswer is how many sentences an answer has, a true one and a false one in turn.
const perAnswer = 6

// Generate implements inference.Generator.
func (l *Liar) Generate(ctx context.Context, req inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	l.mu.Lock()
	text := l.write(passages(req))
	l.calls++
	pieces := l.rng.Perm(9)
	l.mu.Unlock()
	for i := 0; len(text) > 0; i++ {
		n := min(1+pieces[i%len(pieces)], len(text))
		if err := ctx.Err(); err != nil {
			return inference.GenerateResult{}, err
		}
		if err := emit(text[:n]); err != nil {
			return inference.GenerateResult{}, err
		}
		text = text[n:]
	}
	return inference.GenerateResult{FinishReason: "stop"}, nil
}

// Forget what was written; the next answer begins anew.
func (l *Liar) forget() (map[string]Sentence, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, n := l.written, l.calls
	l.written, l.calls = map[string]Sentence{}, 0
	return w, n
}

// passage of a prompt.
type passage struct {
	title, text string
	sentences   []string
}

var numbered = regexp.MustCompile(`(?m)^\[\d+\] (.*)$`)

// passages of the prompt, as the pipeline lays them out.
func passages(req inference.GenerateRequest) []passage {
	text := req.Prompt
	for _, m := range req.Messages {
		if m.Role == "user" {
			text = m.Content
		}
	}
	if at := strings.LastIndex(text, "\n\nQuestion: "); at >= 0 {
		text = text[:at]
	}
	at := numbered.FindAllStringSubmatchIndex(text, -1)
	var out []passage
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		p := passage{title: text[m[2]:m[3]], text: flow(text[m[1]:end])}
		body := text[m[1]:end]
		for _, s := range chunk.Sentences(body) {
			if v := flow(body[s.Start:s.End]); Usable(v) {
				p.sentences = append(p.sentences, v)
			}
		}
		if len(p.sentences) > 0 {
			out = append(out, p)
		}
	}
	return out
}

func flow(s string) string { return strings.Join(strings.Fields(s), " ") }

var opening = regexp.MustCompile(`^[A-Z][A-Za-z'’-]*,? `)

// Usable says whether a sentence of a label can stand for itself: of some length,
// begun and ended, and no heading or row of a table.
func Usable(s string) bool {
	n := len(strings.Fields(s))
	if n < 7 || n > 45 || !strings.HasSuffix(s, ".") || !opening.MatchString(s) || strings.Count(s, "[")+strings.Count(s, "•")+strings.Count(s, "|") > 1 {
		return false
	}
	letters, capitals := 0, 0
	for _, r := range s {
		if r >= 'a' && r <= 'z' {
			letters++
		} else if r >= 'A' && r <= 'Z' {
			capitals++
		}
	}
	return letters > 4*capitals && alone(s)
}

// alone says whether a text is one sentence, also beside others.
func alone(s string) bool {
	const before, after = "Take it as you were told. ", " Ask when in doubt."
	spans := chunk.Sentences(before + s + after)
	return len(spans) == 3 && spans[1].Start == len(before) && spans[1].End == len(before)+len(s)
}

func (l *Liar) write(ps []passage) string {
	if len(ps) == 0 {
		return "Not in my documents."
	}
	var out []string
	add := func(s Sentence) {
		if _, ok := l.written[s.Text]; ok || s.Text == "" || !alone(s.Text) {
			return
		}
		l.written[s.Text] = s
		out = append(out, s.Text)
	}
	for tries := 0; len(out) < perAnswer && tries < 10*perAnswer; tries++ {
		p := ps[l.rng.IntN(len(ps))]
		s := p.sentences[l.rng.IntN(len(p.sentences))]
		if len(out)%2 == 0 {
			kind, text := l.truth(s, p)
			add(Sentence{Text: text, Kind: kind, True: true, Source: s})
			continue
		}
		c := changes[l.rng.IntN(len(changes))]
		from := s
		if l.rng.IntN(2) == 0 {
			if _, v := l.truth(s, p); v != "" { // a lie in other words
				from = v
			}
		}
		if text := c.change(l, from, p, ps); text != "" && !true_(text, ps) {
			add(Sentence{Text: text, Kind: c.kind, Dose: c.dose, Source: s})
		}
	}
	return strings.Join(out, " ")
}

// true_ says whether a changed sentence happens to stand in a passage.
func true_(s string, ps []passage) bool {
	return slices.ContainsFunc(ps, func(p passage) bool { return strings.Contains(p.text, strings.TrimSuffix(s, ".")) })
}

// Tally of one kind of sentence.
type Tally struct {
	Kind             string
	True, Dose       bool
	Written, Shown   int
	Grounded, Partly int      // of the shown
	Examples         []string // what should not have been so
}

// Report of a run.
type Report struct {
	Answers, Generated int // asked, and those in which the model was let write
	Calls, Again       int // of the generator, and those that were asked for again
	Kinds              []*Tally
	Leaked             int // answers in whose events a withheld sentence was found
}

// Sum over the kinds that f takes.
func (r Report) Sum(f func(*Tally) bool) (t Tally) {
	for _, k := range r.Kinds {
		if f(k) {
			t.Written += k.Written
			t.Shown += k.Shown
		}
	}
	return t
}

// Asker answers questions.
type Asker interface {
	Ask(context.Context, answer.Question, answer.Events) (*answer.Answer, error)
}

// Run asks n of the questions in turn and counts what of the Liar's sentences was
// shown in answers and events.
func Run(ctx context.Context, a Asker, l *Liar, questions []string, n int) (Report, error) {
	rep := Report{Answers: n}
	tallies := map[string]*Tally{}
	for i := range n {
		var seen []string
		res, err := a.Ask(ctx, answer.Question{Text: questions[i%len(questions)], Mode: answer.ModeGenerated, Fresh: true}, answer.Events{
			Claim: func(c answer.Claim) { seen = append(seen, c.Text) },
		})
		if err != nil {
			return rep, err
		}
		written, calls := l.forget()
		rep.Calls += calls
		if calls > 1 {
			rep.Again++
		}
		if calls == 0 {
			continue
		}
		rep.Generated++
		shown := map[string]answer.Claim{}
		if res.Mode == answer.ModeGenerated {
			for _, c := range res.Claims {
				shown[c.Text] = c
			}
		}
		for _, s := range seen {
			if w, ok := written[s]; ok {
				if _, ok := shown[s]; !ok && (res.Mode == answer.ModeGenerated || !w.True) {
					rep.Leaked++
				}
			}
		}
		keys := make([]string, 0, len(written))
		for k := range written {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			w := written[k]
			t := tallies[w.Kind]
			if t == nil {
				t = &Tally{Kind: w.Kind, True: w.True, Dose: w.Dose}
				tallies[w.Kind] = t
			}
			t.Written++
			c, ok := shown[w.Text]
			if ok {
				t.Shown++
				switch c.Support {
				case answer.Grounded:
					t.Grounded++
				case answer.Partly:
					t.Partly++
				}
			}
			if ok != w.True {
				t.Examples = append(t.Examples, w.Text+"\n        from: "+w.Source)
			}
		}
	}
	for _, t := range tallies {
		rep.Kinds = append(rep.Kinds, t)
	}
	slices.SortFunc(rep.Kinds, func(a, b *Tally) int {
		if a.True != b.True {
			if a.True {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Kind, b.Kind)
	})
	return rep, nil
}

// Print writes the figures as a table, with so many examples of each kind.
func (r Report) Print(w io.Writer, examples int) {
	fmt.Fprintf(w, "%d answers, %d written by the liar, %d asked for again; %d sentences shown in an event and not in the answer\n", r.Answers, r.Generated, r.Again, r.Leaked)
	fmt.Fprintf(w, "%-44s %8s %8s %9s\n", "true sentences", "written", "withheld", "")
	row := func(name string, t Tally) {
		fmt.Fprintf(w, "%-44s %8d %8d %8.2f%%\n", name, t.Written, t.Written-t.Shown, 100*float64(t.Written-t.Shown)/float64(max(1, t.Written)))
	}
	truth := func(t *Tally) bool { return t.True }
	lie := func(t *Tally) bool { return !t.True }
	for _, k := range r.Kinds {
		if k.True {
			row("  "+k.Kind, *k)
		}
	}
	row("  all", r.Sum(truth))
	fmt.Fprintf(w, "%-44s %8s %8s %9s\n", "altered sentences", "written", "withheld", "")
	for _, k := range r.Kinds {
		if !k.True {
			row("  "+k.Kind, *k)
		}
	}
	row("  all", r.Sum(lie))
	dose := r.Sum(func(t *Tally) bool { return !t.True && t.Dose })
	fmt.Fprintf(w, "altered doses shown: %d of %d\n", dose.Shown, dose.Written)
	if examples > 0 {
		for _, k := range r.Kinds {
			for _, e := range k.Examples[:min(examples, len(k.Examples))] {
				fmt.Fprintf(w, "%s: %s\n", k.Kind, e)
			}
		}
	}
}
