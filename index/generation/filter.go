package generation

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"rxedge/index/dense"
	"rxedge/index/lexical"
)

// Filter says which passages may be found: those of which everything holds that
// is given. The zero value is all.
type Filter struct {
	// Documents by id; those that are not there are passed over. Nil: all.
	Documents []string
	// Sections by LOINC code, as the passages have it. Nil: all.
	Sections []string
	// Kinds and Sources of the documents. Nil: all.
	Kinds, Sources []string
	// From and To are effective dates as 2006-01-02, both included; "": any. A
	// document without a date is in no span.
	From, To string
}

// key names the filter in a view's memory.
func (f *Filter) key() string {
	var b strings.Builder
	for _, list := range [][]string{f.Documents, f.Sections, f.Kinds, f.Sources, {f.From, f.To}} {
		fmt.Fprintf(&b, "%v %d;", list == nil, len(list))
		for _, s := range list {
			fmt.Fprintf(&b, "%d:%s", len(s), s)
		}
	}
	return b.String()
}

// Allowed is what a filter allows in a view: the passages, and the rows of the
// segments' vectors. Withdrawn passages may be among them.
type Allowed struct {
	Ranges []lexical.Range // ascending, not overlapping; never nil
	rows   []allowedRows   // by segment
}

// allowedRows of a segment, as ranges, or where these are many as a bitmap.
type allowedRows struct {
	within []dense.Range
	bitmap dense.Bitmap
}

// manyRanges are kept as a bitmap as well: it is then made once, not at each search.
const manyRanges = 512

// keptRanges is how many ranges a view keeps of the filters it was asked with.
const keptRanges = 1 << 19

// Allow says what a filter allows. What it comes to is kept, as searches come
// with the same few filters.
func (v *View) Allow(f Filter) (*Allowed, error) {
	k := f.key()
	v.filters.Lock()
	a := v.allowed[k]
	v.filters.Unlock()
	if a != nil {
		return a, nil
	}
	r, err := v.ranges(f)
	if err != nil {
		return nil, err
	}
	a = &Allowed{Ranges: r, rows: v.rowsOf(r)}
	cost := 16 + len(r)
	v.filters.Lock()
	defer v.filters.Unlock()
	if v.allowed == nil || v.kept+cost > keptRanges {
		v.allowed, v.kept = map[string]*Allowed{}, 0
	}
	v.allowed[k] = a
	v.kept += cost
	return a, nil
}

// ranges of passages that a filter allows.
func (v *View) ranges(f Filter) ([]lexical.Range, error) {
	out := []lexical.Range{}
	// add passages of a unit, which may lie side by side with those before. They
	// lie in one segment, that of the last: the first may be merged away.
	add := func(u *unit, first, end uint32) {
		if first >= end {
			return
		}
		s, _ := v.locate(u.first + end - 1)
		r := lexical.Range{First: s.first + s.find(u.first+first), End: s.first + s.find(u.first+end)}
		switch n := len(out); {
		case r.First >= r.End:
		case n > 0 && out[n-1].End == r.First:
			out[n-1].End = r.End
		default:
			out = append(out, r)
		}
	}
	if f.Documents == nil {
		for _, u := range v.units {
			sections := sectionsOf(u, f.Sections)
			is, err := documentsOf(u, f)
			if err != nil {
				return nil, err
			}
			if is == nil {
				sections(add, 0, uint32(u.info.Passages))
				continue
			}
			for i := 0; i < len(u.table.ids); i++ {
				if !is(i) {
					continue
				}
				j := i + 1
				for j < len(u.table.ids) && is(j) {
					j++
				}
				sections(add, u.table.firsts[i], u.table.firsts[j])
				i = j
			}
		}
	} else {
		type asked struct {
			sections func(func(*unit, uint32, uint32), uint32, uint32)
			is       func(int) bool
		}
		of := map[*unit]asked{}
		for _, id := range f.Documents {
			u := v.owner(id)
			if u == nil {
				continue
			}
			a, ok := of[u]
			if !ok {
				is, err := documentsOf(u, f)
				if err != nil {
					return nil, err
				}
				a = asked{sectionsOf(u, f.Sections), is}
				of[u] = a
			}
			if i, _ := slices.BinarySearch(u.table.ids, id); a.is == nil || a.is(i) {
				a.sections(add, u.table.firsts[i], u.table.firsts[i+1])
			}
		}
	}
	return inOrder(out), nil
}

// inOrder sorts ranges and makes one of those that touch.
func inOrder(rs []lexical.Range) []lexical.Range {
	byFirst := func(a, b lexical.Range) int { return int(int64(a.First) - int64(b.First)) }
	if !slices.IsSortedFunc(rs, byFirst) {
		slices.SortFunc(rs, byFirst)
	}
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.First <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, r.End)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// documentsOf says which documents of a unit, by place, have the facts that a
// filter asks for; nil where it asks for none.
func documentsOf(u *unit, f Filter) (func(int) bool, error) {
	if f.Kinds == nil && f.Sources == nil && f.From == "" && f.To == "" {
		return nil, nil
	}
	facts, err := u.documentFacts()
	if err != nil {
		return nil, err
	}
	numbers := func(all, wanted []string) []bool {
		if wanted == nil {
			return nil
		}
		out := make([]bool, len(all))
		for i, s := range all {
			out[i] = slices.Contains(wanted, s)
		}
		return out
	}
	kinds, sources := numbers(facts.kinds, f.Kinds), numbers(facts.sources, f.Sources)
	from, to := uint32(0), ^uint32(0)
	if f.From != "" || f.To != "" {
		from = max(1, day(f.From)) // without a date it is in no span
	}
	if f.To != "" {
		to = day(f.To)
	}
	return func(i int) bool {
		if e := facts.effective(i); e < from || e > to {
			return false
		}
		return (kinds == nil || kinds[facts.kind(i)]) && (sources == nil || sources[facts.source(i)])
	}, nil
}

// sectionsOf gives a function that adds those passages, of some of a unit, that
// are of the sections.
func sectionsOf(u *unit, loinc []string) func(add func(*unit, uint32, uint32), first, end uint32) {
	if loinc == nil {
		return func(add func(*unit, uint32, uint32), first, end uint32) { add(u, first, end) }
	}
	wanted, any := make([]bool, len(u.table.codes)), false
	for i, c := range u.table.codes {
		wanted[i] = slices.Contains(loinc, c)
		any = any || wanted[i]
	}
	return func(add func(*unit, uint32, uint32), first, end uint32) {
		if !any {
			return
		}
		codes, at, in := u.table.loinc, first, false
		for n := first; n < end; n++ {
			if is := wanted[binary.LittleEndian.Uint16(codes[2*n:])]; is != in {
				if in {
					add(u, at, n)
				}
				at, in = n, is
			}
		}
		if in {
			add(u, at, end)
		}
	}
}

// rowsOf ranges of passages.
func (v *View) rowsOf(ranges []lexical.Range) []allowedRows {
	out := make([]allowedRows, len(v.segments))
	i := 0
	for n, s := range v.segments {
		if s.dense == nil {
			continue
		}
		end := s.first + uint32(s.passages())
		for i > 0 && ranges[i-1].End > s.first { // it reaches into this one
			i--
		}
		a := &out[n]
		a.within = []dense.Range{}
		for ; i < len(ranges) && ranges[i].First < end; i++ {
			if ranges[i].End <= s.first {
				continue
			}
			first, last := max(ranges[i].First, s.first)-s.first, min(ranges[i].End, end)-s.first
			if s.rows != nil {
				f, _ := slices.BinarySearch(s.rows, first)
				l, _ := slices.BinarySearch(s.rows, last)
				first, last = uint32(f), uint32(l)
			}
			if first < last {
				a.within = append(a.within, dense.Range{First: first, End: last})
			}
		}
		if len(a.within) > manyRanges {
			a.bitmap = make(dense.Bitmap, (s.dense.Len()+63)/64)
			for _, r := range a.within {
				a.bitmap.SetRange(int(r.First), int(r.End))
			}
			a.within = nil
		}
	}
	return out
}
