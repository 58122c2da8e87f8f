package trial

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"

	"rxedge/daemon/rollout/sequential"
)

// kept is a state as it is written: clients by the hash of their id, this trial and this
// period, from which no id can be told.
type kept struct {
	state
	Errors, Slow [2]int
	Units        map[string]*unit
}

// MarshalJSON gives all that a restart needs; numbers and hashes alone.
func (t *Trial) MarshalJSON() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := kept{state: t.s, Units: map[string]*unit{}}
	k.Errors[0], k.Errors[1] = t.s.Errors.Counts()
	k.Slow[0], k.Slow[1] = t.s.Slow.Counts()
	for key, u := range t.s.Units {
		k.Units[base64.RawStdEncoding.EncodeToString([]byte(key))] = u
	}
	return json.Marshal(k)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Trial) UnmarshalJSON(b []byte) error {
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return err
	}
	s := k.state
	s.Config = s.Config.complete()
	for _, m := range []*sequential.Mean{s.Better, s.NotBetter, s.Abstains} {
		if m == nil || m.N < 0 || math.IsNaN(m.Log) || math.IsInf(m.Log, 0) || m.Square < 0 || !(m.Bound > -1 && m.Bound < 1) || !(m.Effect > 0) {
			return fmt.Errorf("the evidence of trial %q is damaged", s.Config.ID)
		}
	}
	var err error
	if s.Errors, err = rate(mostErrors, k.Errors); err != nil {
		return err
	}
	if s.Slow, err = rate(0.05, k.Slow); err != nil {
		return err
	}
	s.Units = map[string]*unit{}
	for key, u := range k.Units {
		raw, err := base64.RawStdEncoding.DecodeString(key)
		if err != nil || u == nil || u.N < 1 || u.Grounded > u.N || u.Abstention > u.N || u.Grounded < 0 || u.Abstention < 0 || u.Arm < Champion || u.Arm > Challenger {
			return fmt.Errorf("a client's counts of trial %q are damaged", s.Config.ID)
		}
		s.Units[string(raw)] = u
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s = s
	return nil
}

func rate(limit float64, c [2]int) (*sequential.Rate, error) {
	if c[0] < c[1] || c[1] < 0 || c[0] > 1<<40 {
		return nil, fmt.Errorf("counts %d of %d are damaged", c[1], c[0])
	}
	return sequential.RateOf(limit, c[0], c[1]), nil
}
