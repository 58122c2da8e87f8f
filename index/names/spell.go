package names

// Names shorter than this are never guessed at: too many lie within one edit.
const minSpelling = 5

// edits allowed for a word of n letters.
func edits(n int) int {
	switch {
	case n < minSpelling:
		return 0
	case n < 8:
		return 1
	}
	return 2
}

// speller finds the names near a word. Names are grouped by their first letter,
// which a correction keeps.
type speller struct {
	by [26][]string
}

func (s *speller) add(name string) {
	if len(name) >= minSpelling && letters(name) {
		s.by[name[0]-'a'] = append(s.by[name[0]-'a'], name)
	}
}

// near gives the names at the least distance from w, up to a limit, and that
// distance; the limit where there are none.
func (s *speller) near(w string, limit int) ([]string, int) {
	var best []string
	for _, n := range s.by[w[0]-'a'] {
		best, limit = nearer(w, n, limit, best)
	}
	return best, limit
}

// nearer adds name n to the best where it is as near to w.
func nearer(w, n string, limit int, best []string) ([]string, int) {
	if len(n)-len(w) > limit || len(w)-len(n) > limit {
		return best, limit
	}
	d := Distance(w, n, limit)
	if d > limit || d > edits(len(n)) {
		return best, limit
	}
	if d < limit {
		limit, best = d, best[:0]
	}
	return append(best, n), limit
}

// near is nearer for all names of a part.
func (p *Part) near(w string, limit int, best []string) ([]string, int) {
	letter := int(w[0]-'a') * lengths
	for n := max(minSpelling, len(w)-limit); n <= min(longest, len(w)+limit); n++ {
		for j := p.number(secSpellAt, letter+n); j < p.number(secSpellAt, letter+n+1); j++ {
			k := p.number(secSpell, j)
			name := p.key(k)
			if d := Distance(w, name, limit); d > limit || d > edits(n) || !p.known(k) {
				continue
			}
			best, limit = nearer(w, name, limit, best)
		}
	}
	return best, limit
}

// known says whether a document that is left teaches key k.
func (p *Part) known(k int) bool {
	for m := p.number(secWhat, k); m < p.number(secWhat, k+1); m++ {
		if p.taught(m) {
			return true
		}
	}
	return false
}

func letters(w string) bool {
	for i := 0; i < len(w); i++ {
		if w[i] < 'a' || w[i] > 'z' {
			return false
		}
	}
	return w != ""
}

// longest word whose distance is reckoned; no medicine's name is longer.
const longest = 40

// Distance is the optimal string alignment distance (insert, delete, replace,
// swap two neighbours, no part edited twice) of ASCII words; limit+1 stands for
// anything over limit.
func Distance(a, b string, limit int) int {
	if len(a) > longest || len(b) > longest {
		return limit + 1
	}
	var rows [3][longest + 1]int
	prev, cur, before := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			cur[j] = d
			least = min(least, d)
		}
		if least > limit {
			return limit + 1
		}
		before, prev, cur = prev, cur, before
	}
	return min(prev[len(b)], limit+1)
}
