package extract

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"rxedge/inference/quantity"
)

// What else is taken beside the best sentence, as shares of its score: those
// near it, in its section and in others; one that states the number asked for
// where none taken does; one that has what nothing taken says.
const (
	nearSame    = 0.7
	nearOther   = 0.9
	nearStating = 0.45
	nearFitting = 0.3
	nearAdding  = 0.5
	nearGrave   = 0.5
	adds        = 0.15 // of the question's weight that a sentence must add
	mostAdded   = 2
	alike       = 0.8 // of two sentences' words that make them the same
)

// chooser picks sentences one at a time.
type chooser struct {
	q        *question
	passages []Passage
	found    []candidate // best first
	limit    int
	out      []candidate
	texts    [][]string // words of those taken
	covered  map[string]float64
}

// choose takes the best sentence, those near it, and those that complete it,
// then puts them in reading order.
func (c *chooser) choose() []candidate {
	slices.SortStableFunc(c.found, func(a, b candidate) int { return cmp.Compare(b.Score, a.Score) })
	c.covered = map[string]float64{}
	for i := range c.found {
		s := &c.found[i]
		if len(c.out) == c.limit {
			break
		}
		if len(c.out) > 0 && s.Score < c.near(s)*c.out[0].Score {
			continue
		}
		c.take(s)
	}
	if len(c.out) == 0 {
		return nil
	}
	best := c.out[0].Score
	if (c.q.wants.number() || c.q.wants.begin && !c.q.wants.act) && !slices.ContainsFunc(c.out, func(s candidate) bool { return s.states }) {
		c.first(func(s *candidate) bool { return s.states && s.Score >= nearStating*best })
	}
	if c.q.wants.share {
		for range mostShares {
			c.first(func(s *candidate) bool { return s.shares && s.Score >= nearStating*best })
		}
	}
	need := c.q.patient.groups & guarded
	fits := func(s candidate) bool { return s.fits }
	if need != 0 && !slices.ContainsFunc(c.out, fits) {
		c.first(func(s *candidate) bool { return s.fits && s.Score >= nearFitting*best })
	}
	// Beside what is said of these patients the dose of all the others is left out.
	leave := func() {
		if need != 0 && (!c.q.wants.dose || slices.ContainsFunc(c.out, fits)) {
			c.drop(func(s candidate) bool { return s.dosing && !s.fits && s.groups&need == 0 })
		}
	}
	leave()
	for range mostAdded {
		c.first(func(s *candidate) bool { return s.Score >= nearAdding*best && c.adding(s) >= adds*c.q.rest })
	}
	// What forbids it outright is not left out for what is said more fully.
	if !slices.ContainsFunc(c.out, func(s candidate) bool { return c.passages[s.Passage].Grave }) {
		c.first(func(s *candidate) bool {
			p := &c.passages[s.Passage]
			return p.Grave && s.partnered && s.Score >= nearGrave*best && len(s.direct) > 0 && (len(p.Partners) > 0 || s.Score >= nearSame*best)
		})
	}
	c.headings()
	c.complete()
	leave()
	// Nor is a child's dose shown as anybody's, where anybody's is shown.
	if slices.ContainsFunc(c.out, func(s candidate) bool { return s.states && !s.special }) {
		c.drop(func(s candidate) bool { return s.silent })
	}
	c.order()
	return c.out
}

func (c *chooser) near(s *candidate) float64 {
	if c.passages[s.Passage].SectionID == c.passages[c.out[0].Passage].SectionID {
		return nearSame
	}
	return nearOther
}

// drop gives back what was taken.
func (c *chooser) drop(unwanted func(candidate) bool) {
	for i := len(c.out) - 1; i >= 0; i-- {
		if unwanted(c.out[i]) {
			c.out, c.texts = slices.Delete(c.out, i, i+1), slices.Delete(c.texts, i, i+1)
		}
	}
}

// first takes the best sentence for which wanted holds.
func (c *chooser) first(wanted func(*candidate) bool) {
	for i := range c.found {
		if s := &c.found[i]; wanted(s) && c.take(s) {
			return
		}
	}
}

// adding is the weight of the question's words that s has and nothing taken does.
func (c *chooser) adding(s *candidate) float64 {
	sum := 0.0
	for _, t := range c.q.order {
		sum += c.q.terms[t] * max(0, s.direct[t]-c.covered[t])
	}
	return sum
}

// take takes s unless it, or one that says the same, was taken.
func (c *chooser) take(s *candidate) bool {
	if s == nil || s.excludes {
		return false
	}
	p := &c.passages[s.Passage]
	words := strings.Fields(strings.ToLower(c.text(s)))
	for i := range c.out {
		o := &c.out[i]
		if c.passages[o.Passage].SectionID == p.SectionID && o.Start == s.Start || same(c.texts[i], words) {
			return false
		}
	}
	c.out, c.texts = append(c.out, *s), append(c.texts, words)
	for t, has := range s.direct {
		c.covered[t] = max(c.covered[t], has)
	}
	return true
}

// same says whether two sentences have nearly the same words and the same
// numbers: labels say things twice, briefly and at length.
func same(a, b []string) bool {
	if slices.Equal(a, b) {
		return true
	}
	count := map[string]int{}
	for _, w := range a {
		count[strings.Trim(w, ".,;:()[]")]++
	}
	both := 0
	for _, w := range b {
		if w = strings.Trim(w, ".,;:()[]"); count[w] > 0 {
			count[w]--
			both++
		}
	}
	if float64(both) < alike*float64(max(len(a), len(b))) {
		return false
	}
	x, y := strings.Join(a, " "), strings.Join(b, " ")
	return len(quantity.Missing(x, y)) == 0 && len(quantity.Missing(y, x)) == 0
}

// headings puts in the place of a bare heading what stands under it.
func (c *chooser) headings() {
	for _, s := range slices.Clone(c.out) {
		if !bare.MatchString(c.text(&s)) {
			continue
		}
		next := c.beside(&s, 1)
		if next == nil || bare.MatchString(c.text(next)) || next.excludes {
			continue
		}
		c.take(next)
		c.drop(func(o candidate) bool { return o.Passage == s.Passage && o.Start == s.Start })
	}
}

// bare is a numbered heading with nothing behind it.
var bare = regexp.MustCompile(`^\d{1,2}\.\d{1,2}\.? [^.:;]{1,90}$`)

// complete adds what a sentence taken does not stand without: the one before,
// where it begins by pointing back, and the one after, where that says what is
// to be done about it.
func (c *chooser) complete() {
	room := c.limit + 1
	for _, s := range slices.Clone(c.out) {
		text := c.text(&s)
		if len(c.out) < room && pointsBack(text) {
			c.take(c.beside(&s, -1))
		}
		if announces(text) {
			c.rows(&s)
		}
		next := c.beside(&s, 1)
		if next == nil || len(c.out) >= room {
			continue
		}
		after := c.text(next)
		goesOn := c.q.wants.dose && s.states && titrates(after) && quantityStated(after)
		byDose := s.shares && next.shares && pointsBack(after)
		if goesOn || byDose || pointsBack(after) && limits(after) || tellsHow(text, after) {
			c.take(next)
		}
	}
	// What to do is said with why.
	if len(c.out) <= 2 {
		for _, s := range slices.Clone(c.out) {
			if !s.acts || leadOf(c.text(&s)) != "" {
				continue
			}
			if before := c.beside(&s, -1); before != nil && (len(before.direct) > 0 || before.groups&c.q.patient.groups != 0) {
				c.take(before)
			}
		}
	}
	if !c.q.wants.act || slices.ContainsFunc(c.out, func(s candidate) bool { return s.acts }) {
		return
	}
	for _, s := range slices.Clone(c.out) {
		next := &s
		for range further {
			if next = c.beside(next, 1); next == nil || leadOf(c.text(next)) != "" {
				break
			}
			if next.acts {
				c.take(next)
				return
			}
		}
	}
}

// further is how many sentences on what is to be done is looked for.
const further = 3

// titrates says whether a sentence is the next step of a dose.
func titrates(s string) bool {
	first, _, _ := strings.Cut(strings.TrimLeft(strings.ToLower(s), "•*- "), " ")
	switch first {
	case "increase", "titrate", "then", "followed", "thereafter", "maintenance", "subsequent":
		return true
	}
	return false
}

func quantityStated(s string) bool { return slices.ContainsFunc(quantity.Numbers(s), dosing) }

// tellsHow says whether next begins "To do it, …" of something that s says to do.
func tellsHow(s, next string) bool {
	rest, ok := strings.CutPrefix(next, "To ")
	verb, _, _ := strings.Cut(rest, " ")
	return ok && len(verb) > 3 && strings.Contains(strings.ToLower(s), verb)
}

// limits says whether a sentence takes back part of what was said before it.
func limits(s string) bool {
	s = strings.ToLower(s)
	for _, w := range []string{" not ", "however", " except", " unless", " but "} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return strings.HasPrefix(s, "however")
}

func (c *chooser) text(s *candidate) string {
	p := &c.passages[s.Passage]
	return p.Text[s.Start-p.Base : s.End-p.Base]
}

// announces says whether a sentence tells of a table or list that follows it.
func announces(s string) bool {
	low := strings.ToLower(s)
	return strings.HasSuffix(s, ":") || strings.Contains(low, "below") || strings.Contains(low, "as follows") || strings.Contains(low, "following")
}

// mostRows of a table or list are taken with the sentence that announces it,
// those alone that speak of the question's numbers where any does.
const (
	mostRows    = 4
	mostBetween = 2
)

// rows takes the rows or items that follow s.
func (c *chooser) rows(s *candidate) {
	var all, met []*candidate
	next := c.beside(s, 1)
	for range mostBetween { // that stand between the announcement and its table
		if next != nil && !isRow(c.text(next)) {
			next = c.beside(next, 1)
		}
	}
	for ; next != nil && isRow(c.text(next)); next = c.beside(next, 1) {
		all = append(all, next)
		if share, _ := c.q.meets(c.text(next)); share > 0 {
			met = append(met, next)
		}
	}
	if len(met) > 0 {
		all = met
	}
	if len(all) > mostRows+1 { // and the heading of a table
		return
	}
	for _, r := range all {
		c.take(r)
	}
}

// isRow says whether a sentence is a row of a table or an item of a list.
func isRow(s string) bool {
	return strings.Contains(s, " | ") || strings.HasPrefix(s, "•") || strings.HasPrefix(s, "* ")
}

// beside is the sentence before (-1) or after (1) s in its section, in whatever
// passage it stands; nil where none was looked at.
func (c *chooser) beside(s *candidate, step int) *candidate {
	section := c.passages[s.Passage].SectionID
	var best *candidate
	for i := range c.found {
		o := &c.found[i]
		if c.passages[o.Passage].SectionID != section {
			continue
		}
		gap := o.Start - s.End
		if step < 0 {
			gap = s.Start - o.End
		}
		if gap >= 0 && gap <= widestGap && (best == nil || abs(o.Start-s.Start) < abs(best.Start-s.Start)) {
			best = o
		}
	}
	return best
}

// widestGap is the white space, in bytes, between sentences that follow one another.
const widestGap = 8

func abs(n int) int { return max(n, -n) }

var pointers = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields("this these those it such they he she however therefore thus symptoms consequently otherwise thereafter then subsequently") {
		m[w] = true
	}
	return m
}()

// pointsBack says whether a sentence begins with a word that stands for
// something in the one before.
func pointsBack(s string) bool {
	first, rest, _ := strings.Cut(strings.TrimLeft(strings.ToLower(s), "•*- "), " ")
	if strings.HasPrefix(rest, "is recommended") || strings.HasPrefix(rest, "is not known") {
		return false
	}
	if pointers[strings.Trim(first, ",")] {
		return true
	}
	low := strings.ToLower(s[:min(len(s), 60)])
	return strings.Contains(low, " this ") || strings.Contains(low, " these ") || strings.Contains(low, " such ") || strings.Contains(low, " subsequent ")
}

// order puts the best section first, sentences of a section in their order.
func (c *chooser) order() {
	order := map[string]int{}
	for i, s := range c.out {
		if id := c.passages[s.Passage].SectionID; order[id] == 0 {
			order[id] = i + 1
		}
	}
	slices.SortStableFunc(c.out, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(order[c.passages[a.Passage].SectionID], order[c.passages[b.Passage].SectionID]), cmp.Compare(a.Start, b.Start))
	})
}

// mostRival bounds rival where what was taken scores little.
const mostRival = 2

// rival is the score of the best sentence of another section than those taken, as a
// share of the best taken.
func (c *chooser) rival() float64 {
	best, other := 0.0, 0.0
	for _, s := range c.out {
		best = max(best, s.Score)
	}
	for i := range c.found {
		s := &c.found[i]
		if !s.excludes && !slices.ContainsFunc(c.out, func(o candidate) bool {
			return c.passages[o.Passage].SectionID == c.passages[s.Passage].SectionID
		}) {
			other = max(other, s.Score)
		}
	}
	if best <= 0 {
		return 0
	}
	return min(mostRival, other/best)
}

// stated says whether a number of the kind asked for was taken: 1 or 0, 0.5 where
// none was asked for.
func (c *chooser) stated() float64 {
	switch {
	case !c.q.wants.number():
		return 0.5
	case slices.ContainsFunc(c.out, func(s candidate) bool { return s.states }):
		return 1
	}
	return 0
}

// unmet says that nothing taken speaks of the patients or of the other medicine
// asked about.
func (c *chooser) unmet() bool {
	// A dose is asked for, and none of anybody's is there.
	if c.q.wants.amount && c.q.patient.groups == 0 && !slices.ContainsFunc(c.out, func(s candidate) bool { return s.states && s.dosing && !s.special }) {
		return true
	}
	need := c.q.patient.groups & (guarded | elderly)
	partners := slices.ContainsFunc(c.passages, func(p Passage) bool { return len(p.Partners) > 0 })
	return need != 0 && !slices.ContainsFunc(c.out, func(s candidate) bool { return s.fits }) ||
		partners && !slices.ContainsFunc(c.out, func(s candidate) bool { return s.partnered && len(c.passages[s.Passage].Partners) > 0 })
}

// answers says whether what was taken answers the question at all. A dose that
// is asked for must be in it, or what is said of one; and where the question is
// about a child, a failing kidney or the like, it must speak of those: the dose
// of everybody alone is the wrong one.
func (c *chooser) answers() (missing population, ok bool) {
	if need := c.q.patient.groups & (pregnancy | lactation); need != 0 && !slices.ContainsFunc(c.out, func(s candidate) bool { return s.groups&need != 0 }) {
		return need, false
	}
	if !c.q.wants.dose {
		// The dose of others was all there is.
		if need := c.q.patient.groups & guarded; need != 0 && (len(c.out) == 0 || need&(renal|hepatic) != 0 && c.q.wants.act || slices.ContainsFunc(c.found, func(s candidate) bool { return s.excludes })) &&
			!slices.ContainsFunc(c.out, func(s candidate) bool { return s.fits }) {
			return need, false
		}
		return 0, true
	}
	if c.q.wants.perKg && !slices.ContainsFunc(c.out, func(s candidate) bool {
		return slices.ContainsFunc(quantity.Numbers(c.text(&s)), func(n quantity.Number) bool {
			return strings.Contains(n.Unit, "/kg") || strings.Contains(n.Unit, "/m2")
		})
	}) {
		return 0, false
	}
	if c.q.wants.rate && !slices.ContainsFunc(c.out, func(s candidate) bool { return rated(c.text(&s)) }) {
		return 0, false
	}
	if c.q.wants.amount && !slices.ContainsFunc(c.out, func(s candidate) bool {
		return s.states || doses(c.text(&s)) || s.acts && s.partnered && len(c.passages[s.Passage].Partners) > 0
	}) {
		return 0, false
	}
	if c.q.bare && !slices.ContainsFunc(c.out, func(s candidate) bool {
		return s.states && (s.dosing || c.q.wants.count || c.q.wants.time) || undosed(c.text(&s)) || s.acts && s.partnered && len(c.passages[s.Passage].Partners) > 0
	}) {
		return 0, false
	}
	// Nothing states how much, nor says that there is no dose.
	if c.q.wants.amount && (c.q.wants.begin || c.q.wants.most || c.q.wants.unit) && !slices.ContainsFunc(c.out, func(s candidate) bool {
		return s.states || refuses(c.text(&s)) || s.acts && s.partnered && len(c.passages[s.Passage].Partners) > 0
	}) {
		return 0, false
	}
	need := c.q.patient.groups & guarded
	if need == 0 {
		return 0, true
	}
	if slices.ContainsFunc(c.out, func(s candidate) bool { return s.fits }) {
		return 0, true
	}
	return need, false
}

func set(terms []string) map[string]bool {
	m := make(map[string]bool, len(terms))
	for _, t := range terms {
		m[t] = true
	}
	return m
}
