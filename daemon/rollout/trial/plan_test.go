package trial

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParsePlan(t *testing.T) {
	t.Parallel()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ann := fmt.Sprintf(`"approvers":[{"name":"ann","key":%q}]`, base64.StdEncoding.EncodeToString(pub))
	p, err := ParsePlan([]byte(`{"format":1,"id":"june","percent":10,"promotion":"approval",` + ann + `}`))
	if err != nil {
		t.Fatal(err)
	}
	c := p.Config(3 * time.Second)
	if c.ID != "june" || c.Percent != 10 || c.Budget != 3*time.Second || New(c, start).s.Config.Least != Default().Least {
		t.Errorf("%+v", c)
	}
	for want, text := range map[string]string{
		"unknown field":       `{"format":1,"id":"june","promotion":"patch","percents":10}`,
		"more behind":         `{"format":1,"id":"june","promotion":"patch"} {}`,
		"format 2":            `{"format":2,"id":"june","promotion":"patch"}`,
		"id":                  `{"format":1,"id":"../june","promotion":"patch"}`,
		"percent":             `{"format":1,"id":"june","promotion":"patch","percent":101}`,
		"effect":              `{"format":1,"id":"june","promotion":"patch","effect":-1}`,
		"margin: 0.1 is abo":  `{"format":1,"id":"june","promotion":"patch","margin":0.1}`,
		"margin: 0.3 is out":  `{"format":1,"id":"june","promotion":"patch","effect":0.4,"margin":0.3}`,
		"neither":             `{"format":1,"id":"june","promotion":"always"}`,
		"nobody":              `{"format":1,"id":"june","promotion":"approval"}`,
		"no Ed25519 key":      `{"format":1,"id":"june","promotion":"patch","approvers":[{"name":"ann","key":"AAAA"}]}`,
		"has a name of its o": strings.Replace(`{"format":1,"id":"june","promotion":"patch",`+ann+`}`, `"ann"`, `""`, 1),
		"the most is 65536":   `{"format":1,"id":"` + strings.Repeat("x", 1<<16) + `"}`,
	} {
		if _, err := ParsePlan([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	a := Approval{Trial: "june", From: "model a", To: "model b", By: "ann", At: start}
	a.Sign(key)
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := p.Keys()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseApproval(b); err != nil || MayPromote(p.Promotion, "june", Verdict{Decision: Promote}, "model a", "model b", false, &again, keys) != nil {
		t.Errorf("%v %+v", err, again)
	}
	if _, err := ParseApproval([]byte(`{"trial":"june","by":"ann","to":"model b"}`)); err == nil {
		t.Error("read without a signature")
	}
}

func FuzzParsePlan(f *testing.F) {
	f.Add([]byte(`{"format":1,"id":"june","percent":10,"promotion":"patch"}`))
	f.Add([]byte(`{"trial":"june","from":"a","to":"b","by":"ann","at":"2026-06-01T09:00:00Z","signature":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePlan(b); err == nil && (p.ID == "" || !(p.Percent >= 0 && p.Percent <= 100)) {
			t.Fatalf("%+v", p)
		}
		if a, err := ParseApproval(b); err == nil && len(a.Signature) != ed25519.SignatureSize {
			t.Fatalf("%+v", a)
		}
	})
}
