package names

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode"
)

// Completion is a name that begins with what was typed.
type Completion struct {
	Name      string // as a key: lower case, words separated by a space
	Documents int    // about the medicines that it stands for
}

// Complete gives the names of medicines that documents are about and that begin
// with what was typed, those of most documents first, of equal ones in
// alphabetical order; no more than n. A space at the end asks for another word.
func (l *Lexicon) Complete(typed string, n int) []Completion {
	prefix := keyOf(typed)
	if prefix == "" {
		return nil
	}
	if last := []rune(typed); unicode.IsSpace(last[len(last)-1]) {
		prefix += " "
	}
	var keys []string
	all := tableKeys()
	for i := sort.SearchStrings(all, prefix); i < len(all) && strings.HasPrefix(all[i], prefix); i++ {
		keys = append(keys, all[i])
	}
	for i := range l.parts {
		p := &l.parts[i]
		k, _ := p.search(secKeys, secKeyBytes, 0, p.keys, prefix)
		for ; k < p.keys && strings.HasPrefix(p.key(k), prefix); k++ {
			keys = append(keys, p.key(k))
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var out []Completion
	for _, k := range keys {
		if l.ordinary[k] {
			continue // a word before it is a name
		}
		ids, _ := l.named(k)
		c := Completion{Name: k}
		for _, id := range ids {
			c.Documents += l.count(id)
		}
		if c.Documents > 0 {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Completion) int {
		return cmp.Or(cmp.Compare(b.Documents, a.Documents), strings.Compare(a.Name, b.Name))
	})
	return out[:min(n, len(out))]
}

// count is how many documents are about a medicine, as documents gives them.
func (l *Lexicon) count(r ref) int {
	for _, within := range []bool{false, true} {
		n := 0
		for i := range l.parts {
			p := &l.parts[i]
			from, to := p.cover(l.local(i, r), within)
			if p.Dead == nil {
				n += to - from
				continue
			}
			for ; from < to; from++ {
				if p.live(p.number(secCover, from)) {
					n++
				}
			}
		}
		if n > 0 {
			return n
		}
	}
	return 0
}

// tableKeys are the names of the table, sorted.
var tableKeys = sync.OnceValue(func() []string {
	b, err := bases()
	if err != nil {
		return nil
	}
	keys := make([]string, 0, len(b.names))
	for k := range b.names {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
})
