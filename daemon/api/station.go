package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rxedge/daemon/disk"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/monitor"
)

// Station is what the technician's page shows: numbers, names of models and words
// of our own. No question, answer or feedback has a place in it, and no value of a
// dimension that fewer than telemetry.LeastCell questions have.
type Station struct {
	At     time.Time    `json:"at"`
	Health Health       `json:"health"`
	Link   *StationLink `json:"link,omitempty"` // none: the box is not enrolled
	Disk   StationDisk  `json:"disk"`
	// Cards that are watched, and why the last reading failed.
	Cards      []StationCard `json:"cards"`
	CardsFault string        `json:"cards_fault,omitempty"`
	Day        StationDay    `json:"day"`
	// Hours are the last 48, the one under way last; those without questions too.
	Hours []StationHour `json:"hours"`
	// Models compare the last 24 hours with each model's baseline.
	Models   []StationModel   `json:"models"`
	Twice    StationTwice     `json:"full_precision"`
	Fairness StationFairness  `json:"fairness"`
	Serving  *StationServing  `json:"serving,omitempty"`
	Rollouts []StationRollout `json:"rollouts"` // the latest first
}

// StationLink is the connection to the centre.
type StationLink struct {
	Site      string    `json:"site"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"`
	Code      string    `json:"code,omitempty"` // what is in the way
	Waiting   uint64    `json:"waiting"`        // reports in the spool
}

// StationDisk is the room of the data folder, in bytes.
type StationDisk struct {
	Free  uint64 `json:"free_bytes"`
	Size  uint64 `json:"size_bytes,omitempty"` // of the whole disk
	Floor int64  `json:"floor_bytes"`          // below which nothing is built
	Index int64  `json:"index_bytes"`
	// Used by the data folder, and its Kinds with what each may take, as they were
	// Measured last; none: they were not yet.
	Used     int64       `json:"used_bytes,omitempty"`
	Kinds    []disk.Line `json:"kinds,omitempty"`
	Measured time.Time   `json:"measured,omitzero"`
}

// StationCard is a GPU; nil is what it does not report.
type StationCard struct {
	Index       int      `json:"index"`
	Name        string   `json:"name"`
	MemoryUsed  uint64   `json:"memory_used_bytes"`
	MemoryTotal uint64   `json:"memory_total_bytes"`
	Temperature *int     `json:"temperature_c,omitempty"`
	Slowdown    *int     `json:"slowdown_c,omitempty"`
	Power       *float64 `json:"power_w,omitempty"`
	PowerLimit  *float64 `json:"power_limit_w,omitempty"`
	Busy        *int     `json:"busy_percent,omitempty"`
	Throttled   bool     `json:"throttled,omitempty"`
	Fault       string   `json:"fault,omitempty"`
}

// StationDay is the last 24 hours. Shares are nil of nothing.
type StationDay struct {
	Questions int64    `json:"questions"`
	Distinct  int64    `json:"distinct"`
	Abstained *float64 `json:"abstained"`
	Failed    *float64 `json:"failed"`
	Grounded  *float64 `json:"grounded"`
	Flagged   *float64 `json:"flagged"`
	Approved  *float64 `json:"approved"`
	P50       *float64 `json:"p50_ms"`
	P95       *float64 `json:"p95_ms"`
	P99       *float64 `json:"p99_ms"`
}

// StationHour is an hour's questions. Shares and times are nil of nothing.
type StationHour struct {
	From      time.Time `json:"from"`
	Questions int64     `json:"questions"`
	Abstained int64     `json:"abstained"`
	Grounded  *float64  `json:"grounded"`
	P50       *float64  `json:"p50_ms"`
	P95       *float64  `json:"p95_ms"`
}

// StationModel is a model's drift. Model is "" where sentences of the documents
// answer.
type StationModel struct {
	Model    string            `json:"model"`
	Learning bool              `json:"learning"` // there is no baseline yet
	Baseline *time.Time        `json:"baseline_from,omitempty"`
	Features []monitor.Feature `json:"features"`
	Alarms   []monitor.Open    `json:"alarms"`
	// Agreement with the same model at full precision, over seven days; nil where fewer
	// than telemetry.LeastCell questions were asked twice.
	Agreement *monitor.Agreement `json:"agreement,omitempty"`
}

// StationTwice says whether a sample of the questions is asked again, of which model.
type StationTwice struct {
	Model string  `json:"model,omitempty"`
	Share float64 `json:"share"`
	Off   string  `json:"off,omitempty"` // why not, now
}

// StationFairness compares the cohorts of the last 24 hours. Report rests on those
// answers that somebody judged; it is nil where fewer than two cohorts have any.
type StationFairness struct {
	Cohorts []StationCohort  `json:"cohorts"`
	Report  *fairness.Report `json:"report,omitempty"`
	Hidden  int              `json:"hidden"` // cohorts with too few questions to be shown
}

// StationCohort is a cohort's refusals: abstained or flagged, of all its questions,
// with Wilson's 95 % interval.
type StationCohort struct {
	Cohort  string  `json:"cohort"`
	N       int64   `json:"n"`
	Refused float64 `json:"refused"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Judged  int64   `json:"judged"`
}

// StationServing is what answers now.
type StationServing struct {
	Pair       string    `json:"pair"`
	Bundle     int64     `json:"bundle,omitempty"`
	Slot       string    `json:"slot"`
	Since      time.Time `json:"since,omitzero"`
	Generation string    `json:"generation"`
	Model      string    `json:"model,omitempty"`
}

// StationRollout is a line of the rollout's journal, without who and why.
type StationRollout struct {
	At         time.Time `json:"at"`
	Op         string    `json:"op"`
	Pair       string    `json:"pair,omitempty"`
	Bundle     int64     `json:"bundle,omitempty"`
	Generation string    `json:"generation,omitempty"`
	Model      string    `json:"model,omitempty"`
	Check      string    `json:"check,omitempty"` // that it failed
}

func (s *server) station(api huma.API) {
	if s.Station == nil && s.Health != nil {
		return // a test's interface without one
	}
	huma.Register(api, huma.Operation{OperationID: "station", Method: http.MethodGet, Path: "/v1/station", Summary: "What the technician's page shows",
		Description: "Health, cards, versions, questions an hour, times, drift, fairness, rollouts. Numbers and names, never a text; what fewer than 11 questions have in common is left out."},
		func(ctx context.Context, _ *struct{}) (*struct {
			Cache string `header:"Cache-Control"`
			Body  Station
		}, error) {
			st, err := s.Station(ctx)
			if err != nil {
				return nil, s.problem(err)
			}
			return &struct {
				Cache string `header:"Cache-Control"`
				Body  Station
			}{"no-store", st}, nil
		})
}
