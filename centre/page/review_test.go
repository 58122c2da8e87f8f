package page

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"rxedge/centre/check"
	"rxedge/centre/library"
	"rxedge/daemon/web/webtest"
	"rxedge/index/document"
	"rxedge/sync/central"
)

func labelOf(version, dose string) *document.Document {
	return &document.Document{ID: "set-1", Title: "Examplin tablets", Version: version, Effective: "2026-11-0" + version, Kind: document.KindSPL, Source: "examplin.xml", Sections: []document.Section{
		{ID: "set-1#34068-7", LOINC: "34068-7", Number: "2", Title: "Dosage and Administration", Text: "Adults take " + dose + " of it twice daily with food."},
		{ID: "set-1#34067-9", LOINC: "34067-9", Number: "1", Title: "Indications and Usage", Text: "It is for pain."},
	}}
}

// A changed dose is seen before and after, approved by a person with a reason, once, and
// on the signed record; what a check holds back is released; who only sees, decides
// nothing; and what was decided by another meanwhile is not decided again.
func TestReview(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	l, err := library.Open(w.fleet.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	commit := func(d *document.Document, run string, fs ...check.Finding) library.Version {
		t.Helper()
		if err := l.BeginRun(t.Context(), run, library.By{Who: "test"}); err != nil {
			t.Fatal(err)
		}
		v, err := l.Commit(t.Context(), library.Item{Document: d, Run: run, Passages: 2, Findings: fs, Source: library.Source{SHA256: strings.Repeat("0", 63) + d.Version, Name: "examplin.xml", Size: 10}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.EndRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		return v
	}
	first := commit(labelOf("1", "10 mg"), "run-1")
	if err := l.Decide(t.Context(), []library.Verdict{{Ref: first.Ref, Approve: true}}, library.By{Who: "test"}); err != nil {
		t.Fatal(err)
	}
	second := commit(labelOf("2", "100 mg"), "run-2")
	other := labelOf("3", "20 mg")
	other.ID, other.Title = "set-2", "Otherin"
	held := commit(other, "run-3", check.Finding{Code: "dose_factor", Severity: check.Quarantine, Reason: "a dose is ten times that of before", Fix: "Compare it with its source.", Before: "10 mg", After: "100 mg"})

	for _, c := range []struct {
		scheme        string
		width, height int64
	}{{"light", 1280, 900}, {"dark", 390, 844}} {
		p := w.signedIn(t, "vera", "/#review", c.width, c.height)
		p.Media("", c.scheme)
		for _, view := range []string{"review", "quarantine"} {
			p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "` + view + `"`))
			p.Until(shown + `"` + view + `" && document.querySelectorAll("#` + view + ` tbody tr").length === 1`)
			p.Shoot(fmt.Sprintf("fleet-%s-%d-%s", view, c.width, c.scheme), true)
			p.Click("#" + view + " tbody button")
			p.Until(`document.querySelector("#version-body .change") !== null`)
			if n := webtest.Eval[int](p, `document.querySelectorAll("[data-decide]").length`); n != 0 {
				t.Errorf("a viewer is offered %d decisions", n)
			}
			for _, v := range p.Violations() {
				t.Errorf("%s: %s", view, v)
			}
			if wide := webtest.Eval[int](p, `document.documentElement.scrollWidth`); int64(wide) > c.width {
				t.Errorf("%s is %d wide", view, wide)
			}
			p.Shoot(fmt.Sprintf("fleet-%s-version-%d-%s", view, c.width, c.scheme), false)
			p.Click("#version-close")
		}
		p.Clean()
	}

	p := w.signedIn(t, "rui", "/#review", 1280, 900)
	p.Until(shown + `"review" && document.querySelectorAll("#review tbody tr").length === 1`)
	// What is read again and is as it was stays under a person's hand.
	if !webtest.Eval[bool](p, `new Promise((done) => {
		const row = document.querySelector("#review tbody button"), reads = () => performance.getEntriesByType("resource").filter((r) => r.name.endsWith("/v1/documents")).length, had = reads();
		document.dispatchEvent(new Event("visibilitychange"));
		const look = () => reads() > had ? setTimeout(() => done(row.isConnected), 100) : setTimeout(look, 10);
		look();
	})`) {
		t.Error("a list that has not changed was drawn anew")
	}
	p.Click("#review tbody button")
	p.Until(`document.querySelector("[data-decide=approve]") !== null`)
	if says := strings.Join(p.Text("#version-body"), ""); !strings.Contains(says, "A dose, a limit or a frequency is another") || !strings.Contains(says, "10 mg → 100 mg") {
		t.Errorf("%s", says)
	}
	stale := fmt.Sprintf(`fetch("/v1/versions/approve", {method: "POST", headers: {"Rxedge-Request": "1"}, body: JSON.stringify({id: %q, hash: %q, against: "", reason: "not seen beside anything"})}).then((r) => r.status)`, second.ID, second.Hash)
	if got := webtest.Eval[int](p, stale); got != 409 {
		t.Errorf("approved beside nothing: %d", got)
	}
	p.Click("[data-decide=approve]")
	p.Until(`document.getElementById("step").open`)
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("step-reason").value = "the maker's letter says so"`))
	p.Click("#step-do")
	p.Until(`!document.getElementById("step").open && document.querySelectorAll("#review tbody tr").length === 0`)
	v, err := l.Find(t.Context(), second.ID, second.Hash)
	if err != nil || v.State != library.Approved {
		t.Fatalf("%+v %v", v, err)
	}
	ds, err := l.Decisions(t.Context(), second.Ref)
	if err != nil || len(ds) != 1 || ds[0].Who != "rui" || ds[0].Why != "the maker's letter says so" || ds[0].Record == "" {
		t.Errorf("%+v %v", ds, err)
	}
	if err := w.deskOpen.Verify(t.Context(), []library.Version{*v}); err != nil {
		t.Error(err)
	}
	if got := webtest.Eval[int](p, strings.Replace(stale, `against: ""`, fmt.Sprintf(`against: %q`, first.Hash), 1)); got != 409 {
		t.Errorf("approved twice: %d", got)
	}
	p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "quarantine"`))
	p.Until(shown + `"quarantine" && document.querySelectorAll("#quarantine tbody tr").length === 1`)
	p.Click("#quarantine tbody button")
	p.Until(`document.querySelector("[data-decide=release]") !== null`)
	p.Click("[data-decide=release]")
	p.Until(`document.getElementById("step").open`)
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("step-reason").value = "compared with its source"`))
	p.Click("#step-do")
	p.Until(`!document.getElementById("step").open && document.querySelectorAll("#quarantine tbody tr").length === 0`)
	if v, err := l.Find(t.Context(), held.ID, held.Hash); err != nil || v.State != library.Candidate {
		t.Errorf("%+v %v", v, err)
	}
	if _, err := w.fleet.Decide("review-1", true, central.By{Who: "x"}); errors.Is(err, central.ErrNoMatter) {
		t.Error("the decision is not on the fleet's record")
	}
}
