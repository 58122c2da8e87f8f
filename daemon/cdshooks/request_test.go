package cdshooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unicode/utf8"
)

// Whatever is sent, reading ends with a request or with an error that says
// where, and quotes nothing.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(`{"hook":"order-select","hookInstance":"d1577c69-dfbe-44ad-ba6d-3e05e953b2ea","context":{"userId":"P/1","patientId":"1","selections":["MedicationRequest/1"],"draftOrders":{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MedicationRequest","id":"1","medicationReference":{"reference":"#m"},"contained":[{"resourceType":"Medication","id":"m","code":{"coding":[{"system":"http://hl7.org/fhir/sid/ndc","code":"0093-1048-01"}]}}]}}]}},"prefetch":{"patient":{"resourceType":"Patient","birthDate":"1950"},"renal":{"resourceType":"Observation","code":{"coding":[{"code":"33914-3"}]},"valueQuantity":{"value":30}}}}`))
	f.Add([]byte(`{"hook":"patient-view","hookInstance":"d1577c69-dfbe-44ad-ba6d-3e05e953b2ea","context":{"userId":"P/1","patientId":"1"},"prefetch":{"medications":null}}`))
	f.Add([]byte(`[1]`))
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, s := range Services().Services {
			r, err := ReadRequest(s, bytes.NewReader(body), now)
			var re *RequestError
			if err != nil {
				if !errors.As(err, &re) || re.Detail == "" {
					t.Fatalf("%T %v", err, err)
				}
				continue
			}
			for _, m := range append(r.Orders, r.Others...) {
				if !utf8.ValidString(m.Text) || len(m.Text) > maxText {
					t.Fatalf("a name of %d bytes", len(m.Text))
				}
			}
		}
		var fb Feedback
		if json.Unmarshal(body, &fb) == nil {
			_, _ = fb.Items()
		}
	})
}

func TestRenal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sentence string
		value    float64
		want     bool
	}{
		{"It is contraindicated when the eGFR is below 30 mL/min/1.73 m².", 28, true},
		{"It is contraindicated when the eGFR is below 30 mL/min/1.73 m².", 40, false},
		{"Starting is not recommended when the eGFR is between 30 and 45 mL/min/1.73 m².", 40, true},
		{"Reduce the dose when creatinine clearance is 15 to 29 mL/min.", 20, true},
		{"Reduce the dose in severe renal impairment.", 20, true},
		{"The starting dose is 500 mg twice a day.", 20, false},
	} {
		if renal(c.sentence, c.value) != c.want {
			t.Errorf("%q at %.0f: want %v", c.sentence, c.value, c.want)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	if got := markdown("a [b](c) *d* <e>"); got != `a \[b\](c) \*d\* \<e\>` {
		t.Error(got)
	}
	if got := shorten("äöüäöü", 4); got != "äöü…" {
		t.Error(got)
	}
}
