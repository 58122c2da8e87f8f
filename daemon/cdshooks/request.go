package cdshooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// RequestError says what is wrong with a request, without quoting it.
type RequestError struct {
	Detail string
	// Missing: what is needed was not given, as opposed to given wrongly; the
	// specification answers it with 412.
	Missing bool
}

func (e *RequestError) Error() string { return e.Detail }

func bad(format string, args ...any) error {
	return &RequestError{Detail: fmt.Sprintf(format, args...)}
}

// Limits of one request.
const (
	maxEntries = 500 // resources of a bundle
	maxText    = 300 // bytes of a medicine's name
)

// Request is what a service needs of a call.
type Request struct {
	Hook string
	// Orders are the medicines that the call is about, Others those beside them.
	Orders, Others []Medicine
	Patient        Patient
}

// Medicine as the client names it.
type Medicine struct {
	Text  string // as a person reads it; "" where there are codes alone
	Codes []Coding
}

// Patient holds what labels make a difference by; what is nil is not known.
type Patient struct {
	Age        *int
	EGFR       *float64 // mL/min/1.73 m²
	Clearance  *float64 // of creatinine, mL/min
	Conditions []string
}

// ReadRequest reads the call of the service s. Errors are *RequestError, or
// those of the reader.
func ReadRequest(s Service, body io.Reader, now time.Time) (*Request, error) {
	var in struct {
		Hook         string                     `json:"hook"`
		HookInstance string                     `json:"hookInstance"`
		Context      map[string]json.RawMessage `json:"context"`
		Prefetch     map[string]json.RawMessage `json:"prefetch"`
	}
	if err := json.NewDecoder(body).Decode(&in); err != nil {
		return nil, fault("the body", err)
	}
	switch {
	case in.Hook == "":
		return nil, bad("hook: is missing")
	case in.Hook != s.Hook:
		return nil, bad("hook: this service is for %s", s.Hook)
	case !uuidForm.MatchString(in.HookInstance):
		return nil, bad("hookInstance: is no UUID")
	case in.Context == nil:
		return nil, bad("context: is missing")
	}
	for _, name := range []string{"userId", "patientId"} {
		var v string
		if err := json.Unmarshal(in.Context[name], &v); err != nil || v == "" {
			return nil, bad("context.%s: is missing", name)
		}
	}
	r := &Request{Hook: s.Hook}
	medications, err := bundle(in.Prefetch["medications"], "prefetch.medications")
	if err != nil {
		return nil, err
	}
	current, err := medicines(medications, "prefetch.medications", nil)
	if err != nil {
		return nil, err
	}
	if s.Hook == PatientView {
		if medications == nil {
			return nil, &RequestError{Missing: true, Detail: "prefetch.medications: this service is about the patient's medicines and fetches nothing itself; send them as the discovery says"}
		}
		r.Orders = current
	} else {
		drafts, err := bundle(in.Context["draftOrders"], "context.draftOrders")
		if err != nil {
			return nil, err
		}
		if drafts == nil {
			return nil, bad("context.draftOrders: is missing")
		}
		var selected []string
		if s.Hook == OrderSelect {
			if err := json.Unmarshal(in.Context["selections"], &selected); err != nil {
				return nil, bad("context.selections: is not a list of ids")
			}
			if selected == nil {
				selected = []string{}
			}
		}
		if r.Orders, err = medicines(drafts, "context.draftOrders", func(id string) bool { return selected == nil || selects(selected, id) }); err != nil {
			return nil, err
		}
		if r.Others, err = medicines(drafts, "context.draftOrders", func(id string) bool { return selected != nil && !selects(selected, id) }); err != nil {
			return nil, err
		}
		r.Others = append(r.Others, current...)
	}
	return r, r.Patient.read(in.Prefetch, now)
}

// selects says whether a selection ("MedicationRequest/103" or "103") is the order.
func selects(selected []string, id string) bool {
	return slices.ContainsFunc(selected, func(s string) bool { return id != "" && s[strings.LastIndexByte(s, '/')+1:] == id })
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// concept is FHIR's CodeableConcept.
type concept struct {
	Coding []Coding `json:"coding"`
	Text   string   `json:"text"`
}

// resource holds the parts of FHIR R4 resources that are read.
type resource struct {
	ResourceType string     `json:"resourceType"`
	ID           string     `json:"id"`
	Status       string     `json:"status"`
	Entry        []entry    `json:"entry"`
	Contained    []resource `json:"contained"`
	// MedicationRequest and MedicationStatement
	MedicationCodeableConcept *concept `json:"medicationCodeableConcept"`
	MedicationReference       *struct {
		Reference string `json:"reference"`
		Display   string `json:"display"`
	} `json:"medicationReference"`
	// Medication, Condition and Observation
	Code              *concept        `json:"code"`
	BirthDate         string          `json:"birthDate"`
	EffectiveDateTime string          `json:"effectiveDateTime"`
	ValueQuantity     *valueQuantity  `json:"valueQuantity"`
	ClinicalStatus    json.RawMessage `json:"clinicalStatus"`
}

type valueQuantity struct {
	Value      *float64 `json:"value"`
	Comparator string   `json:"comparator"`
	Unit       string   `json:"unit"`
	Code       string   `json:"code"`
}

type entry struct {
	FullURL  string    `json:"fullUrl"`
	Resource *resource `json:"resource"`
}

func fault(what string, err error) error {
	var syn *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return bad("%s: the JSON ends in the middle", what)
	case errors.As(err, &syn):
		return bad("%s: bad JSON at byte %d", what, syn.Offset)
	case errors.As(err, &typ):
		return bad("%s: field %q is of the wrong type, want %s", what, typ.Field, typ.Type.Kind())
	}
	return err // of the reader: too large, gone
}

func absent(b json.RawMessage) bool { return len(b) == 0 || string(b) == "null" }

// bundle reads a Bundle, or a single resource as a bundle of one; nil where
// there is none.
func bundle(b json.RawMessage, where string) ([]entry, error) {
	if absent(b) {
		return nil, nil
	}
	var r resource
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fault(where, err)
	}
	switch r.ResourceType {
	case "":
		return nil, bad("%s: is no FHIR resource; resourceType is missing", where)
	case "OperationOutcome":
		return nil, &RequestError{Missing: true, Detail: where + ": the client could not fetch it"}
	case "Bundle":
	default:
		return []entry{{Resource: &r}}, nil
	}
	if len(r.Entry) > maxEntries {
		return nil, bad("%s: has %d entries, and at most %d are read", where, len(r.Entry), maxEntries)
	}
	for i, e := range r.Entry {
		if e.Resource == nil || e.Resource.ResourceType == "" {
			return nil, bad("%s.entry[%d].resource: is missing or has no resourceType", where, i)
		}
	}
	if r.Entry == nil {
		return []entry{}, nil
	}
	return r.Entry, nil
}

// ended are states in which an order is none.
var ended = []string{"cancelled", "stopped", "completed", "entered-in-error", "not-taken"}

// medicines of the orders and statements in a bundle whose id is wanted.
func medicines(entries []entry, where string, wanted func(id string) bool) ([]Medicine, error) {
	var out []Medicine
	for i, e := range entries {
		r := e.Resource
		if r.ResourceType != "MedicationRequest" && r.ResourceType != "MedicationStatement" || slices.Contains(ended, r.Status) {
			continue
		}
		m, err := r.medicine(entries)
		if err != nil {
			return nil, bad("%s.entry[%d].resource: %v", where, i, err)
		}
		if wanted == nil || wanted(r.ID) {
			out = append(out, m)
		}
	}
	return out, nil
}

func (r *resource) medicine(entries []entry) (Medicine, error) {
	c := r.MedicationCodeableConcept
	if ref := r.MedicationReference; c == nil && ref != nil {
		for _, m := range r.Contained {
			if m.ResourceType == "Medication" && m.ID != "" && "#"+m.ID == ref.Reference {
				c = m.Code
			}
		}
		for _, e := range entries {
			if m := e.Resource; m.ResourceType == "Medication" && ref.Reference != "" && ("Medication/"+m.ID == ref.Reference || e.FullURL == ref.Reference) {
				c = m.Code
			}
		}
		if c == nil && ref.Display != "" {
			c = &concept{Text: ref.Display}
		}
	}
	if c == nil || c.Text == "" && len(c.Coding) == 0 {
		return Medicine{}, errors.New("names no medicine: neither medicationCodeableConcept nor a medicationReference that can be followed")
	}
	m := Medicine{Text: c.Text, Codes: c.Coding}
	for _, k := range c.Coding {
		if m.Text == "" {
			m.Text = k.Display
		}
	}
	m.Text = plain(m.Text)
	return m, nil
}

// plain makes one line of what a client wrote, and shortens it.
func plain(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

// LOINC codes of kidney function: estimated filtration by several formulas, and
// clearance of creatinine, measured or after Cockcroft and Gault.
var (
	egfrCodes      = []string{"98979-8", "98980-6", "62238-1", "88293-6", "88294-4", "48642-3", "48643-1", "77147-7", "33914-3", "69405-9", "50044-7", "50210-4", "70969-1"}
	clearanceCodes = []string{"35591-7", "2164-2", "35592-5", "26752-7"}
)

func (p *Patient) read(prefetch map[string]json.RawMessage, now time.Time) error {
	patient, err := bundle(prefetch["patient"], "prefetch.patient")
	if err != nil {
		return err
	}
	for _, e := range patient {
		if e.Resource.ResourceType != "Patient" || e.Resource.BirthDate == "" {
			continue
		}
		born, err := readDate(e.Resource.BirthDate)
		if err != nil || born.After(now) {
			return bad("prefetch.patient.birthDate: is no date of the past")
		}
		age := now.Year() - born.Year()
		if now.YearDay() < born.YearDay() {
			age--
		}
		if age >= 0 && age < 130 {
			p.Age = &age
		}
	}
	renal, err := bundle(prefetch["renal"], "prefetch.renal")
	if err != nil {
		return err
	}
	p.EGFR, p.Clearance = latest(renal, egfrCodes), latest(renal, clearanceCodes)
	conditions, err := bundle(prefetch["conditions"], "prefetch.conditions")
	if err != nil {
		return err
	}
	for _, e := range conditions {
		r := e.Resource
		if r.ResourceType != "Condition" || r.Code == nil || strings.Contains(string(r.ClinicalStatus), "resolved") || strings.Contains(string(r.ClinicalStatus), `"inactive"`) {
			continue
		}
		text := r.Code.Text
		for _, k := range r.Code.Coding {
			if text == "" {
				text = k.Display
			}
		}
		if text = plain(text); text != "" && !slices.Contains(p.Conditions, text) {
			p.Conditions = append(p.Conditions, text)
		}
	}
	return nil
}

// latest value among the observations with one of the codes; nil where there is
// none. A value with a comparator ("> 60") is none to ask about.
func latest(entries []entry, loinc []string) *float64 {
	var value *float64
	at := ""
	for _, e := range entries {
		r := e.Resource
		if r.ResourceType != "Observation" || r.Code == nil || r.ValueQuantity == nil || r.ValueQuantity.Value == nil || r.ValueQuantity.Comparator != "" ||
			slices.Contains([]string{"cancelled", "entered-in-error", "unknown"}, r.Status) {
			continue
		}
		of := slices.ContainsFunc(r.Code.Coding, func(c Coding) bool {
			return slices.Contains(loinc, c.Code) && (c.System == "http://loinc.org" || c.System == "")
		})
		v := *r.ValueQuantity.Value
		if !of || v <= 0 || v > 250 || value != nil && r.EffectiveDateTime <= at {
			continue
		}
		value, at = &v, r.EffectiveDateTime
	}
	return value
}

func readDate(s string) (time.Time, error) {
	for _, form := range []string{"2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("no date")
}

func readTime(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("no time")
}

func reportID(parts ...any) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return "cds-" + hex.EncodeToString(h[:12])
}
