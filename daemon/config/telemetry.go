package config

import "regexp"

// Telemetry holds the settings of what is counted.
type Telemetry struct {
	// Cohorts are the groups of patients that the box tells apart. What a client names
	// beside these is counted as "other", and its name is kept nowhere.
	Cohorts []string `toml:"cohorts"`
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
