package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// GateFormat is the version of a gates file.
const GateFormat = 1

// GateState is how a bundle's rollout stands.
type GateState string

// States of a gate. Of a bundle that is held, running, paused or halted the
// later ones wait too, as each holds what came before it.
const (
	GateHeld    GateState = "held"    // nobody may have it yet
	GateRunning GateState = "running" // the sites of its waves may
	GatePaused  GateState = "paused"  // a person has stopped it: nobody more
	GateHalted  GateState = "halted"  // what the sites told has stopped it: nobody more
	GateAborted GateState = "aborted" // nobody may have it, ever
	GateDone    GateState = "done"    // all may, or all those of Only
)

// Buckets are how many places a site can have in a rollout; Below as many lets
// all in.
const Buckets = uint64(1) << 32

// GateLease is how long a running gate is good for. A controller that is gone,
// or a hub that shows an old gate, so ends a wave within a day.
const GateLease = 24 * time.Hour

// Limits of gates.
const (
	MaxGates = 64
	MaxOnly  = 40_000 // sites that they name
	// MaxApprovals of a gate, each of so many bytes at most.
	MaxApprovals = 8
	MaxApproval  = 4096
)

// Gates say which bundles of a channel a site may have. They are a target of the
// signed metadata, GatesPath, and lie at the hub by their SHA-256, as manifests
// do. A bundle without a gate is for all.
type Gates struct {
	Format  int       `json:"format"`
	Channel string    `json:"channel"`
	Serial  int64     `json:"serial"` // goes up with each signed
	Signed  time.Time `json:"signed"`
	// Audit is the head of the centre's trail when this was signed, so that a trail
	// can't be cut short unseen.
	Audit *AuditHead `json:"audit,omitempty"`
	Gates []Gate     `json:"gates"` // by bundle, ascending
}

// AuditHead is the last record of the centre's trail.
type AuditHead struct {
	Seq  int64 `json:"seq"`
	Hash Hash  `json:"hash"`
}

// Gate of one bundle.
type Gate struct {
	Bundle  int64     `json:"bundle"`
	Rollout string    `json:"rollout"` // id, of 16 hex digits
	State   GateState `json:"state"`
	// Below: the sites whose Bucket is less are let in.
	Below uint64 `json:"below,omitempty"`
	// Only those sites, by SiteMark; none: all.
	Only []string `json:"only,omitempty"`
	// Until is when a running gate closes by itself.
	Until time.Time `json:"until,omitzero"`
	// Rollback: sites that have the aborted bundle go back.
	Rollback bool `json:"rollback,omitempty"`
	// Approvals of the trial that the bundle asks for: files that a person has signed, as
	// they are. What they say is for the site to judge.
	Approvals []string `json:"approvals,omitempty"`
}

// GatesPath of a channel in the signed metadata.
func GatesPath(channel string) string { return channel + "/rollout.json" }

// Bucket of a site in a rollout, below Buckets. Waves nest, as it stays the same.
func Bucket(rollout, site string) uint64 {
	h := sha256.Sum256([]byte("rxedge bucket\x00" + rollout + "\x00" + site))
	return uint64(binary.BigEndian.Uint32(h[:]))
}

// SiteMark stands for a site in a gate, which all sites read.
func SiteMark(rollout, site string) string {
	h := sha256.Sum256([]byte("rxedge site\x00" + rollout + "\x00" + site))
	return hex.EncodeToString(h[:8])
}

var validMark = pattern(`^[0-9a-f]{16}$`)

// EncodeGates writes them, or says why nobody would read that.
func EncodeGates(g *Gates) ([]byte, error) {
	b, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	if _, err := ParseGates(b); err != nil {
		return nil, err
	}
	return b, nil
}

// ParseGates reads a gates file. It takes exactly what EncodeGates writes: a word
// that is not understood may be a limit, and one that is skipped opens the gate.
// The error is an *Error.
func ParseGates(b []byte) (*Gates, error) {
	bad := func(format string, args ...any) (*Gates, error) {
		return nil, refuse(BadGate, nil, "the gates of the channel are not well formed: "+format, args...)
	}
	if len(b) > MaxManifest {
		return nil, refuse(TooLarge, nil, "the gates have %d bytes; the most is %d", len(b), MaxManifest)
	}
	var g Gates
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, refuse(BadGate, err, "the gates of the channel can't be read")
	}
	if g.Format != GateFormat {
		return nil, refuse(NeedsRxedge, nil, "the gates are of format %d; this rxedge reads %d", g.Format, GateFormat)
	}
	if again, err := json.Marshal(&g); err != nil || !bytes.Equal(again, b) {
		return bad("there is more in them than this rxedge knows")
	}
	switch {
	case !validChannel().MatchString(g.Channel):
		return bad("channel")
	case g.Serial < 1:
		return bad("serial %d", g.Serial)
	case g.Signed.IsZero():
		return bad("no time")
	case g.Audit != nil && g.Audit.Seq < 1:
		return bad("audit")
	case len(g.Gates) > MaxGates:
		return bad("%d gates", len(g.Gates))
	}
	last, only := int64(0), 0
	for _, x := range g.Gates {
		if x.Bundle <= last {
			return bad("order of bundles")
		}
		last = x.Bundle
		if err := x.check(); err != "" {
			return bad("gate of bundle %d: %s", x.Bundle, err)
		}
		if only += len(x.Only); only > MaxOnly {
			return bad("too many sites")
		}
	}
	return &g, nil
}

func (x *Gate) check() string {
	switch x.State {
	case GateHeld, GateRunning, GatePaused, GateHalted, GateAborted, GateDone:
	default:
		return "state"
	}
	switch {
	case !validMark().MatchString(x.Rollout):
		return "rollout"
	case x.Below > Buckets:
		return "below"
	case x.State == GateRunning && x.Until.IsZero():
		return "a running one without an end"
	case x.State != GateRunning && !x.Until.IsZero():
		return "an end where nothing runs"
	case x.Rollback && x.State != GateAborted:
		return "rollback"
	case !slices.IsSorted(x.Only):
		return "order of sites"
	case len(x.Approvals) > MaxApprovals:
		return "too many approvals"
	}
	for _, a := range x.Approvals {
		if a == "" || len(a) > MaxApproval {
			return "size of an approval"
		}
	}
	for _, m := range x.Only {
		if !validMark().MatchString(m) {
			return "site"
		}
	}
	return ""
}

// unfinished: later bundles wait for it.
func (x *Gate) unfinished() bool {
	switch x.State {
	case GateHeld, GateRunning, GatePaused, GateHalted:
		return true
	}
	return false
}

// Opening is what the gates say of one bundle at one site.
type Opening struct {
	Bundle  int64     `json:"bundle"`
	State   GateState `json:"state,omitempty"` // of its gate; "": it has none
	Allowed bool      `json:"allowed"`
	// Rollback: a site that has it goes back to what it had before.
	Rollback bool   `json:"rollback,omitempty"`
	Why      string `json:"why,omitempty"` // it is not allowed
}

// Of says whether a site may have a bundle at a time. A nil Gates allows all.
func (g *Gates) Of(site string, number int64, now time.Time) Opening {
	o := Opening{Bundle: number}
	if g == nil {
		o.Allowed = true
		return o
	}
	for i := range g.Gates {
		x := &g.Gates[i]
		switch {
		case x.Bundle < number && x.unfinished():
			o.Why = fmt.Sprintf("bundle %d before it is %s", x.Bundle, x.State)
		case x.Bundle == number:
			o.State, o.Rollback = x.State, x.Rollback
			if why := x.closed(site, now); o.Why == "" {
				o.Why = why
			}
		}
	}
	o.Allowed = o.Why == ""
	return o
}

// closed says why the site may not have it; "": it may.
func (x *Gate) closed(site string, now time.Time) string {
	switch {
	case x.State == GateHeld, x.State == GatePaused, x.State == GateHalted, x.State == GateAborted:
		return "its rollout is " + string(x.State)
	case x.State == GateDone && len(x.Only) == 0: // it is for all, and is here for its approvals
		return ""
	case site == "":
		return "it is rolled out by sites, and this box has no name"
	case len(x.Only) > 0:
		if _, in := slices.BinarySearchFunc(x.Only, SiteMark(x.Rollout, site), strings.Compare); !in {
			return "it is for other sites"
		}
	}
	switch {
	case x.State == GateDone:
		return ""
	case !now.Before(x.Until):
		return "its wave has run out; the centre's controller, or the hub, has told nothing new since " + x.Until.Add(-GateLease).Format(time.RFC3339)
	case Bucket(x.Rollout, site) >= x.Below:
		return "this site's wave has not begun"
	}
	return ""
}
