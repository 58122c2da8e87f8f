package generation

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sync"

	"rxedge/index/dense"
	"rxedge/index/lexical"
	"rxedge/index/names"
)

// View is a generation as it is after one of its updates. It never changes;
// an update makes another. Its passages are numbered from 0, withdrawn ones
// included; the numbers hold within the view alone. Safe for concurrent use
// until the generation is closed.
type View struct {
	g        *Generation
	units    []*unit        // the base and the updates, in order
	removed  map[string]int // documents, by the update that removed them
	newest   map[string]int // documents of updates: the place in units of their newest version
	lexicon  func() (*names.Lexicon, error)
	segments []*segment
	lexical  *lexical.Searcher
	info     Info

	documents, sections int // that are live

	filters sync.Mutex // guards what follows
	allowed map[string]*Allowed
	kept    int // ranges in allowed
}

// segment is what is searched at once: a unit's passages, or those of several
// small ones that were merged.
type segment struct {
	first   uint32 // number in the view of its first passage
	lexical *lexical.Segment
	dead    *lexical.Dead
	// numbers are the generation's, by passage, ascending; nil: begin and on.
	numbers []uint32
	begin   uint32

	dense  *dense.Segment // nil: no vectors
	rows   []uint32       // passage of the segment, by row of dense; nil: the same
	gone   dense.Bitmap   // rows that are withdrawn
	vector func(row int) []float32
	// names of the documents of one unit, or with owners of those of several
	// that are merged: the place in units, by document.
	names  *names.Segment
	unit   int
	owners []int
}

// unitOfName is the place in units of a document of names.
func (s *segment) unitOfName(doc uint32) int {
	if s.owners != nil {
		return s.owners[doc]
	}
	return s.unit
}

func (s *segment) passages() int { return s.lexical.Passages() }

// number of a passage in the generation.
func (s *segment) number(n uint32) uint32 {
	if s.numbers != nil {
		return s.numbers[n]
	}
	return s.begin + n
}

// find is number the other way round: the first passage from the number on.
func (s *segment) find(number uint32) uint32 {
	if s.numbers == nil {
		return min(max(number, s.begin)-s.begin, uint32(s.passages()))
	}
	i, _ := slices.BinarySearch(s.numbers, number)
	return uint32(i)
}

func segmentOf(u *unit, place int) *segment {
	s := &segment{names: u.names, unit: place, lexical: u.lexical, begin: u.first, dense: u.dense}
	if u.dense != nil {
		s.vector = u.vectors.at
		if u.info.Vectors != u.info.Passages {
			s.rows = make([]uint32, u.info.Vectors)
			for r := range s.rows {
				s.rows[r] = u.vectors.passage(r)
			}
		}
	}
	return s
}

// firstView is the base alone.
func firstView(g *Generation, base *unit) *View {
	return &View{g: g, units: []*unit{base}, removed: map[string]int{}, newest: map[string]int{}, segments: []*segment{segmentOf(base, 0)},
		documents: base.info.Documents, sections: base.info.Sections}
}

// next is a copy that may be changed until it is finished.
func (v *View) next() *View {
	w := &View{g: v.g, units: slices.Clip(v.units), removed: maps.Clone(v.removed), newest: maps.Clone(v.newest), documents: v.documents, sections: v.sections}
	for _, s := range v.segments {
		c := *s
		w.segments = append(w.segments, &c)
	}
	return w
}

// finish makes v searchable.
func (v *View) finish() error {
	parts := make([]lexical.Part, len(v.segments))
	next := uint32(0)
	for i, s := range v.segments {
		s.first = next
		parts[i] = lexical.Part{Segment: s.lexical, Base: next, Dead: s.dead}
		next += uint32(s.passages())
	}
	var err error
	if v.lexical, err = lexical.NewSearcher(lexical.DefaultParams, parts...); err != nil {
		return fmt.Errorf("%s: %w", v.g.manifest.Name, err)
	}
	v.count()
	v.lexicon = sync.OnceValues(func() (*names.Lexicon, error) {
		parts := make([]names.Part, len(v.segments))
		for i, s := range v.segments {
			parts[i] = names.Part{Segment: s.names, Dead: func(doc uint32) bool { return !v.lives(s.unitOfName(doc), s.names.ID(doc)) }}
		}
		return names.Combine(parts)
	})
	return nil
}

// Lexicon of the medicines of the table and of the view's documents.
func (v *View) Lexicon() (*names.Lexicon, error) { return v.lexicon() }

// Labelled says whether a document is about a medicine, as a label is and a
// guideline is not.
func (v *View) Labelled(id string) bool {
	u := v.owner(id)
	if u == nil {
		return false
	}
	i, _ := slices.BinarySearch(u.table.ids, id)
	return u.names.Label(uint32(i))
}

// count what is live.
func (v *View) count() {
	i := v.g.manifest.Info
	i.Passages, i.Vectors, i.Withdrawn = 0, 0, 0
	for _, s := range v.segments {
		i.Passages += s.passages() - s.dead.Passages()
		i.Withdrawn += s.dead.Passages()
		if s.dense != nil {
			i.Vectors += s.dense.Len() - ones(s.gone)
		}
	}
	last := v.units[len(v.units)-1]
	if i.Update = last.number; last.update != nil {
		i.Updated = last.update.Created
	}
	i.Documents, i.Sections = v.documents, v.sections
	for _, u := range v.units {
		switch {
		case u.info.Passages == 0 || i.Cut == u.info.Cut:
		case i.Cut == "":
			i.Cut = u.info.Cut
		default:
			i.Cut = CutMixed
		}
	}
	v.info = i
}

// lives says whether the newest version of a document is that of unit n.
func (v *View) lives(n int, id string) bool {
	if v.newest[id] != n { // 0, the base, where no update has it
		return false
	}
	return v.removed[id] <= v.units[n].number
}

// owner is the unit with the newest version of a document; nil where there is
// none.
func (v *View) owner(id string) *unit {
	u := v.units[v.newest[id]]
	if _, _, ok := u.table.find(id); !ok || v.removed[id] > u.number {
		return nil
	}
	return u
}

// add applies a unit to a view that is not finished: what it replaces and
// removes is withdrawn. withdrawn, where it is not nil, is the state of the
// base afterwards, which need not be reckoned again.
func (v *View) add(u *unit, withdrawn *lexical.Dead) error {
	gone := map[*segment][]uint32{} // passages of a segment
	withdraw := func(id string) error {
		o := v.owner(id)
		if o == nil {
			return nil
		}
		var h Header
		if err := o.must(key(kindDocument, id), &h); err != nil {
			return err
		}
		v.documents--
		v.sections -= h.Count
		first, end, _ := o.table.find(id)
		for n := first; n < end; n++ {
			s, p := v.locate(o.first + n)
			gone[s] = append(gone[s], p)
		}
		return nil
	}
	for _, ids := range [][]string{u.table.ids, u.update.Removed} {
		for _, id := range ids {
			if err := withdraw(id); err != nil {
				return err
			}
		}
	}
	v.documents += u.info.Documents
	v.sections += u.info.Sections
	for _, s := range v.segments {
		if ps := gone[s]; len(ps) > 0 {
			var given *lexical.Dead
			if s == v.segments[0] {
				given = withdrawn
			}
			if err := v.withdraw(s, ps, given); err != nil {
				return err
			}
		}
	}
	for _, id := range u.update.Removed {
		v.removed[id] = u.number
	}
	v.units = append(v.units, u)
	for _, id := range u.table.ids {
		v.newest[id] = len(v.units) - 1
	}
	v.segments = append(v.segments, segmentOf(u, len(v.units)-1))
	return nil
}

func (v *View) withdraw(s *segment, ps []uint32, given *lexical.Dead) error {
	if given != nil {
		s.dead = given
	} else {
		list := make([]lexical.Withdrawn, len(ps))
		for i, p := range ps {
			u := v.unitOf(s.number(p))
			record, err := u.passage(s.number(p) - u.first)
			if err != nil {
				return err
			}
			list[i] = lexical.Withdrawn{Number: p, Passage: record.indexed()}
		}
		dead, err := s.dead.With(s.lexical, v.g.Analyzer, list)
		if err != nil {
			return damaged("postings", err.Error())
		}
		s.dead = dead
	}
	if s.dense == nil {
		return nil
	}
	set := make(dense.Bitmap, (s.dense.Len()+63)/64)
	copy(set, s.gone)
	for _, p := range ps {
		row, ok := int(p), true
		if s.rows != nil {
			row, ok = slices.BinarySearch(s.rows, p)
		}
		if ok {
			set[row>>6] |= 1 << (row & 63)
		}
	}
	s.gone = set
	return nil
}

// locate a passage by the generation's number: in the last segment that begins
// no later, as segments without passages begin where the next one does.
func (v *View) locate(number uint32) (*segment, uint32) {
	i, _ := slices.BinarySearchFunc(v.segments, number, func(s *segment, n uint32) int {
		if s.number(0) <= n {
			return -1
		}
		return 1
	})
	s := v.segments[i-1]
	return s, s.find(number)
}

func (v *View) unitOf(number uint32) *unit {
	i, ok := slices.BinarySearchFunc(v.units, number, func(u *unit, n uint32) int {
		if u.first <= n {
			return -1
		}
		return 1
	})
	_ = ok // never: nothing compares equal
	return v.units[i-1]
}

// at is the unit of a passage of the view, and its number there.
func (v *View) at(n uint32) (*unit, uint32, error) {
	i, _ := slices.BinarySearchFunc(v.segments, n, func(s *segment, n uint32) int {
		if s.first <= n {
			return -1
		}
		return 1
	})
	if i == 0 || n-v.segments[i-1].first >= uint32(v.segments[i-1].passages()) {
		return nil, 0, ErrNotFound
	}
	number := v.segments[i-1].number(n - v.segments[i-1].first)
	u := v.unitOf(number)
	return u, number - u.first, nil
}

func ones(b dense.Bitmap) (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}
