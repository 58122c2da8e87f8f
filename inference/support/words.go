package support

import (
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"

	"rxedge/inference/quantity"
)

// word is a content word of a text: no stop word, no number, no unit.
type word struct {
	stem    string
	weight  float64 // inverse document frequency
	negated bool    // within reach of a negation
	drug    bool    // formed as names of medicines are
	at      int     // bytes into the text
}

// text is a text as the features see it.
type text struct {
	words   []word
	has     map[string]int // stem → number of occurrences
	stems   []string       // each once, as they come: sums are the same every time
	weight  float64        // of all words together
	numbers []quantity.Number
	bounds  []quantity.Bound
	negs    int // negations
	forbids int // words that forbid: contraindicated, avoid, stop
	up      int // words of more and of less
	down    int
	// heads are the words that negations are said of: the first after each.
	heads []string
	// marks are the words of more and of less, at what place among the words.
	marks []mark
	// short are abbreviations in capitals: ACE, NETs.
	short       []string
	finds, aims int // words that report a finding, and an aim or a doubt
	raw         string
	// seam is where the second of two sentences begins; 0: there is one, or it is not known.
	seam int
	// groups counts words of which only one of a group can be true: once, twice.
	groups map[string]int
}

// mark is a word of more (+1) or less (−1), turned round where it is denied.
type mark struct {
	at   int
	turn float64
}

// findings and aims: "we tested whether X raises Y" does not say that X raises Y.
var (
	findings = set(`conclusion conclusions conclude concluded results show shows showed shown suggest suggests demonstrate demonstrates demonstrated
find found finding findings indicate indicates indicated reveal reveals revealed identify identified associated significant significantly
compared report thus therefore evidence confirm confirmed observed resulted provide provides`)
	aims = set(`whether aim aims aimed objective objectives purpose hypothesis hypothesized hypothesised hypothesize investigate investigated examine examined
evaluate evaluated assess assessed determine determined sought unknown unclear background methods design study studied measured tested
randomized randomised randomly included participants using remains poorly methods explore explored analysed analyzed setting`)
)

var stop = set(`a an the and or but if of in on at by for with from to into onto as is are was were be been being am
it its this that these those there here which who whom whose what when where while why how than then so such
do does did doing done has have had having may might can could will would shall should must also both each either
we our us you your they their them he she his her i me my one any some all most more less other others another
about after before during between among over under above below up down out through per via within not no nor
very too only just same own because until again further once twice
use used using show shown shows found suggest result results conclusion conclusions background methods objective`)

// negations are words that deny what follows them.
var negations = set(`not no never without cannot neither nor none fail fails failed failing
unable unlikely nothing hardly`)

// forbids deny by themselves.
var forbids = set(`avoid avoided avoids avoiding contraindicated contraindication contraindications prohibited forbidden unsafe
discontinue discontinued discontinuing discontinuation stop stopped stopping withhold withheld withdraw inappropriate`)

// adverbs and the like stand between a negation and what it is said of.
var between = set(`be been being have has had been significantly usually generally always necessarily routinely clearly
a an the any all to in of for is are was were that it they this also more further yet other been`)

// directions are words of more (+1) and of less (−1), by stem.
var directions = func() map[string]int {
	m := map[string]int{}
	for dir, words := range map[int]string{
		1: `increase increases increased increasing higher high greater more raise raises raised elevate elevated elevation enhance enhanced
enhances enhancement improve improves improved improvement promote promotes promoted stimulate stimulates activate activates activation
activated induce induces induced upregulate upregulated gain larger longer faster stronger accelerate maximum most above over exceed exceeds
positive positively worsen older up augment facilitate`,
		-1: `decrease decreases decreased decreasing lower low less fewer reduce reduces reduced reduction inhibit inhibits inhibited inhibition
suppress suppresses suppressed suppression block blocks blocked prevent prevents prevented impair impairs impaired downregulate
downregulated loss smaller shorter slower weaker attenuate attenuates attenuated repress represses delay delayed minimum least below under
negative negatively deficiency deficient younger down diminish diminished decline abolish abrogate protect protects protective inactivate`,
	} {
		for _, w := range strings.Fields(words) {
			m[w] = dir
		}
	}
	return m
}()

// exclusive are groups of words of which one excludes the others, where they say
// how often, when or how much. By value.
var exclusive = func() map[string]string {
	m := map[string]string{}
	for _, g := range []string{
		"once twice thrice", "daily weekly monthly hourly yearly annually", "before after", "maximum minimum", "above below", "most least",
		"morning evening bedtime", "increase decrease", "oral intravenous intramuscular subcutaneous topical rectal intrathecal", "mild moderate severe",
		"higher lower", "hyperkalemia hypokalemia", "hypertension hypotension", "hyperglycemia hypoglycemia", "bradycardia tachycardia", "diarrhea constipation",
	} {
		ws := strings.Fields(g)
		for _, w := range ws {
			m[w] = ws[0]
		}
	}
	return m
}()

// spellings of words in exclusive groups, and of how often.
var spellings = map[string]string{
	"orally": "oral", "mouth": "oral", "po": "oral", "intravenously": "intravenous", "iv": "intravenous", "im": "intramuscular", "intramuscularly": "intramuscular",
	"subcutaneously": "subcutaneous", "sc": "subcutaneous", "sq": "subcutaneous", "topically": "topical", "qd": "once", "bid": "twice", "tid": "thrice",
	"increases": "increase", "increased": "increase", "increasing": "increase", "decreases": "decrease", "decreased": "decrease", "decreasing": "decrease",
	"reduce": "decrease", "reduced": "decrease", "reduces": "decrease", "reduction": "decrease", "maximal": "maximum", "minimal": "minimum",
	"prior": "before", "following": "after", "over": "above", "under": "below", "greater": "higher", "less": "lower",
}

// stems of International Nonproprietary Names (WHO, 2024), by how a name ends;
// only those that other words do not end in.
var drugEndings = strings.Fields(`pril sartan olol statin azole mycin micin cillin floxacin cycline prazole tidine dipine gliptin gliflozin glitazone formin
mab nib ciclovir tinavir gravir buvir asvir parin xaban gatran azepam zolam barbital caine triptan setron profen coxib dronate fibrate thiazide semide lukast
terol sone solone asone oxetine triptyline peridol apine idone platin rubicin taxel trexate phylline afil losin zosin giline farin goxin
penem bactam fungin conazole dronarone grel lutamide poetin gliptine tropium azosin zepam codone morphone fentanil tadine terfenadine amide`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

func stem(w string) string {
	for i := 0; i < len(w); i++ {
		if w[i] < 'a' || w[i] > 'z' {
			return w
		}
	}
	env := snowballstem.NewEnv(w)
	english.Stem(env)
	return env.Current()
}

func drugLike(w string) bool {
	if len(w) < 6 || w == "amide" {
		return false
	}
	for _, e := range drugEndings {
		if strings.HasSuffix(w, e) && len(w) > len(e)+1 {
			return true
		}
	}
	return strings.HasPrefix(w, "cef") || strings.HasPrefix(w, "ceph")
}

// reach of a negation in content words, where nothing ends it before.
const reach = 4

// spoken are ways to say how often that quantity would take for numbers.
var spoken = strings.NewReplacer("two times", "twice", "2 times", "twice", "three times", "thrice", "3 times", "thrice", "one time", "once",
	"Two times", "twice", "Three times", "thrice")

// analyse cuts a text into content words, numbers and what is denied.
func (m *Model) analyse(s string) *text {
	if strings.Contains(s, " time") {
		s = spoken.Replace(s)
	}
	t := &text{raw: s, has: map[string]int{}, groups: map[string]int{}, numbers: quantity.Numbers(s)}
	t.numbers = slices.DeleteFunc(t.numbers, func(n quantity.Number) bool { return n.Unit == "" && ofName(s, n.Start) })
	if len(t.numbers) > 0 {
		t.bounds = quantity.Bounds(s)
	}
	number := 0 // of t.numbers, the next
	left, head := 0, false
	for i := 0; i < len(s); {
		for number < len(t.numbers) && i >= t.numbers[number].UnitEnd {
			number++
		}
		if number < len(t.numbers) && i >= t.numbers[number].Start {
			i = max(i+1, t.numbers[number].UnitEnd)
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			if r == '.' || r == ';' || r == ':' || r == '(' || r == ')' || r == ',' && left < reach-1 {
				left, head = 0, false
			}
			i += size
			continue
		}
		j := i + size
		for j < len(s) {
			r, n := utf8.DecodeRuneInString(s[j:])
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !((r == '\'' || r == '’') && j+n < len(s)) {
				break
			}
			j += n
		}
		w := strings.ToLower(strings.ReplaceAll(s[i:j], "’", "'"))
		at := i
		i = j
		if strings.HasSuffix(w, "n't") {
			t.negs++
			left, head = reach, true
			continue
		}
		w = strings.TrimSuffix(w, "'s")
		w = strings.Trim(w, "'")
		if d := directions[w]; d != 0 {
			if d > 0 {
				t.up++
			} else {
				t.down++
			}
			turn := float64(d)
			if left > 0 {
				turn = -turn
			}
			t.marks = append(t.marks, mark{len(t.words), turn})
		}
		switch {
		case findings[w]:
			t.finds++
		case aims[w]:
			t.aims++
		}
		if a := abbreviation(s[at:j]); a != "" {
			t.short = append(t.short, a)
		}
		g := w
		if c, ok := spellings[g]; ok {
			g = c
		}
		if _, ok := exclusive[g]; ok {
			t.groups[g]++
		}
		switch {
		case negations[w]:
			t.negs++
			left, head = reach, true
			continue
		case w == "but" || w == "unless" || w == "except":
			left, head = 0, false
			continue
		case forbids[w]:
			t.forbids++
		}
		if w == "" || stop[w] {
			continue
		}
		c := word{stem: stem(w), drug: drugLike(w), at: at}
		c.weight = m.Words.weight(c.stem)
		if left > 0 {
			c.negated = true
			if head && !between[w] && !strings.HasSuffix(w, "ly") {
				t.heads, head = append(t.heads, c.stem), false
			}
			left--
		}
		t.words = append(t.words, c)
		if t.has[c.stem] == 0 {
			t.stems = append(t.stems, c.stem)
			t.weight += c.weight
		}
		t.has[c.stem]++
	}
	return t
}

// abbreviation gives a word of two to six capitals in lower case, an s of the
// plural left out; "" where it is none.
func abbreviation(w string) string {
	w = strings.TrimSuffix(w, "s")
	if len(w) < 2 || len(w) > 6 {
		return ""
	}
	for i := 0; i < len(w); i++ {
		if w[i] < 'A' || w[i] > 'Z' {
			return ""
		}
	}
	return strings.ToLower(w)
}

// Words holds inverse document frequencies by a hash of the stem.
type Words struct {
	Hashes []uint32 // sorted
	Values []byte   // idf in sixteenths
	Other  float64  // of a stem that is not there
}

func (f *Words) weight(stem string) float64 {
	h := hash(stem)
	lo, hi := 0, len(f.Hashes)
	for lo < hi {
		mid := (lo + hi) / 2
		if f.Hashes[mid] < h {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(f.Hashes) && f.Hashes[lo] == h {
		return float64(f.Values[lo]) / 16
	}
	return f.Other
}

// ofName says whether the number at a place is the end of a name: HIV-1.
func ofName(s string, at int) bool {
	if at < 2 || s[at-1] != '-' {
		return false
	}
	r, _ := utf8.DecodeLastRuneInString(s[:at-1])
	return unicode.IsLetter(r)
}

// hash is 32-bit FNV-1a.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

func near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-9*math.Max(1, math.Max(math.Abs(a), math.Abs(b)))
}

// Terms are the stems of a text's content words, in order, for counting how
// often they occur.
func (m *Model) Terms(s string) []string {
	t := m.analyse(s)
	out := make([]string, len(t.words))
	for i, w := range t.words {
		out[i] = w.stem
	}
	return out
}

// NewWords makes the weights ln(1 + (n − df + ½)/(df + ½)) of stems found in df
// of n texts; those in fewer than least share the weight of a stem in one.
func NewWords(n int, df map[string]int, least int) Words {
	weight := func(df int) float64 {
		return math.Log(1 + (float64(n)-float64(df)+0.5)/(float64(df)+0.5))
	}
	most := map[uint32]int{} // of stems of the same hash the most frequent counts
	for s, k := range df {
		if k >= least {
			h := hash(s)
			most[h] = max(most[h], k)
		}
	}
	w := Words{Other: weight(1)}
	w.Hashes = slices.Sorted(maps.Keys(most))
	for _, h := range w.Hashes {
		w.Values = append(w.Values, byte(min(255, math.Round(16*weight(most[h])))))
	}
	return w
}
