package box

import (
	"strings"
	"testing"

	"rxedge/daemon/telemetry"
)

func TestDisparityOf(t *testing.T) {
	t.Parallel()
	of := func(n, refused int64) *telemetry.Slice { return &telemetry.Slice{N: n, Refused: refused} }
	for _, c := range []struct {
		name              string
		candidate, served cohorts
		pass, untold      bool
		figure            float64 // below 0: not told
		says              string
	}{
		{"nobody", nil, nil, true, true, -1, "undefined"},
		{"one cohort", cohorts{"a": of(100, 0)}, nil, true, true, -1, "undefined"},
		{"ten questions are not a cohort", cohorts{"a": of(100, 0), "b": of(10, 10)}, nil, true, true, -1, "not compared: 1"},
		{"who names none, and what is no name", cohorts{"a": of(100, 0), telemetry.None: of(100, 100), telemetry.Other: of(100, 100)}, nil, true, true, -1, "undefined"},
		{"apart", cohorts{"a": of(100, 0), "b": of(60, 30)}, nil, false, false, 0.5, "b is refused in 30 of 60 questions, a in 0 of 100"},
		{"a tenth and no more", cohorts{"a": of(1000, 100), "b": of(1000, 200)}, nil, true, false, 0.1, "b is refused in 200"},
		{"chance", cohorts{"a": of(30, 15), "b": of(30, 19)}, nil, true, true, 0.1333, "may be chance"},
		{"counts from 1 to 10", cohorts{"a": of(100, 2), "b": of(60, 40)}, nil, false, false, -1, "is not told"},
		{"as in what served", cohorts{"a": of(100, 0), "b": of(60, 30)}, cohorts{"a": of(100, 0), "b": of(100, 49)}, true, false, 0.5, "as far apart in what served"},
		{"further than in what served", cohorts{"a": of(100, 0), "b": of(60, 30)}, cohorts{"a": of(100, 0), "b": of(100, 40)}, false, false, 0.5, "not by chance"},
		{"too few in what served", cohorts{"a": of(100, 0), "b": of(60, 30)}, cohorts{"a": of(100, 0), "b": of(10, 5)}, false, false, 0.5, "not by chance"},
		{"one pair as before, another not", cohorts{"a": of(100, 0), "b": of(100, 60), "c": of(100, 50)}, cohorts{"a": of(100, 0), "b": of(100, 60), "c": of(100, 0)}, false, false, 0.5, "c is refused"},
	} {
		got := disparityOf(c.candidate, c.served)
		if got.Name != checkDisparity || got.Pass != c.pass || got.Untold != c.untold || !strings.Contains(got.Detail, c.says) ||
			(got.Candidate == nil) != (c.figure < 0) || got.Candidate != nil && (*got.Candidate < c.figure-1e-4 || *got.Candidate > c.figure+1e-4) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got.Candidate == nil && (strings.Contains(got.Detail, "2 of") || strings.Contains(got.Detail, "40")) {
			t.Errorf("%s: a count from 1 to 10 is told: %s", c.name, got.Detail)
		}
	}
}
