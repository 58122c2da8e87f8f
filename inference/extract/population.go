package extract

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rxedge/inference/quantity"
)

// population is a set of groups of patients, as bits.
type population uint8

const (
	child population = 1 << iota
	adult
	elderly
	renal
	hepatic
	pregnancy
	lactation

	ages = child | adult | elderly
	// guarded are the groups whose dose is not everybody's: what is said of all
	// patients alone does not answer a question about the dose of one of them.
	guarded = child | renal | hepatic | pregnancy | lactation
)

// groupWords are how questions and labels name the groups, by the beginnings of
// words; of "=word" the whole word.
var groupWords = map[population]string{
	child:     "pediatric paediatric =child =child's =children =childhood infan neonat newborn =baby =babies adolescen =teen =teens teenager toddler =kid =kids =peds juvenile",
	adult:     "=adult =adults",
	elderly:   "elderly geriatric =frail",
	renal:     "renal kidney nephropath dialysis hemodialysis haemodialysis =crcl =clcr egfr =gfr =ckd =esrd creatinine =nephrotic",
	hepatic:   "hepatic liver cirrhosis cirrhotic child-pugh =child-a =child-b =child-c hepatitis",
	pregnancy: "pregnan fetal fetus embryo trimester gestation childbearing contracepti teratogen conceive =hcg =gravid =preg",
	lactation: "lactat breastfe breast-fe breastmilk nursing =milk",
}

// groupNames are for the person who asked.
var groupNames = []struct {
	p    population
	name string
}{
	{child, "children of this age"}, {renal, "impaired kidney function"}, {hepatic, "impaired liver function"},
	{pregnancy, "pregnancy"}, {lactation, "breastfeeding"},
}

var groups = func() map[byte][]struct {
	word  string
	whole bool
	p     population
} {
	m := map[byte][]struct {
		word  string
		whole bool
		p     population
	}{}
	for p, words := range groupWords {
		for _, w := range strings.Fields(words) {
			w, whole := strings.CutPrefix(w, "=")
			m[w[0]] = append(m[w[0]], struct {
				word  string
				whole bool
				p     population
			}{w, whole, p})
		}
	}
	return m
}()

// populationOf gives the groups that a text names.
func populationOf(text string) population {
	var p population
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r != '-' && r != '\'' && (r < 'a' || r > 'z')
	}) {
		w = strings.Trim(w, "-'")
		if w == "" {
			continue
		}
		for _, g := range groups[w[0]] {
			if w == g.word || !g.whole && strings.HasPrefix(w, g.word) {
				p |= g.p
			}
		}
	}
	return p
}

// OfOthers says that a claim states an amount of a medicine and leaves out that
// its evidence gives it to children alone: everybody's dose it is not.
func OfOthers(claim, evidence string) bool {
	return populationOf(claim)&(child|adult) == 0 && populationOf(evidence)&(child|adult) == child &&
		slices.ContainsFunc(quantity.Numbers(claim), dosing)
}

// patient is what a question tells of whom it is about.
type patient struct {
	groups population
	age    float64 // years; NaN where it is not told
}

// notPatients are words that name a group and mean no patient of it: a strength
// of tablets for adults, tests of an organ, harm to it.
var notPatients = regexp.MustCompile(`(?i)\bbaby (?:aspirin|asa)|\b(?:liver|hepatic|kidney|renal)(?: function| laboratory)? (?:monitoring|enzymes?|tests?|labs?|panels?|checks?|toxicity|injury|damage|transplant|recipient|stones?)|\b(?:transplant|nursing home|baby oil)`)

// childPugh is a score of the liver, no child.
var childPugh = regexp.MustCompile(`(?i)\bchild[- ]pugh\b`)

var ageAsked = regexp.MustCompile(`(?i)\b(\d{1,3}(?:\.\d)?)[ -]?(?:(yo|y/o|y\.o)\b|(years?|yrs?|y|months?|mos?|weeks?|wks?|days?)[ -](?:old|of age|o)\b)`)

func patientOf(question string) patient {
	p := patient{groups: populationOf(childPugh.ReplaceAllString(notPatients.ReplaceAllString(question, " "), "hepatic")), age: math.NaN()}
	m := ageAsked.FindStringSubmatch(question)
	if m == nil {
		return p
	}
	p.age, _ = strconv.ParseFloat(m[1], 64)
	switch unit := strings.ToLower(m[3]); {
	case strings.HasPrefix(unit, "mo"):
		p.age /= 12
	case strings.HasPrefix(unit, "w"):
		p.age /= 52
	case strings.HasPrefix(unit, "d"):
		p.age /= 365
	}
	switch {
	case p.age < 18:
		p.groups |= child
	case p.age >= 65:
		p.groups |= elderly
	default:
		p.groups |= adult
	}
	return p
}

// aged says whether a sentence has limits of age, and whether they hold for the
// patient.
func (p patient) aged(sentence string) (limits, holds bool) {
	if math.IsNaN(p.age) {
		return false, false
	}
	low := strings.ToLower(sentence)
	if !strings.Contains(low, "age") && !strings.Contains(low, " old") && !strings.Contains(low, "child") && !strings.Contains(low, "infant") && !strings.Contains(low, "years") {
		return false, false
	}
	for _, b := range quantity.Bounds(sentence) {
		scale := 0.0
		switch b.Unit {
		case "year":
			scale = 1
		case "month":
			scale = 1.0 / 12
		case "": // "ages 6 to 12"
			if before := low[max(0, b.Start-6):b.Start]; !strings.Contains(before, "age") {
				continue
			}
			scale = 1
		default:
			continue
		}
		limits = true
		b.Low, b.High = b.Low*scale, b.High*scale
		// "3 to 4 years": who is four is still meant until the fifth birthday.
		if b.Contains(p.age) || !math.IsInf(b.High, 1) && !b.HighOpen && p.age >= b.Low && p.age < b.High+scale {
			holds = true
		}
	}
	return limits, holds
}

var numberedHeading = regexp.MustCompile(`^\d{1,2}\.\d{1,2}\.? `)

// scopes gives, for each sentence of a passage, the groups that it speaks of by
// itself, and those that a heading or a label before it set ("Pediatric Dosage:
// Starting dose 500 mg. Increase by …").
func scopes(p *Passage) (own, scope []population) {
	own, scope = make([]population, len(p.Sentences)), make([]population, len(p.Sentences))
	title := populationOf(p.Title)
	set := title
	for i := range p.Sentences {
		s := p.sentence(i)
		own[i] = populationOf(notPatients.ReplaceAllString(s, " "))
		switch lead := leadOf(s); {
		case lead == "":
		case populationOf(lead) != 0:
			set = populationOf(lead)
		case numberedHeading.MatchString(s) || strings.HasSuffix(lead, ":") && strings.Contains(lead, " "):
			set = title
		}
		scope[i] = set
	}
	return own, scope
}

// leadOf is the label or heading that a sentence begins with, "" where it has none.
func leadOf(s string) string {
	head := s[:min(len(s), 90)]
	if i := strings.IndexByte(head, ':'); i > 0 {
		return head[:i+1]
	}
	if numberedHeading.MatchString(s) {
		return head[:min(len(head), 60)]
	}
	if len(s) < 60 && !strings.HasSuffix(s, ".") { // a heading of its own
		return s
	}
	return ""
}
