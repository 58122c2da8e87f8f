package review

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rxedge/centre/check"
	"rxedge/centre/compare"
	"rxedge/centre/library"
	"rxedge/index/document"
	"rxedge/sync/central"
)

// Policy is who decides where nothing matters.
const Policy = "policy"

// Desk is where versions are decided.
type Desk struct {
	Library *library.Library
	Folder  *central.Folder
	// Golden asks the golden questions of two versions of a document, before may be
	// nil; nil asks none.
	Golden func(ctx context.Context, before, after *document.Document) (changes []GoldenChange, asked int, err error)
}

// ErrUnsigned: the library says that something was decided, and no signed record does.
var ErrUnsigned = errors.New("the library says that it was approved, and no signed record does; it was changed by other means than 'rxedge central review'. Restore the centre's folder from its backup")

// Assess a candidate, or take the assessment that there is of it beside the version that
// is approved now.
func (d *Desk) Assess(ctx context.Context, v *library.Version) (*Report, error) {
	current, err := d.Library.CurrentHash(ctx, v.ID)
	if err != nil {
		return nil, err
	}
	if v.State != library.Candidate {
		current = v.Before
	}
	a, err := d.Library.Assessment(ctx, v.Ref)
	if err != nil {
		return nil, err
	}
	if a != nil && (a.Against == current || v.State != library.Candidate) {
		r := &Report{}
		if err := json.Unmarshal(a.Report, r); err != nil {
			return nil, fmt.Errorf("the assessment of %s %.12s can't be read: %w", v.ID, v.Hash, err)
		}
		// One that was made without golden questions is made anew with them.
		if d.Golden == nil || r.Asked > 0 || r.First || v.State != library.Candidate {
			return r, nil
		}
	}
	r, err := d.report(ctx, v, current)
	if err != nil || v.State != library.Candidate || r.First {
		return r, err // what has nothing before is said anew as fast as it is read
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return r, d.Library.SetAssessment(ctx, v.Ref, library.Assessment{Against: r.Against, Matters: r.Matters, Report: b})
}

func (d *Desk) report(ctx context.Context, v *library.Version, against string) (*Report, error) {
	r := &Report{Ref: v.Ref, Title: v.Title, Version: v.Version, Run: v.Run, Against: against, First: against == "", Reasons: []Reason{}, Findings: append([]check.Finding{}, v.Findings...)}
	if check.Held(v.Findings) {
		r.Reasons = append(r.Reasons, Reason{Code: WasInQuarantine})
	}
	if !r.First {
		before, err := d.Library.Document(ctx, library.Ref{ID: v.ID, Hash: against})
		if err != nil {
			return nil, err
		}
		after, err := d.Library.Document(ctx, v.Ref)
		if err != nil {
			return nil, err
		}
		r.Comparison = compare.Documents(before, after)
		r.Reasons = append(r.Reasons, Judge(r.Comparison, isLabel(before, after))...)
		if d.Golden != nil {
			if r.Golden, r.Asked, err = d.Golden(ctx, before, after); err != nil {
				return nil, fmt.Errorf("asking golden questions of %s: %w", v.ID, err)
			}
			for _, g := range r.Golden {
				r.Reasons = append(r.Reasons, Reason{Code: AnswerChanged, Title: g.Question, Before: g.Before, After: g.After})
			}
		}
	}
	r.Matters = len(r.Reasons) > 0
	return r, nil
}

// Summary of a Run.
type Summary struct {
	Looked  int    `json:"looked"` // candidates
	Policy  int    `json:"policy"` // approved by the policy
	Waiting int    `json:"waiting"`
	Record  string `json:"record,omitempty"` // the last under which the policy approved
}

// atOnce are approved under one record.
const atOnce = 500

// Run looks at all candidates and approves, on record, those in which nothing matters;
// who is who let it run. The others wait for a person.
func (d *Desk) Run(ctx context.Context, who string, progress func(done, total int)) (*Summary, error) {
	all, err := d.Library.Candidates(ctx, library.Filter{})
	if err != nil {
		return nil, err
	}
	s := &Summary{}
	var good []Report
	approve := func() error {
		if len(good) == 0 {
			return nil
		}
		id, err := d.decide(ctx, good, true, who, central.By{Who: Policy, Reason: "nothing before, or nothing that matters changed"})
		if err != nil {
			return err
		}
		s.Policy, s.Record, good = s.Policy+len(good), id, nil
		return nil
	}
	// Of two versions of a document the later is looked at beside the earlier, so the
	// earlier is decided before.
	in := map[string]bool{}
	for i := range all {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		if in[all[i].ID] {
			if err := approve(); err != nil {
				return s, err
			}
			clear(in)
		}
		r, err := d.Assess(ctx, &all[i])
		if err != nil {
			return s, err
		}
		s.Looked++
		if r.Matters {
			s.Waiting++
		} else {
			good = append(good, *r)
			in[r.ID] = true
		}
		if len(good) == atOnce {
			if err := approve(); err != nil {
				return s, err
			}
			clear(in)
		}
		if progress != nil {
			progress(i+1, len(all))
		}
	}
	return s, approve()
}

// Decide about candidates as a person, all under one record, of which the id is returned.
func (d *Desk) Decide(ctx context.Context, vs []library.Version, approve bool, by central.By) (string, error) {
	if by.Who == Policy {
		return "", fmt.Errorf("%q is not a person", Policy)
	}
	var rs []Report
	for i := range vs {
		r, err := d.Assess(ctx, &vs[i])
		if err != nil {
			return "", err
		}
		rs = append(rs, *r)
	}
	return d.decide(ctx, rs, approve, Policy, by)
}

// matter is what a record of review says. The texts are in the library, by hash.
type matter struct {
	What     string        `json:"what"`               // versions, release, discard, run
	Versions int           `json:"versions,omitempty"` // how many
	Digest   string        `json:"digest,omitempty"`   // of them: see digest
	List     []library.Ref `json:"list,omitempty"`     // of few
	Run      string        `json:"run,omitempty"`
	Held     int           `json:"held,omitempty"` // of the run
	Refused  int64         `json:"refused,omitempty"`
}

// Things that are decided.
const (
	whatVersions = "versions"
	whatRelease  = "release"
	whatDiscard  = "discard"
	whatRun      = "run"
)

// mostListed versions are named in a record; of more it has the digest alone.
const mostListed = 500

// digest of versions: SHA-256 over their lines "id NUL hash LF", sorted.
func digest(refs []library.Ref) string {
	ls := make([]string, len(refs))
	for i, r := range refs {
		ls[i] = r.ID + "\x00" + r.Hash + "\n"
	}
	slices.Sort(ls)
	h := sha256.Sum256([]byte(strings.Join(ls, "")))
	return hex.EncodeToString(h[:])
}

func ofVersions(what string, refs []library.Ref) matter {
	m := matter{What: what, Versions: len(refs), Digest: digest(refs)}
	if len(refs) <= mostListed {
		m.List = refs
	}
	return m
}

// sign a decision: a matter that opener opens and by decides. It is on disk, and part of
// the fleet's record, before the library hears of it.
func (d *Desk) sign(m matter, approve bool, opener string, by central.By) (string, error) {
	cause := m.What + " " + m.Run + m.Digest
	if m.Refused > 0 {
		cause += fmt.Sprint(m.Refused)
	}
	open, _, err := d.Folder.OpenMatter(central.ReviewRequested, cause, m, 0, central.By{Who: opener})
	if err != nil {
		return "", err
	}
	if open, err = d.Folder.Decide(open.ID, approve, by); err != nil {
		return "", err
	}
	return open.ID, nil
}

func (d *Desk) decide(ctx context.Context, rs []Report, approve bool, opener string, by central.By) (string, error) {
	refs, verdicts := make([]library.Ref, len(rs)), make([]library.Verdict, len(rs))
	for i, r := range rs {
		refs[i], verdicts[i] = r.Ref, library.Verdict{Ref: r.Ref, Against: r.Against, Approve: approve}
	}
	id, err := d.sign(ofVersions(whatVersions, refs), approve, opener, by)
	if err != nil {
		return "", err
	}
	return id, d.Library.Decide(ctx, verdicts, library.By{Who: by.Who, Why: by.Reason, Record: id})
}

// Release versions from quarantine.
func (d *Desk) Release(ctx context.Context, refs []library.Ref, by central.By) (string, error) {
	return d.held(ctx, whatRelease, refs, by, d.Library.Release)
}

// Discard versions that are in quarantine.
func (d *Desk) Discard(ctx context.Context, refs []library.Ref, by central.By) (string, error) {
	return d.held(ctx, whatDiscard, refs, by, d.Library.Discard)
}

func (d *Desk) held(ctx context.Context, what string, refs []library.Ref, by central.By, do func(context.Context, library.Ref, library.By) error) (string, error) {
	for _, r := range refs {
		v, err := d.Library.Find(ctx, r.ID, r.Hash)
		if err != nil {
			return "", err
		}
		if v.State != library.Quarantined {
			return "", fmt.Errorf("%s %.12s is %s: %w", r.ID, r.Hash, v.State, library.ErrState)
		}
	}
	id, err := d.sign(ofVersions(what, refs), true, Policy, by)
	if err != nil {
		return "", err
	}
	for _, r := range refs {
		if err := do(ctx, r, library.By{Who: by.Who, Why: by.Reason, Record: id}); err != nil {
			return id, err
		}
	}
	return id, nil
}

// DiscardRefused takes a file that could not be read out of quarantine.
func (d *Desk) DiscardRefused(ctx context.Context, key int64, by central.By) (string, error) {
	id, err := d.sign(matter{What: whatDiscard, Refused: key}, true, Policy, by)
	if err != nil {
		return "", err
	}
	return id, d.Library.DiscardRefused(ctx, key, library.By{Who: by.Who, Why: by.Reason, Record: id})
}

// ApproveRun lets a run be published in spite of its alert.
func (d *Desk) ApproveRun(ctx context.Context, run string, by central.By) (*library.Run, error) {
	r, err := d.Library.Run(ctx, run)
	if err != nil {
		return nil, err
	}
	if !r.Blocked {
		return nil, fmt.Errorf("run %s is not held up: %w", run, library.ErrState)
	}
	id, err := d.sign(matter{What: whatRun, Run: run, Held: r.Quarantined + r.Refused}, true, Policy, by)
	if err != nil {
		return nil, err
	}
	return d.Library.ApproveRun(ctx, run, library.By{Who: by.Who, Why: by.Reason, Record: id})
}

// Verify that each of these versions was approved on record, and each of their runs that
// has an alert: the library is a file that others may write to, the records are signed.
func (d *Desk) Verify(ctx context.Context, vs []library.Version) error {
	all, err := d.Folder.Matters()
	if err != nil {
		return err
	}
	matters := map[string]*central.Matter{}
	for _, m := range all {
		matters[m.ID] = m
	}
	says := func(id, what string) (m matter, ok bool) {
		x := matters[id]
		if x == nil || x.Decided == nil || x.Decided.Action != central.ReviewApproved || json.Unmarshal(x.Data, &m) != nil {
			return m, false
		}
		return m, m.What == what
	}
	good, runs := map[string]map[library.Ref]bool{}, map[string]bool{}
	for _, v := range vs {
		ds, err := d.Library.Decisions(ctx, v.Ref)
		if err != nil {
			return err
		}
		ok := false
		for _, x := range ds {
			if x.What != "approved" || ok {
				continue
			}
			if _, seen := good[x.Record]; !seen {
				good[x.Record] = map[library.Ref]bool{}
				refs, err := d.Library.Under(ctx, x.Record, "approved")
				if err != nil {
					return err
				}
				if m, signed := says(x.Record, whatVersions); signed && m.Digest == digest(refs) && m.Versions == len(refs) {
					for _, r := range refs {
						good[x.Record][r] = true
					}
				}
			}
			ok = good[x.Record][v.Ref]
		}
		if !ok {
			return fmt.Errorf("%s %.12s: %w", v.ID, v.Hash, ErrUnsigned)
		}
		if runs[v.Run] {
			continue
		}
		runs[v.Run] = true
		r, err := d.Library.Run(ctx, v.Run)
		if err != nil {
			return err
		}
		if r.Approval != nil && r.Alert {
			if m, signed := says(r.Approval.Record, whatRun); !signed || m.Run != r.ID || m.Held < r.Quarantined+r.Refused {
				return fmt.Errorf("run %s: %w", r.ID, ErrUnsigned)
			}
		}
	}
	return nil
}
