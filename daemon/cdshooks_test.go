package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"rxedge/daemon/cdshooks"
)

const instance = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"

type object = map[string]any

// order of a medicine by its text, and by codings where there are any.
func order(id, text string, codings ...object) object {
	c := object{}
	if text != "" {
		c["text"] = text
	}
	if codings != nil {
		c["coding"] = codings
	}
	return object{"resourceType": "MedicationRequest", "id": id, "status": "active", "medicationCodeableConcept": c}
}

func bundleOf(resources ...object) object {
	entries := []object{}
	for _, r := range resources {
		entries = append(entries, object{"resource": r})
	}
	return object{"resourceType": "Bundle", "entry": entries}
}

func egfr(value float64, at string) object {
	return object{"resourceType": "Observation", "status": "final", "effectiveDateTime": at, "valueQuantity": object{"value": value, "unit": "mL/min/1.73 m2"},
		"code": object{"coding": []object{{"system": "http://loinc.org", "code": "98979-8"}}}}
}

func sign(prefetch object, drafts ...object) object {
	return object{"hook": "order-sign", "hookInstance": instance, "prefetch": prefetch,
		"context": object{"userId": "Practitioner/1", "patientId": "1", "draftOrders": bundleOf(drafts...)}}
}

// schema of a part of CDS Hooks 2.0, written from the specification's text.
func schema(t *testing.T, part string) *jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile("testdata/cdshooks.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("cdshooks.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cdshooks.json#/$defs/" + part)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *station) raw(t *testing.T, method, path string, body any) (int, http.Header, []byte) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := body.(string); ok {
		b = []byte(text)
	}
	req, _ := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(b))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, out
}

func valid(t *testing.T, s *jsonschema.Schema, b []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%v\n%s", err, b)
	}
}

// The schema is one of the specification's text: it takes that text's own examples
// and refuses each with one thing of it broken.
func TestSchemaOfCards(t *testing.T) {
	t.Parallel()
	const card = `{"uuid": "4e0a3a1e-3283-4575-ab82-028d55fe2719", "summary": "Example Card", "indicator": "info", "detail": "This is an example card.",
		"source": {"label": "Static CDS Service Example", "url": "https://example.com", "icon": "https://example.com/img/icon-100px.png", "topic": {"system": "http://example.org/topics", "code": "12345"}},
		"suggestions": [{"label": "Take less", "isRecommended": true, "actions": [{"type": "delete", "description": "Remove the order", "resourceId": "ServiceRequest/procedure-request-1"}]}], "selectionBehavior": "any",
		"overrideReasons": [{"code": "12354", "system": "http://example.org/override-reasons", "display": "Contraindicated"}],
		"links": [{"label": "SMART Example App", "url": "https://smart.example.com/launch", "type": "smart", "appContext": "{}"}]}`
	const feedback = `{"feedback": [{"card": "9368d37b-283f-44a0-93ea-547cebab93ed", "outcome": "overridden", "outcomeTimestamp": "2020-12-11T00:00:00Z",
		"overrideReason": {"reason": {"code": "d7ecf885", "system": "https://example.com/reasons"}, "userComment": "A comment entered by the clinician."}}]}`
	for _, c := range []struct{ part, good, old, broken string }{
		{"card", card, `"summary": "Example Card", `, ``},
		{"card", card, `"Example Card"`, `"` + strings.Repeat("x", 140) + `"`},
		{"card", card, `"indicator": "info"`, `"indicator": "hard-stop"`},
		{"card", card, `"label": "Static CDS Service Example", `, ``},
		{"card", card, `, "selectionBehavior": "any"`, ``},
		{"card", card, `, "display": "Contraindicated"`, ``},
		{"card", card, `"type": "smart"`, `"type": "absolute"`},
		{"card", card, `, "resourceId": "ServiceRequest/procedure-request-1"`, ``},
		{"card", card, `"detail"`, `"details"`},
		{"response", `{"cards": []}`, `"cards"`, `"card"`},
		{"discovery", `{"services": [{"hook": "order-sign", "id": "x", "description": "y"}]}`, `, "description": "y"`, ``},
		{"feedback", feedback, `"outcome": "overridden"`, `"outcome": "ignored"`},
		{"feedback", feedback, `"outcome": "overridden"`, `"outcome": "accepted"`},
		{"feedback", feedback, `, "outcomeTimestamp": "2020-12-11T00:00:00Z"`, ``},
	} {
		s := schema(t, c.part)
		valid(t, s, []byte(c.good))
		bad := strings.Replace(c.good, c.old, c.broken, 1)
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil || bad == c.good {
			t.Fatalf("%v: %s", err, bad)
		}
		if s.Validate(v) == nil {
			t.Errorf("%s: taken though broken: %s", c.part, bad)
		}
	}
}

// Cards say what the labels say of the medicines and the patient at hand, and
// nothing where they say nothing.
func TestCards(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	_, _, b := s.raw(t, "GET", "/cds-services", nil)
	valid(t, schema(t, "discovery"), b)
	response := schema(t, "response")
	warfarin, metformin, ibuprofen := order("1", "Warfarin sodium 5 mg tablet"), order("2", "", object{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "860975", "display": "metformin hydrochloride 500 MG Oral Tablet"}), order("3", "Ibuprofen 400 mg")
	choose := func(selected string, drafts ...object) object {
		r := sign(object{}, drafts...)
		r["hook"] = "order-select"
		r["context"].(object)["selections"] = []string{selected}
		return r
	}
	view := object{"hook": "patient-view", "hookInstance": instance, "context": object{"userId": "Practitioner/1", "patientId": "1"}, "prefetch": object{"medications": bundleOf(warfarin, ibuprofen)}}
	ended := order("4", "Ibuprofen 400 mg")
	ended["status"] = "stopped"
	referred := object{"resourceType": "MedicationRequest", "id": "5", "status": "draft", "medicationReference": object{"reference": "#m"},
		"contained": []object{{"resourceType": "Medication", "id": "m", "code": object{"text": "ibuprofen"}}}}
	for _, c := range []struct {
		name, service string
		body          object
		indicator     string // of the first card; "": there is none
		says, section string
	}{
		{"two orders", "rxedge-order-sign", sign(object{}, warfarin, ibuprofen), "warning", "Warfarin with ibuprofen carries a higher risk", "Drug Interactions"},
		{"with a current medicine", "rxedge-order-sign", sign(object{"medications": bundleOf(ibuprofen)}, warfarin), "warning", "Warfarin with ibuprofen", "Drug Interactions"},
		{"by reference", "rxedge-order-sign", sign(object{}, warfarin, referred), "warning", "Warfarin with ibuprofen", "Drug Interactions"},
		{"kidney", "rxedge-order-sign", sign(object{"renal": bundleOf(egfr(28, "2026-11-01"), egfr(80, "2020-01-01"))}, metformin), "critical", "contraindicated when the eGFR is below 30", "Renal Impairment"},
		{"kidney, between", "rxedge-order-sign", sign(object{"renal": egfr(40, "2026-11-01")}, metformin), "warning", "between 30 and 45", "Renal Impairment"},
		{"healthy kidney", "rxedge-order-sign", sign(object{"renal": egfr(95, "2026-11-01")}, metformin), "", "", ""},
		{"condition", "rxedge-order-sign", sign(object{"conditions": bundleOf(object{"resourceType": "Condition", "code": object{"text": "Pregnancy"}})}, warfarin), "critical", "contraindicated in pregnancy", "Contraindications"},
		{"nothing to say", "rxedge-order-sign", sign(object{}, metformin), "", "", ""},
		{"one ended", "rxedge-order-sign", sign(object{"medications": bundleOf(ended)}, warfarin), "", "", ""},
		{"unknown medicine", "rxedge-order-sign", sign(object{}, order("1", "Wondermab 5 mg"), warfarin), "", "", ""},
		{"no medicine", "rxedge-order-sign", sign(object{}, object{"resourceType": "ServiceRequest", "id": "1"}), "", "", ""},
		{"no order", "rxedge-order-sign", sign(object{}), "", "", ""},
		{"selected", "rxedge-order-select", choose("MedicationRequest/1", warfarin, ibuprofen), "warning", "Warfarin with ibuprofen", "Drug Interactions"},
		{"boxed warning", "rxedge-order-select", choose("MedicationRequest/1", warfarin), "warning", "bleeding", "Boxed Warning"},
		{"current medicines", "rxedge-patient-view", view, "warning", "Warfarin with ibuprofen", "Drug Interactions"},
	} {
		status, _, b := s.raw(t, "POST", "/cds-services/"+c.service, c.body)
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", c.name, status, b)
			continue
		}
		valid(t, response, b)
		var r cdshooks.Response
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.indicator == "" && len(r.Cards) > 0:
			t.Errorf("%s: a card without cause: %+v", c.name, r.Cards)
		case c.indicator == "":
		case len(r.Cards) == 0:
			t.Errorf("%s: no card", c.name)
		default:
			k := r.Cards[0]
			if k.Indicator != c.indicator || !strings.Contains(k.Detail, c.says) || !strings.Contains(k.Detail, c.section) || len(k.Links) == 0 || !strings.HasPrefix(k.Links[0].URL, s.url+"/#doc=sample-") {
				t.Errorf("%s: %s %q\n%s", c.name, k.Indicator, k.Summary, k.Detail)
			}
		}
	}
}

// What is wrong with a request is said; what is missing is 412.
func TestCardsRefused(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	with := func(change func(r object)) object {
		r := sign(object{}, order("1", "warfarin"))
		change(r)
		return r
	}
	for _, c := range []struct {
		name, service string
		body          any
		status        int
		says          string
	}{
		{"no service", "wonder", sign(object{}), 404, "no such service"},
		{"no JSON", "rxedge-order-sign", `{"hook": "order-sign`, 400, "ends in the middle"},
		{"a list", "rxedge-order-sign", `[]`, 400, "wrong type"},
		{"no hook", "rxedge-order-sign", with(func(r object) { delete(r, "hook") }), 400, "hook: is missing"},
		{"another hook", "rxedge-order-sign", with(func(r object) { r["hook"] = "patient-view" }), 400, "is for order-sign"},
		{"no instance", "rxedge-order-sign", with(func(r object) { r["hookInstance"] = "7" }), 400, "hookInstance"},
		{"no context", "rxedge-order-sign", with(func(r object) { delete(r, "context") }), 400, "context: is missing"},
		{"no user", "rxedge-order-sign", with(func(r object) { delete(r["context"].(object), "userId") }), 400, "context.userId"},
		{"no drafts", "rxedge-order-sign", with(func(r object) { delete(r["context"].(object), "draftOrders") }), 400, "context.draftOrders"},
		{"drafts are text", "rxedge-order-sign", with(func(r object) { r["context"].(object)["draftOrders"] = "x" }), 400, "context.draftOrders"},
		{"no resourceType", "rxedge-order-sign", with(func(r object) { r["context"].(object)["draftOrders"] = object{} }), 400, "resourceType is missing"},
		{"empty entry", "rxedge-order-sign", with(func(r object) {
			r["context"].(object)["draftOrders"] = object{"resourceType": "Bundle", "entry": []object{{}}}
		}), 400, "entry[0].resource"},
		{"order of nothing", "rxedge-order-sign", sign(object{}, object{"resourceType": "MedicationRequest", "id": "1"}), 400, "names no medicine"},
		{"birth date", "rxedge-order-sign", with(func(r object) {
			r["prefetch"] = object{"patient": object{"resourceType": "Patient", "birthDate": "soon"}}
		}), 400, "birthDate"},
		{"prefetch failed", "rxedge-order-sign", with(func(r object) { r["prefetch"] = object{"renal": object{"resourceType": "OperationOutcome"}} }), 412, "could not fetch"},
		{"no medications", "rxedge-patient-view", object{"hook": "patient-view", "hookInstance": instance, "context": object{"userId": "Practitioner/1", "patientId": "1"}}, 412, "prefetch.medications"},
	} {
		status, h, b := s.raw(t, "POST", "/cds-services/"+c.service, c.body)
		var p struct{ Code, Detail string }
		if err := json.Unmarshal(b, &p); err != nil || status != c.status || !strings.Contains(p.Detail, c.says) || p.Code == "" || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d %q", c.name, status, b, c.status, c.says)
		}
	}
}

// What became of a card goes into the same store as all feedback, once.
func TestCardFeedback(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, nil)
	var r cdshooks.Response
	s.do(t, "POST", "/cds-services/rxedge-order-sign", sign(object{}, order("1", "warfarin"), order("2", "ibuprofen")), &r)
	if len(r.Cards) == 0 {
		t.Fatal("no card")
	}
	report := object{"card": r.Cards[0].UUID, "outcome": "overridden", "outcomeTimestamp": "2026-11-29T10:00:00Z",
		"overrideReason": object{"reason": object{"code": "monitored", "system": cdshooks.OverrideSystem}, "userComment": "INR is checked."}}
	path := "/cds-services/rxedge-order-sign/feedback"
	sent, err := json.Marshal(object{"feedback": []object{report}})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, schema(t, "feedback"), sent)
	for range 2 {
		if status, _, b := s.raw(t, "POST", path, object{"feedback": []object{report}}); status != 200 {
			t.Fatalf("%d %s", status, b)
		}
	}
	_, _, metrics := s.raw(t, "GET", "/metrics", nil)
	if !strings.Contains(string(metrics), "rxedge_feedback_records 1\n") {
		t.Error("sent twice it does not count once")
	}
	for name, body := range map[string]any{
		"unknown card": object{"feedback": []object{{"card": instance, "outcome": "accepted", "outcomeTimestamp": "2026-11-29T10:00:00Z"}}},
		"no time":      object{"feedback": []object{{"card": r.Cards[0].UUID, "outcome": "accepted"}}},
		"outcome":      object{"feedback": []object{{"card": r.Cards[0].UUID, "outcome": "ignored", "outcomeTimestamp": "2026-11-29T10:00:00Z"}}},
		"none":         object{"feedback": []object{}},
		"no JSON":      `{`,
	} {
		want := 400
		if name == "unknown card" {
			want = 404
		}
		if status, _, b := s.raw(t, "POST", path, body); status != want {
			t.Errorf("%s: %d %s", name, status, b)
		}
	}
}
