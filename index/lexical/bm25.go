package lexical

import "math"

// Field of a passage.
type Field int

// The fields; a term counts in each by its weight (Params).
const (
	Text    Field = iota // the passage's own text
	Heading              // the titles of the sections it stands under
	Title                // the name of the document or drug
	fields
)

// Passage as it is indexed. A field may be empty.
type Passage struct {
	Title, Heading, Text string
	Language             string // BCP 47, of the document; "": English
}

func (p *Passage) field(f Field) string {
	switch f {
	case Heading:
		return p.Heading
	case Title:
		return p.Title
	}
	return p.Text
}

// Counts are numbers by Field: of a term's occurrences, or of all terms.
type Counts [fields]uint32

// Params of BM25F. Heading and Title are what a term there counts beside one in
// the text, in the frequency and in the length alike (Robertson, Zaragoza and
// Taylor 2004, with one pool).
type Params struct {
	K1, B, Heading, Title float64
}

// DefaultParams of search, chosen by measuring: DESIGN.md.
var DefaultParams = Params{K1: 1.5, B: 0.75, Heading: 2, Title: 2}

// valid parameters leave scores finite and never negative.
func (p Params) valid() bool {
	ok := func(f, most float64) bool { return f >= 0 && f <= most } // false for NaN
	return ok(p.K1, 1e6) && ok(p.B, 1) && ok(p.Heading, 1e6) && ok(p.Title, 1e6)
}

// pool weighs the fields: a frequency from a term's counts, a length from all.
// The conversions keep compilers from fusing, so that every machine gets the
// same number.
func (p Params) pool(c Counts) float64 {
	f := float64(c[Text])
	if c[Heading] != 0 {
		f += float64(p.Heading * float64(c[Heading]))
	}
	if c[Title] != 0 {
		f += float64(p.Title * float64(c[Title]))
	}
	return f
}

// norm is k1·(1−b+b·length/mean).
func (p Params) norm(length Counts, mean float64) float64 {
	return p.K1 * (1 - p.B + float64(p.B*p.pool(length)/mean))
}

// share is what a term adds to a score for a weight of 1: f(k1+1)/(f+norm).
func (p Params) share(tf Counts, norm float64) float64 {
	f := p.pool(tf)
	if f == 0 {
		return 0
	}
	return f * (p.K1 + 1) / (f + norm)
}

// Stats of a collection: what scores are reckoned with beside a passage's own
// counts.
type Stats struct {
	Passages int
	Lengths  [fields]uint64 // terms of all passages by field
}

// mean is the length of a passage with the fields weighed; 1 where there is none.
func (s Stats) mean(p Params) float64 {
	if s.Passages <= 0 {
		return 1
	}
	n := float64(s.Passages)
	m := float64(s.Lengths[Text])/n + float64(p.Heading*(float64(s.Lengths[Heading])/n)) + float64(p.Title*(float64(s.Lengths[Title])/n))
	if m == 0 {
		return 1
	}
	return m
}

// idf is ln(1 + (N − df + ½)/(df + ½)), as Lucene has it: never negative.
func (s Stats) idf(df int) float64 {
	n, d := float64(s.Passages), float64(df)
	return math.Log(1 + (n-d+0.5)/(d+0.5))
}

// Impacts are bytes that bound a posting's share of a score from both sides.
// They are reckoned with the parameters and the mean length at hand when a
// segment is made; bounds says what they are worth with others.

// steps of an impact between 0 and the limit of f/(f+norm), 1.
const steps = 255

// normBelow is norm rounded down: impacts stay bounds.
func (p Params) normBelow(length Counts, mean float64) float32 {
	return math.Nextafter32(float32(p.norm(length, mean)), 0)
}

// impact of a posting: f/(f+norm) in steps, rounded up.
func (p Params) impact(tf Counts, normBelow float32) uint8 {
	f := p.pool(tf)
	if f == 0 {
		return 1
	}
	return uint8(min(steps, math.Ceil(f/(f+float64(normBelow))*steps*slack)))
}

// slack covers rounding: of norms to float32, and of bounds that are reckoned
// another way than scores.
const slack = 1 + 1e-6

// bounds of what a step of an impact is worth now, in a segment made with built
// of passages no longer than longest:
//
//	low·(impact−1) ≤ share(now) ≤ high·impact
//
// The ratio of a share now to the one then is the quotient of two functions that
// are linear in the frequency f and the length L, so over the triangle
// least ≤ f ≤ L ≤ longest both its extremes are in corners.
func bounds(built Params, builtMean float64, now Params, nowMean, longest float64) (low, high float64) {
	less, more := 1.0, 1.0 // f and L change by a factor between them
	least := 1.0
	for _, w := range [][2]float64{{built.Heading, now.Heading}, {built.Title, now.Title}} {
		if w[0] == w[1] {
			if w[0] > 0 {
				least = min(least, w[0])
			}
			continue
		}
		if w[0] <= 0 { // what counts now did not count then
			return 0, now.K1 + 1
		}
		less, more = min(less, w[1]/w[0]), max(more, w[1]/w[0])
		least = min(least, w[0])
	}
	longest = max(longest, least)
	low = math.Inf(1)
	for _, at := range [][2]float64{{least, least}, {least, longest}, {longest, longest}} {
		f, l := at[0], at[1]
		then := f / (f + built.k(l, builtMean))
		ratio := func(f, l float64) float64 {
			if f == 0 {
				return 0
			}
			return f * (now.K1 + 1) / (f + now.k(l, nowMean)) / then
		}
		low = min(low, ratio(f*less, l*more))
		high = max(high, ratio(f*more, l*less))
	}
	return low / steps / slack, high / steps * slack
}

func (p Params) k(length, mean float64) float64 { return p.K1 * (1 - p.B + p.B*length/mean) }
