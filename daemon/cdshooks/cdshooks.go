// Package cdshooks makes cards of CDS Hooks 2.0 out of answers: it reads what
// medicines are ordered and what is known of the patient, asks the answer
// service, and shows what the labels say. It invents nothing: without a sentence
// of a label there is no card. What it reads of a patient goes into the
// questions and nowhere else.
//
// The specification: https://cds-hooks.hl7.org/2.0/ (discovery, service request,
// card attributes, feedback) and the hook library (order-select, order-sign,
// patient-view).
package cdshooks

import "rxedge/daemon/feedback"

// Service is one entry of the discovery.
type Service struct {
	Hook        string            `json:"hook"`
	Title       string            `json:"title,omitempty"`
	Description string            `json:"description"`
	ID          string            `json:"id"`
	Prefetch    map[string]string `json:"prefetch,omitempty"`
}

// Discovery is the answer of GET /cds-services.
type Discovery struct {
	Services []Service `json:"services"`
}

// Hooks that are served.
const (
	OrderSelect = "order-select"
	OrderSign   = "order-sign"
	PatientView = "patient-view"
)

// prefetch that every service asks for; each part may be left out, except
// medications for patient-view, which is about nothing else.
var prefetch = map[string]string{
	"patient":     "Patient/{{context.patientId}}",
	"medications": "MedicationRequest?patient={{context.patientId}}&status=active",
	"conditions":  "Condition?patient={{context.patientId}}&clinical-status=active",
	"renal":       "Observation?patient={{context.patientId}}&code=http://loinc.org|98979-8,http://loinc.org|62238-1,http://loinc.org|77147-7,http://loinc.org|33914-3,http://loinc.org|35591-7,http://loinc.org|2164-2&_sort=-date&_count=5",
}

// Services that a box has.
func Services() Discovery {
	return Discovery{Services: []Service{
		{Hook: OrderSelect, ID: "rxedge-order-select", Title: "Label check at selection", Prefetch: prefetch,
			Description: "What the labels on this box say of the medicines just selected: boxed warnings, interactions with the other orders and medicines, kidney function, conditions."},
		{Hook: OrderSign, ID: "rxedge-order-sign", Title: "Label check at signing", Prefetch: prefetch,
			Description: "What the labels on this box say of the medicines about to be ordered: interactions among them and with the other medicines, kidney function, conditions."},
		{Hook: PatientView, ID: "rxedge-patient-view", Title: "Label check of current medicines", Prefetch: prefetch,
			Description: "What the labels on this box say of the patient's current medicines: interactions among them, kidney function, conditions."},
	}}
}

// Find a service by its id.
func Find(id string) (Service, bool) {
	for _, s := range Services().Services {
		if s.ID == id {
			return s, true
		}
	}
	return Service{}, false
}

// Response is the answer of a service.
type Response struct {
	Cards []Card `json:"cards"`
}

// Indicators, in order of urgency.
const (
	Info     = "info"
	Warning  = "warning"
	Critical = "critical"
)

// Card of CDS Hooks 2.0. Fields that have no value are left out.
type Card struct {
	UUID            string   `json:"uuid"`
	Summary         string   `json:"summary"` // fewer than 140 characters
	Detail          string   `json:"detail,omitempty"`
	Indicator       string   `json:"indicator"`
	Source          Source   `json:"source"`
	OverrideReasons []Coding `json:"overrideReasons,omitempty"`
	Links           []Link   `json:"links,omitempty"`
}

// Source of a card: the label that it quotes.
type Source struct {
	Label string  `json:"label"`
	URL   string  `json:"url,omitempty"`
	Topic *Coding `json:"topic,omitempty"`
}

// Coding of FHIR.
type Coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

// Link to a page.
type Link struct {
	Label string `json:"label"`
	URL   string `json:"url"`
	Type  string `json:"type"` // absolute
}

// OverrideSystem is the system of the codes of OverrideReasons.
const OverrideSystem = "urn:rxedge:override-reason"

// OverrideReasons are offered with every card.
var OverrideReasons = []Coding{
	{OverrideSystem, "benefit-outweighs-risk", "The benefit outweighs the risk"},
	{OverrideSystem, "monitored", "It is being monitored"},
	{OverrideSystem, "tolerated", "The patient has tolerated it"},
	{OverrideSystem, "dose-adjusted", "The dose is adjusted"},
	{OverrideSystem, "does-not-apply", "It does not apply to this patient"},
	{OverrideSystem, "known", "It is known already"},
}

// Feedback is what a client tells of cards.
type Feedback struct {
	Feedback []CardFeedback `json:"feedback"`
}

// CardFeedback is what became of one card.
type CardFeedback struct {
	Card                string `json:"card"`
	Outcome             string `json:"outcome"`
	AcceptedSuggestions []struct {
		ID string `json:"id"`
	} `json:"acceptedSuggestions,omitempty"`
	OverrideReason *struct {
		Reason      *Coding `json:"reason,omitempty"`
		UserComment string  `json:"userComment,omitempty"`
	} `json:"overrideReason,omitempty"`
	OutcomeTimestamp string `json:"outcomeTimestamp"`
}

// Items turns them into the box's own form. A report that is sent again counts
// once: its id comes from the card, the outcome and its time.
func (f *Feedback) Items() ([]feedback.Item, error) {
	if len(f.Feedback) == 0 {
		return nil, &RequestError{Detail: "feedback: send at least one report"}
	}
	if len(f.Feedback) > 100 {
		return nil, &RequestError{Detail: "feedback: at most 100 reports at once"}
	}
	out := make([]feedback.Item, len(f.Feedback))
	for i, r := range f.Feedback {
		item := feedback.Item{AnswerID: r.Card, Outcome: r.Outcome}
		switch {
		case r.Card == "":
			return nil, bad("feedback[%d].card: name the card by its uuid", i)
		case r.Outcome != feedback.Accepted && r.Outcome != feedback.Overridden:
			return nil, bad("feedback[%d].outcome: is neither accepted nor overridden", i)
		}
		at, err := readTime(r.OutcomeTimestamp)
		if err != nil {
			return nil, bad("feedback[%d].outcomeTimestamp: is no ISO time such as 2026-01-31T09:30:00Z", i)
		}
		if o := r.OverrideReason; o != nil {
			item.Correction = o.UserComment
			if o.Reason != nil && o.Reason.Code != "" {
				// A client may offer reasons of its own; their codes say nothing here.
				item.OverrideReason = "other"
				for _, known := range OverrideReasons {
					if known.Code == o.Reason.Code {
						item.OverrideReason = known.Code
					}
				}
			}
		}
		item.ID = reportID(r.Card, r.Outcome, item.OverrideReason, at)
		if err := item.Check(); err != nil {
			return nil, bad("feedback[%d]: %v", i, err)
		}
		out[i] = item
	}
	return out, nil
}
