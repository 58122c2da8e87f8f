// Package simulate drives many real sites against a real hub, to plan for many more:
// what a node holds, how it grows, where it breaks (DESIGN.md).
package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"rxedge/sync/enroll"
)

// Options of a simulation.
type Options struct {
	Sites     int           `json:"sites"`
	Nodes     int           `json:"nodes"`      // of the hub: 1, 3 or 5
	Processes int           `json:"processes"`  // that the sites are spread over
	For       time.Duration `json:"for_ns"`     // how long days go by, as this machine's clock has it
	Speed     float64       `json:"speed"`      // how many times as fast simulated days go by
	Resting   time.Duration `json:"resting_ns"` // how long the fleet is measured at rest
	Seed      uint64        `json:"seed"`
	Faults    []Kind        `json:"faults"`
	Bundle    int64         `json:"bundle"` // bytes of documents that change in an update
	// RollBack is the chance that a site rolls a bundle back that came by a rollout.
	RollBack float64 `json:"roll_back"`
}

// Kind of a fault.
type Kind string

// Kinds of faults.
const (
	Cut     Kind = "cut"     // lines refuse and end connections for a while
	Silent  Kind = "silent"  // lines swallow what is sent
	Slow    Kind = "slow"    // some sites' lines carry 64 kbit/s at 300 ms each way, all the time
	Restart Kind = "restart" // sites are stopped and start again
	Power   Kind = "power"   // a process of sites is killed, and all its sites come back with their spools
	Hub     Kind = "hub"     // a node of the hub is killed, and starts again
	Herd    Kind = "herd"    // all nodes are killed at once, after the days: every site reconnects
	Clocks  Kind = "clocks"  // sites' clocks are off
)

// Kinds there are, in the order of their help.
var Kinds = []Kind{Cut, Silent, Slow, Restart, Power, Hub, Herd, Clocks}

// ParseFaults reads "all", "none", or kinds with commas between.
func ParseFaults(s string) ([]Kind, error) {
	switch s {
	case "all":
		return slices.Clone(Kinds), nil
	case "none":
		return []Kind{}, nil
	}
	var out []Kind
	for _, w := range strings.Split(s, ",") {
		k := Kind(strings.TrimSpace(w))
		if !slices.Contains(Kinds, k) {
			return nil, fmt.Errorf("there is no fault %q; there are %s, all, none", w, joined(Kinds))
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

func joined(kinds []Kind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// Limits of Options.
const (
	MostSites     = 100_000
	MostProcesses = 64
	mostDays      = 50 // a centre takes no window that is older than 60 days
	mostBundle    = 64 << 20
)

// Check says what can't be simulated.
func (o *Options) Check() error {
	for _, c := range []struct {
		bad bool
		why string
	}{
		{o.Sites < 1 || o.Sites > MostSites, fmt.Sprintf("sites: %d is outside 1 to %d", o.Sites, MostSites)},
		{o.Nodes != 1 && o.Nodes != 3 && o.Nodes != 5, fmt.Sprintf("nodes: %d; a hub has 1, 3 or 5", o.Nodes)},
		{o.Processes < 1 || o.Processes > MostProcesses || o.Processes > o.Sites, fmt.Sprintf("processes: %d is outside 1 to %d, or more than there are sites", o.Processes, MostProcesses)},
		{o.For < time.Second || o.For > 24*time.Hour, fmt.Sprintf("for: %v is outside 1s to 24h", o.For)},
		{!(o.Speed >= 1 && o.Speed <= 1e6), fmt.Sprintf("speed: %v is outside 1 to 1000000", o.Speed)},
		{o.Resting < 0 || o.Resting > time.Hour, fmt.Sprintf("rest: %v is outside 0 to 1h", o.Resting)},
		{o.Bundle < 1<<10 || o.Bundle > mostBundle, fmt.Sprintf("bundle: %d bytes is outside 1 kB to 64 MB", o.Bundle)},
		{!(o.RollBack >= 0 && o.RollBack <= 1), fmt.Sprintf("roll back: %v is no chance from 0 to 1", o.RollBack)},
	} {
		if c.bad {
			return errors.New(c.why)
		}
	}
	if d := o.Days(); d > mostDays {
		return fmt.Errorf("for and speed: %v at %v times is %.0f days; the most is %d, as a centre takes no older ones", o.For, o.Speed, d, mostDays)
	}
	return nil
}

// watching a bundle that came, before it is confirmed, and a wave's soak.
func (o *Options) watching() time.Duration { return min(2*time.Second, o.For/10) }

// Days that go by.
func (o *Options) Days() float64 { return o.For.Hours() * o.Speed / 24 }

func (o *Options) has(k Kind) bool { return slices.Contains(o.Faults, k) }

// Plan is what is to happen. It follows from the options alone.
type Plan struct {
	Sites  []Site  `json:"sites"`
	Faults []Fault `json:"faults"` // by time
}

// Site of a plan.
type Site struct {
	ID string `json:"id"`
	// Questions a day on a weekday, as an average; Zone is its time of the day beside UTC.
	Questions float64       `json:"questions"`
	Zone      time.Duration `json:"zone"`
	// Clock is how far it is ahead.
	Clock time.Duration `json:"clock"`
	// Dead is a clock without a battery: it says 1970.
	Dead bool `json:"dead,omitempty"`
	// Line that can be cut lies before it; Slow is one of 64 kbit/s.
	Line bool `json:"line,omitempty"`
	Slow bool `json:"slow,omitempty"`
}

// Fault at a time after the first day began.
type Fault struct {
	At    time.Duration `json:"at"`
	For   time.Duration `json:"for,omitempty"`
	Kind  Kind          `json:"kind"`
	Sites []int         `json:"sites,omitempty"` // by their places in the plan
	// Of is the node or the process, counted from 0.
	Of int `json:"of,omitempty"`
}

// zones of sites with how many of a hundred lie there: North America, Europe, Asia.
var zones = []struct {
	hours float64
	share int
}{{-8, 12}, {-7, 6}, {-6, 18}, {-5, 29}, {0, 6}, {1, 20}, {2, 5}, {5.5, 4}}

// stream of chance for one purpose, so that a new purpose changes no other.
func (o *Options) stream(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(o.Seed, purpose))
}

// shares of the sites.
const (
	shareLine    = 0.08 // behind a line that can be cut
	shareSlow    = 0.02 // behind a slow one
	shareRestart = 0.05 // start again during the days
)

// NewPlan of the options.
func NewPlan(o Options) *Plan {
	p := &Plan{Faults: []Fault{}}
	rng := o.stream(1)
	lines := []int{}
	for i := range o.Sites {
		s := Site{ID: fmt.Sprintf("sim-%d-%d", o.Seed, i)}
		// Half of the sites ask fewer than 60 questions a day, one in a hundred over 600.
		s.Questions = min(3000, 60*math.Exp(rng.NormFloat64()))
		at := rng.IntN(100)
		for _, z := range zones {
			if at -= z.share; at < 0 {
				s.Zone = time.Duration(z.hours * float64(time.Hour))
				break
			}
		}
		// All draws are made whatever the faults, so that a fault changes nothing else.
		s.clock(rng)
		u := rng.Float64()
		s.Slow = u < shareSlow && o.has(Slow)
		s.Line = s.Slow || u < shareSlow+shareLine && (o.has(Cut) || o.has(Silent))
		if !o.has(Clocks) {
			s.Clock, s.Dead = 0, false
		}
		if s.Line {
			lines = append(lines, i)
		}
		p.Sites = append(p.Sites, s)
	}
	p.faults(o, lines)
	return p
}

// clock of a box: most are kept by NTP, some are minutes off, a few have another zone's
// time for UTC, and one in a hundred has no battery.
func (s *Site) clock(rng *rand.Rand) {
	x, u := rng.NormFloat64(), rng.Float64()
	switch {
	case u < 0.85:
		s.Clock = time.Duration(x * float64(time.Second))
	case u < 0.95:
		s.Clock = time.Duration(x * 3 * float64(time.Minute))
	case u < 0.99:
		s.Clock = time.Duration(math.Round(min(10, max(-10, 5*x)))) * time.Hour
	default:
		s.Dead = true
	}
	s.Clock = s.Clock.Truncate(time.Millisecond)
}

func (p *Plan) faults(o Options, lines []int) {
	rng := o.stream(2)
	during := func(from, to float64) time.Duration {
		return time.Duration((from + (to-from)*rng.Float64()) * float64(o.For)).Truncate(time.Millisecond)
	}
	add := func(k Kind, f Fault) {
		f.Kind = k
		if o.has(k) {
			p.Faults = append(p.Faults, f)
		}
	}
	short := min(5*time.Second, o.For/10)
	for _, i := range lines {
		add(Cut, Fault{At: during(0, 0.8), For: short, Sites: []int{i}})
		// Longer than it takes to see that a line is dead, where there is time for it.
		if at, long := during(0, 0.6), min(20*time.Second, o.For/4); i%4 == 0 {
			add(Silent, Fault{At: at, For: long, Sites: []int{i}})
		}
	}
	for i := range p.Sites {
		if u, at := rng.Float64(), during(0, 0.85); u < shareRestart {
			add(Restart, Fault{At: at, For: short, Sites: []int{i}})
		}
	}
	add(Hub, Fault{At: during(0.4, 0.5), For: min(3*time.Second, o.For/10), Of: rng.IntN(o.Nodes)})
	add(Power, Fault{At: during(0.65, 0.75), For: short, Of: rng.IntN(o.Processes)})
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}

// process that a site is in.
func (o *Options) process(site int) int { return site % o.Processes }

// checkIDs: what a plan names has to be names of sites.
func (p *Plan) checkIDs() error {
	for i := range p.Sites {
		if err := enroll.CheckSite(p.Sites[i].ID); err != nil {
			return err
		}
	}
	return nil
}
