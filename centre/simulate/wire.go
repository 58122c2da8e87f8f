package simulate

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"

	"rxedge/sync/enroll"
)

// The centre's process tells processes of sites what to do by lines of JSON on their
// standard input, and they tell how it stands on their standard output.

// order to a process of sites.
type order struct {
	Do string `json:"do"`

	Setup *setup `json:"setup,omitempty"` // of "setup", the first
	// Site to start, by its place in the plan, of "site"; File is there where it has to be
	// enrolled.
	Site int          `json:"site,omitempty"`
	File *enroll.File `json:"file,omitempty"`
	// Mark of a time from which sites that are connected anew are counted, of "mark".
	Mark time.Time `json:"mark,omitzero"`
	// Within which all sites look once, of "look".
	Within time.Duration `json:"within,omitempty"`
	// Began is when the first day began, of "days"; that begins it again after a kill.
	Began time.Time `json:"began,omitzero"`
	Fault *Fault    `json:"fault,omitempty"` // of "fault"
	Ask   int       `json:"ask,omitempty"`   // number of the question, of "ask"
}

// Orders.
const (
	doSetup = "setup"
	doSite  = "site"
	doMark  = "mark"
	doLook  = "look"
	doDays  = "days"
	doAsk   = "ask"   // what waits in the spools
	doFault = "fault" // one of the plan
	doStop  = "stop"  // all sites, in good order
)

// setup of a process of sites.
type setup struct {
	Options Options   `json:"options"`
	Process int       `json:"process"`
	Folder  string    `json:"folder"` // of its sites
	Ledger  string    `json:"ledger"` // file
	Hubs    []string  `json:"hubs"`
	First   time.Time `json:"first"` // of the simulated days
	Channel string    `json:"channel"`
	Kept    int64     `json:"kept"` // the bundle that no site rolls back, as there is none before
}

// told is how a process of sites stands. All but Ended are sums since its start.
type told struct {
	Sites     int `json:"sites"` // that were started
	Enrolled  int `json:"enrolled"`
	Connected int `json:"connected"` // now
	// Back are sites that were connected after the mark; LastBack is the last of them.
	Back     int       `json:"back"`
	LastBack time.Time `json:"last_back,omitzero"`
	// Have is how many sites hold a bundle, staged at least, and when the last of them
	// came to it.
	Have map[int64]*having `json:"have,omitempty"`
	// Holds is how many sites have which as the newest, by what lies on their disks: what was
	// counted just before a kill is not lost to it.
	Holds map[int64]int `json:"holds,omitempty"`
	// Active is how many sites have a bundle in use; their states say so.
	Active map[int64]int `json:"active,omitempty"`

	Put        int64            `json:"put"` // messages into spools
	Windows    int64            `json:"windows"`
	Questions  int64            `json:"questions"`
	Bytes      int64            `json:"bytes"` // of windows
	Sent       int64            `json:"sent"`  // acknowledged
	In         int64            `json:"in"`    // bytes on the wire
	Out        int64            `json:"out"`
	Looks      int64            `json:"looks"`
	Fetched    int64            `json:"fetched"` // bytes of chunks
	Confirmed  int64            `json:"confirmed"`
	RolledBack int64            `json:"rolled_back"`
	Restarts   int64            `json:"restarts"`
	Refused    map[string]int64 `json:"refused,omitempty"` // by code
	Errors     int64            `json:"errors"`            // that a site goes on after
	Failed     string           `json:"failed,omitempty"`  // what ended a site
	Acks       []byte           `json:"acks,omitempty"`    // ms, a sketch
	Spools     waiting          `json:"spools"`
	Days       bool             `json:"days,omitempty"`    // every site has sent what is over
	Stopped    bool             `json:"stopped,omitempty"` // the last line
}

type having struct {
	N    int       `json:"n"`
	Last time.Time `json:"last"`
}

// add what another process has told.
func (t *told) add(o *told) {
	t.Sites, t.Enrolled, t.Connected, t.Back = t.Sites+o.Sites, t.Enrolled+o.Enrolled, t.Connected+o.Connected, t.Back+o.Back
	if o.LastBack.After(t.LastBack) {
		t.LastBack = o.LastBack
	}
	for n, h := range o.Have {
		if t.Have == nil {
			t.Have = map[int64]*having{}
		}
		if t.Have[n] == nil {
			t.Have[n] = &having{}
		}
		if t.Have[n].N += h.N; h.Last.After(t.Have[n].Last) {
			t.Have[n].Last = h.Last
		}
	}
	for n, k := range o.Holds {
		if t.Holds == nil {
			t.Holds = map[int64]int{}
		}
		t.Holds[n] += k
	}
	for n, k := range o.Active {
		if t.Active == nil {
			t.Active = map[int64]int{}
		}
		t.Active[n] += k
	}
	t.Spools.Messages, t.Spools.Dropped, t.Days = t.Spools.Messages+o.Spools.Messages, t.Spools.Dropped+o.Spools.Dropped, t.Days && o.Days
	t.Spools.Asked = min(t.Spools.Asked, o.Spools.Asked)
	t.addSums(o)
}

// hold is how many sites have that bundle or a later one.
func (t *told) hold(number int64) (n int) {
	for k, sites := range t.Holds {
		if k >= number {
			n += sites
		}
	}
	return n
}

// addSums adds what a process goes on from when it comes back after a kill.
func (t *told) addSums(o *told) {
	t.Put, t.Windows, t.Questions, t.Sent = t.Put+o.Put, t.Windows+o.Windows, t.Questions+o.Questions, t.Sent+o.Sent
	t.Bytes += o.Bytes
	t.In, t.Out, t.Looks, t.Fetched = t.In+o.In, t.Out+o.Out, t.Looks+o.Looks, t.Fetched+o.Fetched
	t.Confirmed, t.RolledBack, t.Restarts, t.Errors = t.Confirmed+o.Confirmed, t.RolledBack+o.RolledBack, t.Restarts+o.Restarts, t.Errors+o.Errors
	for c, n := range o.Refused {
		if t.Refused == nil {
			t.Refused = map[string]int64{}
		}
		t.Refused[c] += n
	}
	if t.Failed == "" {
		t.Failed = o.Failed
	}
	if len(o.Acks) > 0 {
		sum := newSketch()
		for _, b := range [][]byte{t.Acks, o.Acks} {
			if s, err := readSketch(b); err == nil {
				_ = sum.MergeWith(s)
			}
		}
		t.Acks = encode(sum)
	}
}

// accuracy of quantiles, relative.
const accuracy = 0.01

var bins = func() *mapping.LogarithmicMapping {
	m, err := mapping.NewLogarithmicMapping(accuracy)
	if err != nil {
		panic(err) // of a constant
	}
	return m
}()

func newSketch() *ddsketch.DDSketch {
	return ddsketch.NewDDSketch(bins, store.NewSparseStore(), store.NewSparseStore())
}

func encode(s *ddsketch.DDSketch) (b []byte) {
	s.Encode(&b, false)
	return b
}

func readSketch(b []byte) (*ddsketch.DDSketch, error) {
	if len(b) == 0 {
		return newSketch(), nil
	}
	s, err := ddsketch.DecodeDDSketch(b, store.SparseStoreConstructor, bins)
	if err != nil {
		return nil, fmt.Errorf("times of acknowledgements: %w", err)
	}
	return s, nil
}

func readOrder(line []byte) (*order, error) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, fmt.Errorf("an order can't be read: %w", err)
	}
	return &o, nil
}
