package document

import (
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// stated is what was yielded under an id that a label states.
type stated struct {
	version, effective string
	file               string
	says               uint64
}

// again says that d need not be yielded: what was yielded before under its id says the
// same. Where that is of another version, the newer counts, and the older is a Problem.
func (r *reader) again(d *Document) (bool, error) {
	now := stated{d.Version, d.Effective, r.file0, fingerprint(d)}
	was, ok := r.stated[d.ID]
	if !ok {
		r.stated[d.ID] = now
		return false, nil
	}
	if was.says == now.says && was.version == now.version && was.effective == now.effective {
		return true, nil
	}
	older := func(newer string) Problem {
		return Problem{Field: "set id", Reason: "an older version of a label that comes once more: the newer one is read", Fix: "leave it out: the newer one is " + newer}
	}
	switch newer := compareVersions(now, was); {
	case newer > 0:
		p := older(now.file)
		p.File = was.file
		r.problems = append(r.problems, p)
		r.stated[d.ID] = now
		return false, nil
	case newer < 0:
		return true, older(was.file)
	}
	return true, Problem{Field: "set id", Reason: "the same version of a label that came before, with another text: the first one is read", Fix: "leave one of them out; the first one is " + was.file}
}

// compareVersions by their number, where both state one, then by their date.
func compareVersions(a, b stated) int {
	x, errA := strconv.Atoi(a.version)
	y, errB := strconv.Atoi(b.version)
	switch {
	case errA == nil && errB == nil && x != y:
		return x - y
	case a.effective > b.effective:
		return 1
	case a.effective < b.effective:
		return -1
	}
	return 0
}

// fingerprint of what a document says; for telling doubles, not for trust.
func fingerprint(d *Document) uint64 {
	h := xxhash.New()
	for i := range d.Sections {
		_, _ = h.WriteString(d.Sections[i].ID)
		_, _ = h.WriteString(d.Sections[i].Text)
	}
	_, _ = h.WriteString(d.Title)
	return h.Sum64()
}
