package record

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
)

func signed(t testing.TB, k ed25519.PrivateKey, f Fleet) Signed {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return Seal(FleetContext, b, k)
}

func keyed(t testing.TB) (ed25519.PrivateKey, string) {
	t.Helper()
	_, k, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k, Seal("", nil, k).Key
}

// Only what was proposed and what another person approved of it, both signed by a key of
// the fleet, is approved.
func TestApproved(t *testing.T) {
	t.Parallel()
	k, name := keyed(t)
	other, _ := keyed(t)
	keys := map[string]bool{name: true}
	proposal := Fleet{Seq: 4, Who: "ann", Action: ThresholdsProposed, ID: "thresholds-4", Data: json.RawMessage(`{}`)}
	approval := Fleet{Seq: 5, Who: "rui", Action: ThresholdsApproved, ID: "thresholds-4"}
	good := func() *Approved { return &Approved{1, signed(t, k, proposal), signed(t, k, approval)} }
	b, err := json.MarshalIndent(good(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if p, d, err := a.Open(ThresholdsProposed, keys); err != nil || p.ID != "thresholds-4" || d.Who != "rui" {
		t.Fatal(p, d, err)
	}
	with := func(f Fleet, change func(*Fleet)) Signed {
		change(&f)
		return signed(t, k, f)
	}
	for what, change := range map[string]func(*Approved){
		"no targets key":    func(a *Approved) { a.Approval = signed(t, other, approval) },
		"signature is":      func(a *Approved) { a.Approval.Signature = a.Proposal.Signature },
		"hash is not":       func(a *Approved) { a.Proposal.Record = json.RawMessage(`{"seq":4}`) },
		"same person":       func(a *Approved) { a.Approval = with(approval, func(f *Fleet) { f.Who = "ann" }) },
		"of thresholds-3":   func(a *Approved) { a.Approval = with(approval, func(f *Fleet) { f.ID = "thresholds-3" }) },
		"not approved":      func(a *Approved) { a.Approval = with(approval, func(f *Fleet) { f.Action = ThresholdsDeclined }) },
		"not thresholds.pr": func(a *Approved) { a.Proposal = with(proposal, func(f *Fleet) { f.Action = RetrainRequested }) },
		"the approval is o": func(a *Approved) { a.Approval = with(approval, func(f *Fleet) { f.Seq = 3 }) },
	} {
		a := good()
		change(a)
		if _, _, err := a.Open(ThresholdsProposed, keys); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	k, name := keyed(f)
	b, err := json.Marshal(Approved{1, signed(f, k, Fleet{Seq: 1, Who: "ann", Action: ThresholdsProposed, ID: "t-1"}), signed(f, k, Fleet{Seq: 2, Who: "rui", Action: ThresholdsApproved, ID: "t-1"})})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if a, err := Parse(b); err == nil {
			_, _, _ = a.Open(ThresholdsProposed, map[string]bool{name: true})
		}
	})
}
