package config

import (
	"strings"
	"testing"
)

func TestCohorts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`cohorts = []`:                                  "",
		`cohorts = ["under_65", "65+", "renal"]`:        "",
		`cohorts = ["65 and older"]`:                    "short name of a group",
		`cohorts = ["Meyer"]`:                           "short name of a group",
		`cohorts = ["born_1957"]`:                       "four digits",
		`cohorts = ["65+", "65+"]`:                      "named twice",
		`cohorts = ["other"]`:                           "rxedge's own",
		`cohorts = ["` + strings.Repeat("a", 25) + `"]`: "at most 24",
		`cohorts = ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o"]`: "15 are named; at most 14",
		"[telemetry.full_precision]\nshare = 1.5":                                 "outside 0 to 1",
		"[telemetry.full_precision]\nhours = \"soon\"":                            "no span of the day",
		"[telemetry.full_precision]\ngather = \"5m\"":                             "",
		`cohort = ["65+"]`: "there is no setting",
	} {
		c := Default()
		err := c.decode("f.toml", []byte("[telemetry]\n"+text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
