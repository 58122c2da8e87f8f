package config

import "regexp"

// Telemetry holds the settings of what is counted.
type Telemetry struct {
	// Cohorts are the groups of patients that the box tells apart. What a client names
	// beside these is counted as "other", and its name is kept nowhere.
	Cohorts []string `toml:"cohorts"`
	// FullPrecision says how a sample of the questions is asked again of the model that
	// answers, at full precision.
	FullPrecision FullPrecision `toml:"full_precision"`
}

// FullPrecision is a sample of questions that are asked twice.
type FullPrecision struct {
	// Model of the catalog; "auto": the variant of the model that answers with the most
	// bits of a weight; "none" or "": nothing is asked twice.
	Model string `toml:"model"`
	// Share of the questions that a model was asked.
	Share float64 `toml:"share"`
	// Hours of the day, in local time, in which they are; "": at all, when nobody asks.
	// Questions wait for them in memory, for a day at most.
	Hours Hours `toml:"hours"`
	// Gather is how long questions are gathered before the model is loaded for them.
	Gather Duration `toml:"gather"`
}

// mostCohorts is as many as explanations keep apart, with "none" and "other".
const mostCohorts = 14

// cohortName is a short word and no sentence; a date of birth or a number of a record is none.
var (
	cohortName   = regexp.MustCompile(`^[a-z0-9][a-z0-9_+-]{0,23}$`)
	numberInName = regexp.MustCompile(`[0-9]{4,}`)
)

func (t *Telemetry) check() error {
	if len(t.Cohorts) > mostCohorts {
		return wrong("telemetry.cohorts", "%d are named; at most %d are told apart", len(t.Cohorts), mostCohorts)
	}
	if s := t.FullPrecision.Share; !(s >= 0 && s <= 1) {
		return wrong("telemetry.full_precision.share", "%v is outside 0 to 1; 0.01 is one in a hundred", s)
	}
	seen := map[string]bool{"none": true, "other": true}
	for _, c := range t.Cohorts {
		switch {
		case !cohortName.MatchString(c) || numberInName.MatchString(c):
			return wrong("telemetry.cohorts", "%q: use a short name of a group such as 65+ or under_18: at most 24 lower-case letters, digits and _ + -, and no number of four digits", c)
		case seen[c]:
			return wrong("telemetry.cohorts", "%q is named twice, or is a word of rxedge's own (none, other)", c)
		}
		seen[c] = true
	}
	return nil
}
