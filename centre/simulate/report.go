package simulate

import (
	"runtime"
	"time"
)

// Report of a simulation. Times are seconds, sizes bytes, CPU seconds of one processor.
type Report struct {
	Options
	Cores int `json:"cores"`
	// Load averages of the machine, the least and the most: what else ran beside.
	LoadLeast   float64   `json:"load_least"`
	LoadMost    float64   `json:"load_most"`
	At          time.Time `json:"at"`
	Took        float64   `json:"took"`
	Interrupted bool      `json:"interrupted,omitempty"`
	Phase       string    `json:"phase"` // the last that was begun

	Enrolled *Enrolled `json:"enrolled,omitempty"`
	Rest     *Rest     `json:"rest,omitempty"`
	Looks    *Looks    `json:"looks,omitempty"`
	Days     *Days     `json:"days,omitempty"`
	Update   *Spread   `json:"update,omitempty"`
	Rollout  *Rollout  `json:"rollout,omitempty"`
	Return   *Return   `json:"return,omitempty"`
	TakeUp   *TakeUp   `json:"take_up,omitempty"`
	Counted  *Counted  `json:"counted,omitempty"`
	// PerDay is what a day of this fleet comes to, of what was measured.
	PerDay *PerDay `json:"per_day,omitempty"`

	Errors  int64            `json:"errors"`            // that sites went on after: lines that were cut
	Refused map[string]int64 `json:"refused,omitempty"` // by sites, by code
	Most    Usage            `json:"most"`              // of the hub's nodes together, whenever it was
	Clients Usage            `json:"clients"`           // of the processes of sites together, at rest
}

// Usage of processes together.
type Usage struct {
	RSS   int64   `json:"rss"`
	Files int     `json:"files"`
	CPU   float64 `json:"cpu,omitempty"` // while at rest, in seconds a second
}

// Enrolled is how the fleet came to be: each site with keys of its own, and the first
// bundle at all of them. Those that an earlier simulation had enrolled are not counted.
type Enrolled struct {
	Sites     int     `json:"sites"` // anew
	Took      float64 `json:"took"`
	PerSecond float64 `json:"per_second"`
	HubCPU    float64 `json:"hub_cpu"`
	CentreCPU float64 `json:"centre_cpu"`
	// FirstBundle is when all had it, after they began.
	FirstBundle float64 `json:"first_bundle"`
}

// Rest is the fleet while nothing happens: connections and what keeps them.
type Rest struct {
	For       float64 `json:"for"`
	Base      Usage   `json:"base"` // of the hub before there was a site
	Hub       Usage   `json:"hub"`
	PerSite   float64 `json:"per_site"` // bytes of the hub's memory
	CPU       float64 `json:"cpu"`      // of the hub
	PerHour   float64 `json:"per_hour"` // CPU seconds of the hub, of a thousand sites in an hour
	Up        float64 `json:"up"`       // bytes a second of a site, on the wire under TCP
	Down      float64 `json:"down"`
	Connected int     `json:"connected"`
}

// Looks is what it costs that each site looks once for what is new, and there is nothing.
type Looks struct {
	N         int64   `json:"n"`
	Took      float64 `json:"took"`
	PerSecond float64 `json:"per_second"`
	CPU       float64 `json:"cpu"`  // of the hub for one, beside rest
	Up        float64 `json:"up"`   // bytes of one
	Down      float64 `json:"down"` // bytes of one
}

// Days that went by.
type Days struct {
	Days        float64 `json:"days"`
	Took        float64 `json:"took"`
	Windows     int64   `json:"windows"`
	Questions   int64   `json:"questions"`
	WindowBytes int64   `json:"window_bytes"` // of the windows, signed
	Messages    int64   `json:"messages"`     // of all kinds that the hub acknowledged
	PerSecond   float64 `json:"per_second"`   // while the days went by
	Busiest     float64 `json:"busiest"`      // messages in the busiest second
	// Acknowledged is how long after it was sent a message was, in milliseconds.
	P50    float64 `json:"p50_ms"`
	P95    float64 `json:"p95_ms"`
	P99    float64 `json:"p99_ms"`
	Worst  float64 `json:"worst_ms"`
	HubCPU float64 `json:"hub_cpu"`
	// PerMessage is CPU of the hub beside rest and looks. Updates, and connections that were
	// made again, are in it, so it is too much rather than too little.
	PerMessage float64 `json:"per_message"`
	Looks      int64   `json:"looks"`
	Up         int64   `json:"up"`
	Down       int64   `json:"down"`
	Disk       int64   `json:"disk"` // by which the hub's folders grew, all nodes together
	Stored     int64   `json:"stored"`
	// Drained is how long after the days the last spool was empty.
	Drained float64 `json:"drained"`
	Faults  int     `json:"faults"`
	Off     int     `json:"off_most"` // sites without a connection at a time, the most
}

// Spread of a bundle: when half, 99 in 100 and all of the sites held it whole, after it
// was published.
type Spread struct {
	Number int64   `json:"number"`
	Bytes  int64   `json:"bytes"` // that each fetched, of chunks
	Sites  int     `json:"sites"` // that have it
	Half   float64 `json:"half"`
	P99    float64 `json:"p99"`
	All    float64 `json:"all"`
	HubCPU float64 `json:"hub_cpu"`
}

// Rollout of a bundle in waves.
type Rollout struct {
	Number     int64     `json:"number"`
	Waves      []float64 `json:"waves"`
	State      string    `json:"state"`
	Took       float64   `json:"took"`
	Confirmed  int       `json:"confirmed"`
	RolledBack int       `json:"rolled_back"`
	Why        string    `json:"why,omitempty"` // it halted
}

// Return of all sites at once after all nodes were killed and started.
type Return struct {
	Sites     int     `json:"sites"`
	Back      int     `json:"back"`
	Listening float64 `json:"listening"` // when the hub did again
	Taking    float64 `json:"taking"`    // when its reports had a leader again, which takes messages; 0: it did not come to it
	Half      float64 `json:"half"`
	P99       float64 `json:"p99"`
	All       float64 `json:"all"`
	PerSecond float64 `json:"per_second"` // connections, from listening on
	HubCPU    float64 `json:"hub_cpu"`
	PerSite   float64 `json:"per_site"` // CPU of the hub for one connection and what follows it
}

// TakeUp is what the centre needs to take up what sites sent.
type TakeUp struct {
	Windows   int64   `json:"windows"`
	Again     int64   `json:"again"`
	Refused   int64   `json:"refused"`
	Took      float64 `json:"took"`
	PerSecond float64 `json:"per_second"`
	CPU       float64 `json:"cpu"`
	// PerDay is how long the windows of one day of this fleet would take.
	PerDay float64 `json:"per_day"`
}

// Counted is each message that was put into a spool, looked for at the hub by its id.
type Counted struct {
	Put     int64 `json:"put"` // that the sites know of
	Hub     int64 `json:"hub"` // of those, that are there
	Lost    int64 `json:"lost"`
	Twice   int64 `json:"twice"`
	Waiting int64 `json:"waiting"` // in spools
	Dropped int64 `json:"dropped"` // by full spools
	// Unnoted are at the hub, and the site was killed before it could note that it had put
	// them.
	Unnoted int64 `json:"unnoted"`
	// States are sites of which the hub has the state that they told last.
	States int `json:"states"`
	// Missed are windows that should have been made and were not taken up by the centre.
	Missed int64 `json:"missed"`
}

// PerDay of the whole fleet: rest, a look every quarter of an hour and the windows. No
// update is in it.
type PerDay struct {
	// Up and Down are bytes of one site.
	Up   float64 `json:"up"`
	Down float64 `json:"down"`
	// CPU seconds of the hub, of a thousand sites in an hour.
	CPU float64 `json:"cpu"`
	// Disk is what the hub's disks grow by, all nodes together.
	Disk float64 `json:"disk"`
}

func newReport(o Options) *Report {
	return &Report{Options: o, Cores: runtime.NumCPU(), At: time.Now().UTC().Truncate(time.Second), LoadLeast: load(), LoadMost: load()}
}

// headers, subject and record of a message at the hub, in bytes, about.
const headers = 300

const looksADay = float64(24*time.Hour) / float64(lookEvery)

// perDay of what was measured; nil: not enough was.
func (r *Report) perDay() *PerDay {
	if r.Rest == nil || r.Looks == nil || r.Days == nil || r.Rest.For == 0 || r.Days.Windows == 0 {
		return nil
	}
	days := max(1, float64(int(r.Days.Days)))
	windows := float64(r.Days.Windows) / days / float64(r.Sites) // of a site
	each := float64(r.Days.WindowBytes)/float64(r.Days.Windows) + headers
	d := &PerDay{
		Up:   86400*r.Rest.Up + looksADay*r.Looks.Up + windows*each,
		Down: 86400*r.Rest.Down + looksADay*r.Looks.Down,
		CPU:  r.Rest.PerHour + 1000*looksADay/24*r.Looks.CPU + 1000*windows/24*r.Days.PerMessage,
		Disk: windows * each * float64(r.Sites*r.Nodes),
	}
	return d
}
