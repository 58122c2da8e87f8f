package alignment

import (
	"math"
	"strings"

	"rxedge/inference/quantity"
)

// Words is how the words of a collection are seen.
type Words interface {
	// Stem of a lower-case word, "" for one that is left out.
	Stem(word string) string
	// Weight of a stem: its inverse document frequency.
	Weight(stem string) float64
}

// Name is a place in a text that names a medicine.
type Name struct {
	Start, End int
	Medicine   string // the same for all its names
}

// kind of a token by what may stand in its place: of one kind only one can be true
// at a place.
type kind string

const (
	plain     kind = ""
	number    kind = "number"
	medicine  kind = "medicine"
	denial    kind = "denial"
	condition kind = "condition" // unless, except, only
)

// rivals are words that exclude one another in the same place, after Canonical.
// Those of a line that are joined by / say the same.
var rivals = func() map[string][2]string {
	m := map[string][2]string{}
	for _, line := range strings.Split(strings.TrimSpace(`
limit greater/more/above/exceed/exceeds/higher less/fewer/below least most/up maximum minimum
age older younger
time before/prior following/after until within
count once twice three/thrice four single multiple/several double
period daily/day weekly/week monthly/month hourly/hour/hours yearly/annually/year
part morning evening bedtime/night noon
direction increase/increases/increased/increasing decrease/decreases/decreased/decreasing
effect worsen/worsens/worsening improve/improves/improvement/improved
degree mild moderate severe
course acute chronic
often rare/rarely/uncommon/infrequent common/commonly/frequent/frequently
size larger/bigger smaller
height high low
action inhibitor/inhibitors/inhibit/inhibits inducer/inducers/induce/induces
binding agonist/agonists antagonist/antagonists
way orally/oral intravenously/intravenous subcutaneously/subcutaneous intramuscularly/intramuscular topical/topically rectal/rectally
stay initiate/initiated/initiation/initiating continue/continued/continuing discontinue/discontinued/discontinuing/discontinuation
leave recommended/indicated contraindicated
people adults/adult children/pediatric elderly infants neonates
sex men/male/males women/female/females
pressure hypertension hypotension
sugar hyperglycemia hypoglycemia
potassium hyperkalemia hypokalemia
sodium hypernatremia hyponatremia
rate tachycardia bradycardia
bowel diarrhea constipation
side left right
order first second third last
help safe unsafe/dangerous/harmful
organ renal hepatic cardiac pulmonary
importance major minor`), "\n") {
		fields := strings.Fields(line)
		for _, group := range fields[1:] {
			ways := strings.Split(group, "/")
			for _, w := range ways {
				m[w] = [2]string{fields[0], ways[0]}
			}
		}
	}
	return m
}()

// once kinds are said no oftener than the text says them.
var once = map[kind]bool{number: true, denial: true, "limit": true, "count": true, "period": true, "part": true}

var (
	denials    = set("not no never cannot neither nor none without non")
	conditions = set("unless except only")
	// function words have no place of their own.
	function = set(`a an the and or but of in on at by for with from to into onto as is are was were be been being am it its this that these those there which who
whom whose what when where while if because since so such than then do does did doing done has had have having may might can could will would shall should must
also both each either any all some other others another however therefore thus during about per via through between among whether how why both they them their he she his her we our you your
mg mcg ml`)
	joints = set("and but or which who that because if when while whereas so then unless although though since as with including such whether")
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

type token struct {
	stem     string
	kind     kind
	number   quantity.Number
	weight   float64
	joint    bool // something stands before it that may join two statements
	sentence int
}

// Text is a text cut for comparing.
type Text struct {
	tokens []token
	places map[string][]int // by stem, of all but numbers
}

// Read cuts a text that is canonical. names are its medicines.
func Read(s string, w Words, names []Name) *Text {
	t := &Text{places: map[string][]int{}}
	ns := quantity.Numbers(s)
	sentence, joint := 0, true
	next, named := 0, 0
	add := func(k token) {
		k.joint, k.sentence = joint, sentence
		if k.kind != number {
			t.places[k.stem] = append(t.places[k.stem], len(t.tokens))
		}
		t.tokens = append(t.tokens, k)
		joint = false
	}
	for i := 0; i < len(s); {
		for next < len(ns) && ns[next].Start < i {
			next++
		}
		for named < len(names) && names[named].Start < i {
			named++
		}
		if next < len(ns) && ns[next].Start == i {
			add(token{kind: number, number: ns[next]})
			i = max(i+1, ns[next].UnitEnd)
			next++
			continue
		}
		if named < len(names) && names[named].Start == i && names[named].End > i {
			stem := w.Stem(strings.ToLower(names[named].Medicine))
			add(token{stem: "medicine " + names[named].Medicine, kind: medicine, weight: w.Weight(stem)})
			i = names[named].End
			named++
			continue
		}
		c := s[i]
		if !wordByte(c) {
			switch c {
			case ',', ';', ':', '(', ')', '[', ']':
				joint = true
			case '.', '?', '!':
				if i+1 == len(s) || s[i+1] == ' ' {
					sentence, joint = sentence+1, true
				}
			}
			i++
			continue
		}
		j := i
		for j < len(s) && (wordByte(s[j]) || s[j] == '\'' && j+1 < len(s) && wordByte(s[j+1])) && (j == i || next >= len(ns) || j < ns[next].Start) {
			j++
		}
		word := strings.ToLower(s[i:j])
		i = j
		word = strings.TrimSuffix(word, "'s")
		switch {
		case strings.HasSuffix(word, "n't"):
			add(token{stem: "not", kind: denial})
		case denials[word]:
			stem := "not"
			if word == "without" || word == "non" {
				stem = word
			}
			add(token{stem: stem, kind: denial})
		case conditions[word]:
			add(token{stem: word, kind: condition})
			joint = word == "unless"
		default:
			if r, ok := rivals[word]; ok {
				add(token{stem: r[1], kind: kind(r[0]), weight: w.Weight(w.Stem(word))})
				continue
			}
			if joints[word] {
				joint = true
			}
			if function[word] {
				continue
			}
			if stem := w.Stem(word); stem != "" {
				add(token{stem: stem, weight: w.Weight(stem)})
			}
		}
	}
	return t
}

// Result of a comparison.
type Result struct {
	// Share of the claim's words, by weight, that the window or its heading has;
	// those of which one excludes another are left out.
	Share float64
	// Heaviest weight of a word that neither has.
	Heaviest float64
	// Missing words, how many.
	Missing int
	// Conflict names what was put in another's place; "" where nothing was.
	Conflict string
}

// Compare a claim with a window of a text and its heading (may be nil). own is the
// medicine that the text is about, "" where it is none.
func Compare(claim, window, heading *Text) Result {
	var r Result
	have, all := 0.0, 0.0
	counted := map[string]bool{}
	for _, k := range claim.tokens {
		if k.kind != plain && k.kind != medicine || counted[k.stem] {
			continue
		}
		counted[k.stem] = true
		all += k.weight
		switch {
		case window.places[k.stem] != nil, heading != nil && heading.places[k.stem] != nil:
			have += k.weight
		default:
			r.Missing++
			r.Heaviest = max(r.Heaviest, k.weight)
		}
	}
	if all > 0 {
		r.Share = have / all
	}
	r.Conflict = conflict(claim, window, heading)
	return r
}

func conflict(claim, window, heading *Text) string {
	for i, k := range claim.tokens {
		if k.kind == plain {
			continue
		}
		own := window.same(k)
		switch {
		case len(own) == 0:
			if k.kind == medicine && heading != nil && heading.places[k.stem] != nil {
				break // the text calls it "it", or leaves it out
			}
			if k.kind == number || k.kind == denial || k.kind == condition || heading == nil || heading.places[k.stem] == nil || len(window.rivals(k)) > 0 {
				return string(k.kind)
			}
			continue
		case once[k.kind] && len(claim.same(k)) > len(own):
			return string(k.kind) + " said twice"
		}
		here, wide := fit{left: capSide, right: capSide}, 0.0
		for _, j := range own {
			if f := fits(claim, i, window, j); f.cost() < here.cost() {
				here = f
			}
			wide = max(wide, around(claim, i, window, j))
		}
		for _, j := range window.rivals(k) {
			f := fits(claim, i, window, j)
			switch {
			// Where the words close by are the same for both, those further off tell.
			case k.kind == number && f.cost() <= here.cost()+margin && around(claim, i, window, j) > wide+clearly:
				return "number of something else"
			// Where something was left out on one side, the other still fits.
			case here.exact() && f.cost() > 0:
			case f.cost()+margin < here.cost() && (f.cost() <= sure || min(f.left, f.right) <= beside):
				return string(k.kind) + " of something else"
			}
		}
		if (k.kind == denial || k.kind == condition) && here.cost() > loose {
			return string(k.kind) + " of something else"
		}
	}
	if k := dropped(claim, window); k != "" {
		return k
	}
	if spliced(claim, window) {
		return "spliced"
	}
	if widened(claim, window) {
		return "people left out"
	}
	return ""
}

// widened says whether a claim states an amount without the people that the text
// gives it to: children's doses are no one else's.
func widened(claim, window *Text) bool {
	amount := false
	for _, k := range claim.tokens {
		switch {
		case k.kind == "people" || k.kind == "age", k.kind == number && (k.number.Unit == "year" || k.number.Unit == "month"):
			return false
		case k.kind == number && k.number.Unit != "" && k.number.Unit != "%":
			amount = true
		}
	}
	if !amount || window.places["adults"] != nil {
		return false
	}
	for _, p := range []string{"children", "infants", "neonates", "elderly"} {
		if window.places[p] != nil {
			return true
		}
	}
	return false
}

const (
	capSide = 6.0 // what one side can cost
	margin  = 0.5 // by which another's place fits better
	sure    = 4.0 // what a rival's place may cost at most
	beside  = 1.0 // or on one side
	clearly = 1.5 // by how many words further off
	loose   = 7.0 // what a denial's place may cost at most
	nearby  = 4   // tokens on each side in which something to hold on to is looked for
)

// same gives the places of the text where the token stands.
func (t *Text) same(k token) []int {
	if k.kind != number {
		return t.places[k.stem]
	}
	var out []int
	for j := range t.tokens {
		if t.tokens[j].kind == number && quantity.Same(k.number, t.tokens[j].number) {
			out = append(out, j)
		}
	}
	return out
}

// rivals gives the places of what could stand in the token's place.
func (t *Text) rivals(k token) []int {
	var out []int
	for j, o := range t.tokens {
		if o.kind != k.kind || k.kind == denial || k.kind == condition {
			continue
		}
		if k.kind == number {
			if o.number.Unit == k.number.Unit && !quantity.Same(k.number, o.number) {
				out = append(out, j)
			}
		} else if o.stem != k.stem {
			out = append(out, j)
		}
	}
	return out
}

// fit of place j of the window for place i of the claim: how far the words that
// stand around i stand from j, on the same side of it; less than 0 where there is
// nothing to go by.
type fit struct{ left, right float64 }

func (f fit) cost() float64 { return max(0, f.left) + max(0, f.right) }
func (f fit) exact() bool   { return f.left == 0 || f.right == 0 }

func fits(claim *Text, i int, window *Text, j int) fit {
	return fit{reach(claim, i, window, j, -1), reach(claim, i, window, j, 1)}
}

func reach(claim *Text, i int, window *Text, j, side int) float64 {
	for d := 1; d <= nearby; d++ {
		a := i + side*d
		if a < 0 || a >= len(claim.tokens) {
			break
		}
		at := window.same(claim.tokens[a])
		if len(at) == 0 {
			continue
		}
		best := capSide
		for _, p := range at {
			if off := side * (p - j); off > 0 {
				best = math.Min(best, math.Abs(float64(off-d)))
			}
		}
		return best
	}
	return -1
}

// around counts the words of the claim, up to ten on each side of place i, that
// stand about as far from place j of the window on the same side.
func around(claim *Text, i int, window *Text, j int) (n float64) {
	for a := max(0, i-10); a < min(len(claim.tokens), i+11); a++ {
		if a == i || claim.tokens[a].kind == number {
			continue
		}
		for _, p := range window.same(claim.tokens[a]) {
			if d := (p - j) - (a - i); (p < j) == (a < i) && p != j && d >= -2 && d <= 2 {
				n++
				break
			}
		}
	}
	return n
}

// dropped finds a denial or a condition of the window that the claim says nothing
// of, though it says the word that it is said of.
func dropped(claim, window *Text) string {
	for j, k := range window.tokens {
		if k.kind != denial && k.kind != condition && k.stem != "contraindicated" && k.stem != "avoid" {
			continue
		}
		n := j + 1
		if n >= len(window.tokens) || window.tokens[n].sentence != k.sentence {
			continue
		}
		at := claim.same(window.tokens[n])
		if len(at) == 0 {
			continue
		}
		// The same word may stand elsewhere in the window without it.
		free, said := false, false
		for _, m := range window.same(window.tokens[n]) {
			free = free || m != n && !near(window, k, m)
		}
		for _, i := range at {
			if near(claim, k, i) {
				said = true
			} else if place(claim, i, window) == n {
				return string(k.kind) + " left out"
			}
		}
		if !free && !said {
			return string(k.kind) + " left out"
		}
	}
	return ""
}

// near says whether the token stands a little before place i.
func near(t *Text, k token, i int) bool {
	for d := 1; d <= 3 && i-d >= 0; d++ {
		if t.tokens[i-d].kind == k.kind && t.tokens[i-d].stem == k.stem {
			return true
		}
	}
	return false
}

// place of the window that fits place i of the claim best.
func place(claim *Text, i int, window *Text) int {
	best, at := math.Inf(1), -1
	for _, j := range window.same(claim.tokens[i]) {
		if f := fits(claim, i, window, j); f.cost() < best {
			best, at = f.cost(), j
		}
	}
	return at
}

// spliced says whether two words that nothing joins in the claim stand in no one
// sentence of the window.
func spliced(claim, window *Text) bool {
	last, joint := -1, false
	for i, b := range claim.tokens {
		joint = joint || b.joint
		if b.kind == medicine { // what the next sentence calls "it"
			continue
		}
		bs := window.same(b)
		if len(bs) == 0 {
			continue
		}
		if last >= 0 && !joint {
			together := false
			for _, x := range window.same(claim.tokens[last]) {
				for _, y := range bs {
					together = together || window.tokens[x].sentence == window.tokens[y].sentence
				}
			}
			if !together {
				return true
			}
		}
		last, joint = i, false
	}
	return false
}
