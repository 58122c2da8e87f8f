package names

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed medicines.tsv
var medicinesTSV []byte

//go:embed classes.tsv
var classesTSV []byte

//go:embed shorthand.tsv
var shorthandTSV []byte

//go:embed cues.tsv
var cuesTSV []byte

//go:embed ordinary.txt
var ordinaryTXT []byte

// medicine is a line of medicines.tsv, or one learned from a document.
type medicine struct {
	name      string
	brands    []string
	others    []string
	classes   []string
	parts     []string // of a combination
	substance bool
}

// class is a line of classes.tsv.
type class struct {
	id    string
	names []string
	say   string // as labels write it
}

// meaning is a line of shorthand.tsv.
type meaning struct {
	short  string
	to     []string
	weight float64
	guard  guard
}

// guard is a condition on the question around an abbreviation.
type guard struct {
	kind  string   // "", upper, lower, number, nonumber, near, after, before
	words []string // of near, after, before
}

// cue is a phrase of a question with the sections it asks for.
type cue struct {
	asks     string
	phrase   string
	sections []Preference
}

// table is everything that is known without documents.
type table struct {
	medicines []medicine
	classes   []class
	meanings  []meaning
	cues      []cue
	ordinary  map[string]bool
}

// facts are the embedded table; a test parses it, so it can't fail at run time.
var facts = sync.OnceValues(func() (*table, error) {
	t := &table{ordinary: map[string]bool{}}
	var err error
	if t.medicines, err = parseMedicines(medicinesTSV); err != nil {
		return nil, fmt.Errorf("medicines.tsv: %w", err)
	}
	if t.classes, err = parseClasses(classesTSV); err != nil {
		return nil, fmt.Errorf("classes.tsv: %w", err)
	}
	if t.meanings, err = parseMeanings(shorthandTSV); err != nil {
		return nil, fmt.Errorf("shorthand.tsv: %w", err)
	}
	if t.cues, err = parseCues(cuesTSV); err != nil {
		return nil, fmt.Errorf("cues.tsv: %w", err)
	}
	err = lines(ordinaryTXT, 1, func(f []string) error {
		for _, w := range strings.Fields(f[0]) {
			t.ordinary[w] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ordinary.txt: %w", err)
	}
	known := map[string]bool{substance: true}
	for _, c := range t.classes {
		known[c.id] = true
	}
	for _, m := range t.medicines {
		for _, c := range m.classes {
			if !known[c] {
				return nil, fmt.Errorf("medicines.tsv: %s is of class %q, which classes.tsv does not have", m.name, c)
			}
		}
	}
	return t, nil
})

// substance is the class of what is mentioned without being asked about.
const substance = "substance"

// maxLine is far beyond any line that a person would write.
const maxLine = 1 << 20

// lines calls fn with the columns of each line that is no comment.
func lines(b []byte, columns int, fn func([]string) error) error {
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, maxLine)
	n := 0
	for sc.Scan() {
		n++
		l := strings.TrimRight(sc.Text(), "\r")
		if strings.TrimSpace(l) == "" || l[0] == '#' {
			continue
		}
		f := strings.Split(l, "\t")
		if len(f) != columns {
			return fmt.Errorf("line %d has %d columns instead of %d; separate them by tabs", n, len(f), columns)
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if f[0] == "" {
			return fmt.Errorf("line %d: column 1 is empty", n)
		}
		if err := fn(f); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("after line %d: %w", n, err)
	}
	return nil
}

func split(s string) []string {
	var out []string
	for _, p := range strings.Split(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func parseMedicines(b []byte) ([]medicine, error) {
	var out []medicine
	seen := map[string]bool{}
	err := lines(b, 4, func(f []string) error {
		m := medicine{name: f[0], brands: split(f[1]), others: split(f[3])}
		key := keyOf(m.name)
		if key == "" {
			return fmt.Errorf("%q has no letters", m.name)
		}
		if seen[key] {
			return fmt.Errorf("%q is there twice", m.name)
		}
		seen[key] = true
		for _, c := range split(f[2]) {
			if c == substance {
				m.substance = true
			} else {
				m.classes = append(m.classes, c)
			}
		}
		if strings.Contains(m.name, "/") {
			for _, p := range strings.Split(m.name, "/") {
				if keyOf(p) == "" {
					return fmt.Errorf("%q has an empty part", m.name)
				}
				m.parts = append(m.parts, strings.TrimSpace(p))
			}
		}
		out = append(out, m)
		return nil
	})
	return out, err
}

func parseClasses(b []byte) ([]class, error) {
	var out []class
	seen := map[string]bool{}
	err := lines(b, 3, func(f []string) error {
		if seen[f[0]] {
			return fmt.Errorf("class %q is there twice", f[0])
		}
		seen[f[0]] = true
		if f[2] == "" {
			return fmt.Errorf("class %q: column 3, the words of labels, is empty", f[0])
		}
		out = append(out, class{f[0], split(f[1]), f[2]})
		return nil
	})
	return out, err
}

func parseMeanings(b []byte) ([]meaning, error) {
	var out []meaning
	err := lines(b, 4, func(f []string) error {
		w, err := parseWeight(f[2])
		if err != nil {
			return err
		}
		g, err := parseGuard(f[3])
		if err != nil {
			return err
		}
		var to []string
		for _, t := range strings.Split(f[1], "|") {
			if t = strings.TrimSpace(t); t == "" {
				return fmt.Errorf("%q: column 2, the meaning, is empty", f[0])
			}
			to = append(to, t)
		}
		out = append(out, meaning{strings.ToLower(f[0]), to, w, g})
		return nil
	})
	return out, err
}

func parseWeight(s string) (float64, error) {
	w, err := strconv.ParseFloat(s, 64)
	if err != nil || !(w >= 0 && w <= 1) {
		return 0, fmt.Errorf("weight %q is no number from 0 to 1", s)
	}
	return w, nil
}

func parseGuard(s string) (guard, error) {
	kind, rest, _ := strings.Cut(s, " ")
	switch kind {
	case "", "upper", "lower", "number", "nonumber":
		if rest != "" {
			return guard{}, fmt.Errorf("condition %q takes no words", kind)
		}
		return guard{kind: kind}, nil
	case "near", "after", "before":
		var words []string
		for _, w := range strings.Split(rest, "|") {
			if w = strings.ToLower(strings.TrimSpace(w)); w != "" {
				words = append(words, w)
			}
		}
		if len(words) == 0 {
			return guard{}, fmt.Errorf("condition %q needs words, as in %q", kind, kind+" dose|tablet")
		}
		return guard{kind, words}, nil
	}
	return guard{}, fmt.Errorf("condition %q is none of upper, lower, number, nonumber, near, after, before", kind)
}

var loincForm = regexp.MustCompile(`^[0-9]{1,7}-[0-9]$`)

func parseCues(b []byte) ([]cue, error) {
	var out []cue
	err := lines(b, 3, func(f []string) error {
		var sections []Preference
		for _, s := range split(f[2]) {
			code, weight, _ := strings.Cut(s, ":")
			w, err := parseWeight(weight)
			if err != nil {
				return err
			}
			if !loincForm.MatchString(code) {
				return fmt.Errorf("%q is no LOINC code", code)
			}
			sections = append(sections, Preference{Asks: f[0], LOINC: code, Weight: w})
		}
		if len(sections) == 0 {
			return fmt.Errorf("%q names no section", f[0])
		}
		for _, p := range split(f[1]) {
			out = append(out, cue{f[0], strings.ToLower(p), sections})
		}
		return nil
	})
	return out, err
}
