package review_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/centre/compare"
	"rxedge/centre/library"
	"rxedge/centre/review"
	"rxedge/daemon/rollout/validate"
	"rxedge/index/document"
	"rxedge/sync/central"
)

func desk(t testing.TB) *review.Desk {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "central")
	f, err := central.Init(dir, central.InitOptions{Name: "test", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := library.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &review.Desk{Library: l, Folder: f}
}

func label(id, version, dose, studies string) *document.Document {
	s := func(loinc, title, text string) document.Section {
		return document.Section{ID: id + "#" + loinc, LOINC: loinc, Title: title, Text: text}
	}
	return &document.Document{ID: id, Version: version, Kind: document.KindSPL, Title: id, Source: id + version, Sections: []document.Section{
		s("34067-9", "Indications", "For pain of "+id+"."), s("34068-7", "Dosage", "Take "+dose+" of "+id+" twice daily."),
		s("34070-3", "Contraindications", "Not for children."), s("34092-7", "Clinical Studies", studies)}}
}

func commit(t testing.TB, d *review.Desk, run string, doc *document.Document) *library.Version {
	t.Helper()
	h := sha256.Sum256([]byte(doc.Source))
	v, err := d.Library.Commit(t.Context(), library.Item{Document: doc, Run: run, Source: library.Source{SHA256: hex.EncodeToString(h[:]), Name: doc.Source}})
	if err != nil {
		t.Fatal(err)
	}
	return &v
}

func TestWhatTheReasonsAre(t *testing.T) {
	t.Parallel()
	with := func(loinc, text string) *document.Document {
		d := label("a", "1", "10 mg", "It helped.")
		for i := range d.Sections {
			if d.Sections[i].LOINC == loinc {
				d.Sections[i].Text = text
				return d
			}
		}
		d.Sections = append(d.Sections, document.Section{ID: "a#" + loinc, LOINC: loinc, Title: "t", Text: text})
		return d
	}
	for _, c := range []struct{ loinc, before, after, want string }{
		{"34068-7", "Take 10 mg of it twice daily.", "Take 20 mg of it twice daily.", review.DoseChanged},
		{"34066-1", "", "It may kill.", review.SectionNew + " " + review.BoxedWarning},
		{"34066-1", "It may kill.", "", review.SectionGone + " " + review.BoxedWarning},
		{"34067-9", "For pain. For fever.", "For pain.", review.Indication},
		{"34070-3", "Not for children.", "Not for children. Not in pregnancy.", review.Contraindication},
		{"34068-7", "Take it with food.", "Take it with food. Do not chew it.", review.DosageText},
		{"43685-7", "It may harm.", "It may harm the liver too.", review.WarningText},
		{"34073-7", "Not with warfarin.", "Not with warfarin. Not with alcohol.", review.InteractionText},
		{"34081-0", "Not studied in children.", "Studied in children over six and found to be safe.", review.PopulationText + " " + review.PopulationText},
		{"34088-5", "Call for help.", "Call for help. Give charcoal.", review.OverdosageText},
		{"34092-7", "Of the patients 45% were better.", "Of the patients 46% were better.", ""},
		{"34092-7", "They took 10 mg each morning.", "They took 20 mg each morning.", review.DoseChanged},
		{"51945-4", "NDC 1 10 mg 90 Tablets", "NDC 1 20 mg 30 Tablets", ""},
		{"34084-4", "Headache was seen.", "Headache was seen. Rash was seen.", ""},
	} {
		before, after := with(c.loinc, c.before), with(c.loinc, c.after)
		drop := func(d *document.Document) {
			d.Sections = slices.DeleteFunc(d.Sections, func(s document.Section) bool { return s.Text == "" })
		}
		drop(before)
		drop(after)
		var got []string
		for _, r := range review.Judge(compare.Documents(before, after), true) {
			got = append(got, r.Code)
		}
		if s := strings.Join(got, " "); sorted(s) != sorted(c.want) {
			t.Errorf("%s: %q → %q: %q, want %q", c.loinc, c.before, c.after, s, c.want)
		}
	}
	other := compare.Documents(&document.Document{ID: "g", Sections: []document.Section{{ID: "g#1", Title: "Advice", Text: "Rest."}}}, &document.Document{ID: "g", Sections: []document.Section{{ID: "g#1", Title: "Advice", Text: "Run."}}})
	if rs := review.Judge(other, false); len(rs) != 2 || rs[0].Code != review.OtherText {
		t.Errorf("a guideline: %+v", rs)
	}
}

func sorted(s string) string {
	f := strings.Fields(s)
	slices.Sort(f)
	return strings.Join(f, " ")
}

func TestPolicyAndPeople(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), desk(t)
	for i := range 3 {
		commit(t, d, "r1", label(fmt.Sprint("m", i), "1", "10 mg", "It helped."))
	}
	// Two versions of one document in one run: the later is looked at beside the earlier.
	commit(t, d, "r1", label("m0", "2", "10 mg", "It helped many."))
	dose := commit(t, d, "r1", label("m1", "2", "20 mg", "It helped."))
	s, err := d.Run(ctx, "ann", nil)
	if err != nil || s.Looked != 5 || s.Policy != 4 || s.Waiting != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	p, err := d.Library.Pending(ctx, "stable")
	if err != nil || len(p.Versions) != 3 {
		t.Fatalf("pending: %+v, %v", p, err)
	}
	if err := d.Verify(ctx, p.Versions); err != nil {
		t.Error(err)
	}
	ms, err := d.Folder.Matters()
	if err != nil || len(ms) != 2 || ms[0].Who != "ann" || ms[0].Decided.Who != review.Policy || ms[0].State != "approved" {
		t.Fatalf("records: %+v, %v", ms, err)
	}
	if _, err := d.Decide(ctx, []library.Version{*dose}, true, central.By{Who: review.Policy}); err == nil {
		t.Error("the policy decided as a person")
	}
	id, err := d.Decide(ctx, []library.Version{*dose}, false, central.By{Who: "rui", Reason: "no"})
	if err != nil {
		t.Fatal(err)
	}
	ms, _ = d.Folder.Matters()
	if m := ms[len(ms)-1]; m.ID != id || m.State != "declined" || m.Decided.Who != "rui" || !strings.Contains(string(m.Data), dose.Hash) {
		t.Errorf("the record: %+v", m)
	}
	if v, err := d.Library.Find(ctx, "m1", dose.Hash); err != nil || v.State != library.Rejected {
		t.Errorf("rejected: %+v, %v", v, err)
	}
}

// TestVerify changes the library behind the records' back.
func TestVerify(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), desk(t)
	a, b := commit(t, d, "r", label("a", "1", "10 mg", "x")), commit(t, d, "r", label("b", "1", "10 mg", "y"))
	id, err := d.Decide(ctx, []library.Version{*a}, true, central.By{Who: "rui", Reason: "ok"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(ctx, []library.Version{*a}); err != nil {
		t.Error(err)
	}
	for _, record := range []string{"", "review-99", id} {
		c := commit(t, d, "r", label("c"+record, "1", "10 mg", record))
		if err := d.Library.Decide(ctx, []library.Verdict{{Ref: c.Ref, Approve: true}}, library.By{Who: "rui", Record: record}); err != nil {
			t.Fatal(err)
		}
		if err := d.Verify(ctx, []library.Version{*c}); !errors.Is(err, review.ErrUnsigned) {
			t.Errorf("approved under %q: %v", record, err)
		}
	}
	if err := d.Verify(ctx, []library.Version{*b}); !errors.Is(err, review.ErrUnsigned) {
		t.Errorf("never approved: %v", err)
	}
}

// TestRealLabels reviews Lipitor's label of 2014 as the next version of that of 2012, and
// asks what both answer.
func TestRealLabels(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	read := func(name string) (d *document.Document) {
		if _, err := document.Read(t.Context(), filepath.Join(dir, "spl_xml", name), document.Options{}, func(x *document.Document) error {
			x.ID, d = "lipitor", x
			return nil
		}); err != nil {
			t.Skip("the real labels are not here: ", err)
		}
		return d
	}
	before, after := read("lipitor-repack.xml"), read("lipitor-orig.xml")
	d := desk(t)
	d.Golden = review.Golden([]validate.Golden{golden("boceprevir", "What is the maximum dose of Lipitor with boceprevir?"), golden("start", "What is the recommended starting dose of Lipitor?"), golden("other", "What is the dose of warfarin?")}, time.Date(2014, 6, 1, 0, 0, 0, 0, time.UTC))
	commit(t, d, "r1", before)
	if _, err := d.Run(t.Context(), "ann", nil); err != nil {
		t.Fatal(err)
	}
	v := commit(t, d, "r2", after)
	r, err := d.Assess(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, x := range r.Reasons {
		n[x.Code]++
	}
	t.Logf("%d of %d changes matter: %v", len(r.Reasons), len(r.Comparison.Changes), n)
	for _, g := range r.Golden {
		t.Logf("%s\n - %s\n + %s", g.Question, g.Before, g.After)
	}
	if n[review.DosageText] != 1 || n[review.WarningText] != 4 || n[review.InteractionText] != 1 || n[review.DoseChanged] != 1 || n[review.AnswerChanged] != 1 || r.Asked != 2 {
		t.Errorf("reasons: %v, %d asked", n, r.Asked)
	}
	if len(r.Golden) != 1 || r.Golden[0].ID != "boceprevir" || !strings.Contains(r.Golden[0].After, "40 mg") {
		t.Errorf("golden: %+v", r.Golden)
	}
}

func golden(id, question string) (g validate.Golden) {
	g.ID, g.Question.Question = id, question
	return g
}
