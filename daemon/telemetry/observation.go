package telemetry

import (
	"math"
	"regexp"
	"strings"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/index/names"
	"rxedge/inference/quantity"
)

// Observation is one question as numbers, and as words of our own or of the
// documents. NaN is a number that the question does not have.
type Observation struct {
	At         time.Time
	Model      string // that wrote; "": none
	Generation string // of the index, without its live updates
	Values     [features]float64
	In         [dimensions]string
	Stages     [len(Stages)]float64
	// Abstained, Flagged: no answer, or one that the guard doubts highly.
	// Ungrounded: a claim is less than grounded.
	Abstained, Flagged, Ungrounded, Failed bool
	// Person is a hash of the question under the box's own key, for counting how
	// many differ; 0: none.
	Person uint64
	// Projected is where its vector lies.
	Projected Projected
}

// plain is what a cohort may be called, so that nothing a person wrote is taken
// for one.
var plain = regexp.MustCompile(`^[a-z0-9][a-z0-9_.+-]{0,31}$`)

// Of takes the numbers of an answer, or of an error. cohort is what the client
// says of the patient's group, "" nothing; centroid the one that the question is
// nearest to, below 0 unknown.
func Of(a *answer.Answer, err error, cohort string, centroid int, now time.Time) Observation {
	o := Observation{At: now}
	for i := range o.Values {
		o.Values[i] = math.NaN()
	}
	for i := range o.In {
		o.In[i] = None
	}
	if cohort != "" {
		o.In[Cohort] = Other
		if plain.MatchString(cohort) {
			o.In[Cohort] = cohort
		}
	}
	if centroid >= 0 && centroid < mostValues {
		o.In[Occupancy] = centroidNames[centroid]
	}
	if err != nil || a == nil {
		o.In[Outcome], o.Failed = Failed, true
		return o
	}
	o.Model = a.Model
	o.Generation, _, _ = strings.Cut(a.Generation, "+")
	o.Stages = stagesOf(a.Timings)
	o.Values[Latency] = a.Timings.Total
	o.Values[QuestionWords] = float64(len(strings.Fields(a.Question)))
	o.Values[QuestionNumbers] = float64(len(quantity.Numbers(a.Question)))
	o.In[Mode], o.In[Cached] = a.Mode, "no"
	if a.Cached {
		o.In[Cached] = "yes"
	}
	if len(a.Fallbacks) > 0 {
		o.In[Fallback] = a.Fallbacks[0].Name
	}
	if a.Severity != "" {
		o.In[Severity] = a.Severity
	}
	o.read(a.Explain)
	if r := a.Retrieved; len(r) > 0 {
		o.Values[TopScore] = r[0].Score
		for _, x := range r {
			if x.SectionID != r[0].SectionID && r[0].Score > 0 {
				o.Values[Margin] = (r[0].Score - x.Score) / r[0].Score
				break
			}
		}
	}
	o.Values[Withheld] = float64(a.Withheld)
	if a.Status != answer.StatusAnswered {
		o.In[Outcome], o.Abstained = a.Reason, true
		return o
	}
	o.In[Outcome] = a.Status
	o.Values[Claims] = float64(len(a.Claims))
	words, support := 0, 1.0
	for _, c := range a.Claims {
		words += len(strings.Fields(c.Text))
		support = min(support, c.Score)
		o.Ungrounded = o.Ungrounded || c.Support != answer.Grounded
	}
	o.Values[AnswerWords], o.Values[Support] = float64(words), support
	if len(a.Claims) > 0 && len(a.Claims[0].Citations) > 0 {
		if l := a.Claims[0].Citations[0].LOINC; l != "" {
			o.In[Section] = l
		}
	}
	if t, err := time.Parse(time.DateOnly, a.LabelDate); err == nil {
		o.Values[LabelAge] = max(0, now.Sub(t).Hours()/24/365.25)
	}
	if d := a.Decision; d != nil {
		o.Values[Doubt], o.Values[Agreement] = d.Wrong, d.Features[guard.Agreement]
		o.Flagged = d.Wrong >= d.Threshold
	}
	return o
}

// read takes what the question was about. Names are those of the table and of the
// documents, never as typed.
func (o *Observation) read(r *names.Reading) {
	if r == nil {
		return
	}
	n, unknown := 0, 0
	for _, s := range r.Subjects {
		switch {
		case s.Substance:
			continue
		case len(s.Documents) == 0:
			unknown++
		}
		n++
		if o.In[Class] != None {
			continue
		}
		if s.Class {
			o.In[Class] = s.Name
		} else if cs := names.ClassesOf(s.Name); len(cs) > 0 {
			o.In[Class] = cs[0]
		}
	}
	o.Values[Medicines], o.Values[Unknown] = float64(n), float64(unknown)
	if len(r.Sections) > 0 {
		o.In[Kind] = r.Sections[0].Asks
	}
}
