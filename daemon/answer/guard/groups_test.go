package guard

import (
	"encoding/json"
	"strings"
	"testing"
)

func groupsJSON(t testing.TB, change func(*Groups)) []byte {
	t.Helper()
	g := &Groups{Guard: Hash(), Own: 0.5, Groups: []Group{{Cohort: "0-17", Threshold: 0.3}, {Cohort: "65+", Threshold: 0.6}}}
	if change != nil {
		change(g)
	}
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseGroups(t *testing.T) {
	t.Parallel()
	if g, err := ParseGroups(groupsJSON(t, nil)); err != nil || len(g.Groups) != 2 {
		t.Fatal(g, err)
	}
	for name, b := range map[string][]byte{
		"no SHA-256":      groupsJSON(t, func(g *Groups) { g.Guard = "x" }),
		"are named":       groupsJSON(t, func(g *Groups) { g.Groups = nil }),
		"no name":         groupsJSON(t, func(g *Groups) { g.Groups[0].Cohort = "Mr. Ito" }),
		"named twice":     groupsJSON(t, func(g *Groups) { g.Groups[1].Cohort = "0-17" }),
		"outside 0 to 1":  groupsJSON(t, func(g *Groups) { g.Groups[1].Threshold = 0 }),
		"unknown field":   []byte(`{"guards": 1}`),
		"more behind":     append(groupsJSON(t, nil), '{'),
		"thresholds of c": nil,
	} {
		if _, err := ParseGroups(b); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseGroups(f *testing.F) {
	f.Add(groupsJSON(f, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := ParseGroups(b)
		if err == nil && (&Applied{Groups: g}).For(g.Groups[0].Cohort, g.Own) == nil {
			t.Error("a group that was read is not found")
		}
	})
}

func TestDecideFor(t *testing.T) {
	t.Parallel()
	m := Builtin()
	g, err := ParseGroups(groupsJSON(t, func(g *Groups) { g.Groups[0].Threshold, g.Groups[1].Threshold = 1e-9, 1 }))
	if err != nil {
		t.Fatal(err)
	}
	a := &Applied{ID: "thresholds-4", Approved: "rui", Groups: g}
	var v Vector
	own := m.Decide(v, false)
	if d := m.DecideFor(v, true, a.For("0-17", m.Threshold)); d.Doubt != High || d.Threshold != 1e-9 || d.Wrong != own.Wrong || !strings.Contains(strings.Join(d.Summary, " "), "thresholds-4") {
		t.Errorf("%+v", d)
	}
	if d := m.DecideFor(v, false, a.For("65+", m.Threshold)); d.Doubt == High || d.Group == nil || d.Group.Own != m.Threshold {
		t.Errorf("%+v", d)
	}
	var none *Applied
	for _, g := range []*Mitigation{a.For("18-64", 0), a.For("", 0), none.For("0-17", 0)} {
		if d := m.DecideFor(v, false, g); d.Group != nil || d.Threshold != m.Threshold || d.Doubt != own.Doubt {
			t.Errorf("%+v", d)
		}
	}
}
