package central

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"rxedge/sync/bundle"
	"rxedge/sync/durable"
	"rxedge/sync/enroll"
	"rxedge/sync/link"
	"rxedge/sync/spool"
)

// What sites count, they send as windows of a day, and as alarms. The centre keeps
// them as they came, signed, in fleet/windows/SITE and fleet/alarms/SITE, and how far
// it has read the hub in fleet/taken.json. What is in a window only the daemon's rooms
// know: here it is bytes, of which a reader says what they are.

// WindowOf is what a window counts.
type WindowOf struct {
	From, To          time.Time
	Model, Generation string
	Questions         int64
}

// Readers of what sites send. Their errors are *ReportError where they have a code.
type Readers struct {
	Window func([]byte) (WindowOf, error)
	Alarm  func([]byte) error
}

// ReportCode says why a report was refused.
type ReportCode string

// Codes of refused reports.
const (
	ReportUnknownSite ReportCode = "unknown_site" // the centre has no such site
	ReportRevoked     ReportCode = "revoked"      // sent after the site was revoked
	ReportUnsigned    ReportCode = "unsigned"     // not by this site's key
	ReportDamaged     ReportCode = "damaged"      // it can't be read, or its checksum is wrong
	ReportSchema      ReportCode = "schema"       // of a version that this rxedge does not read
	ReportUncovered   ReportCode = "uncovered"    // it tells of fewer than eleven questions
	ReportTime        ReportCode = "time"         // not of one day, or of none that can be
	ReportMany        ReportCode = "too_many"     // models and generations of one day
	ReportOlder       ReportCode = "older"        // of fewer questions than that of the same day that is here
)

// ReportError refuses a report.
type ReportError struct {
	Code   ReportCode
	Reason string
}

func (e *ReportError) Error() string { return string(e.Code) + ": " + e.Reason }

func refuse(code ReportCode, format string, args ...any) error {
	return &ReportError{code, fmt.Sprintf(format, args...)}
}

// Refusals of one site and code.
type Refusals struct {
	Count  int64     `json:"count"`
	Last   time.Time `json:"last"`
	Reason string    `json:"reason"`
}

// Taken is how far the hub's reports were taken up.
type Taken struct {
	Stream  time.Time `json:"stream"` // when the hub's stream was made: of another, all is read again
	Next    uint64    `json:"next"`
	Windows int64     `json:"windows"` // that are new
	Again   int64     `json:"again"`   // that were here
	Alarms  int64     `json:"alarms"`
	// Refused by site and code.
	Refused map[string]map[ReportCode]*Refusals `json:"refused,omitempty"`
}

// ErrTaking: another command takes up reports on this folder.
var ErrTaking = errors.New("another command takes up the sites' reports on this folder")

const (
	takenFile = "fleet/taken.json"
	dayForm   = "2006-01-02"
	// keptWindows is how long windows are kept.
	keptWindows = 400 * 24 * time.Hour
	// latest a window may come after its day.
	latestWindow = 60 * 24 * time.Hour
	// lostParts: what has not come whole in this time does not come.
	lostParts = 24 * time.Hour
	// mostModels and generations of one site's day.
	mostModels = 64
)

// Taken so far.
func (f *Folder) Taken() (*Taken, error) {
	t := &Taken{}
	b, err := os.ReadFile(f.path(takenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		err = json.Unmarshal(b, t)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; delete it, and what lies at the hub is read again", f.path(takenFile), err)
	}
	return t, nil
}

// TakeReports takes up the windows and alarms that lie at the hub and were not taken
// up before. Each is on disk before the next is read, so it can end anywhere; what is
// read twice is kept once. The error is ErrTaking where another does so already.
func (f *Folder) TakeReports(ctx context.Context, hubs []string, read Readers) (*Taken, error) {
	if err := os.MkdirAll(f.path("fleet"), 0o700); err != nil {
		return nil, err
	}
	l, err := os.OpenFile(f.path("fleet/take.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, ErrTaking
	}
	t, err := f.Taken()
	if err != nil {
		return nil, err
	}
	nc, err := f.Connect(hubs, false)
	if err != nil {
		return t, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return t, err
	}
	s, err := StreamOf(ctx, js, StreamTelemetry)
	if err != nil {
		return t, err
	}
	info := s.CachedInfo()
	if !info.Created.Equal(t.Stream) || t.Next > info.State.LastSeq+1 {
		t.Stream, t.Next = info.Created, 0 // another hub, or one that was put back
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{"tel.*.*.window", "tel.*.*.alarm"}}
	if t.Next > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, t.Next
	}
	sites := map[string]*Site{}
	// What came in parts is read again from its first, until its last has come.
	var parts spool.Assembler
	begun := map[string]uint64{}
	at, n := t.Next, 0
	err = link.ReadStream(ctx, s, cfg, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if meta.Sequence.Stream < at {
			return nil
		}
		r := report(m)
		whole := false
		r.ID, r.Data, whole = parts.Add(r.Site, m.Headers(), r.Data)
		if whole {
			if err := f.take(t, sites, r, read); err != nil {
				return err
			}
		}
		key, _, _ := strings.Cut(m.Headers().Get(nats.MsgIdHdr), ".")
		if key = r.Site + " " + key; whole {
			delete(begun, key)
		} else if _, ok := begun[key]; !ok && r.Here.After(f.now().Add(-lostParts)) {
			begun[key] = meta.Sequence.Stream
		}
		at = meta.Sequence.Stream + 1
		t.Next = at
		for _, first := range begun {
			t.Next = min(t.Next, first)
		}
		if n++; n%200 == 0 {
			return f.writeJSON(takenFile, t)
		}
		return nil
	})
	if n > 0 {
		err = errors.Join(err, f.writeJSON(takenFile, t))
	}
	if err != nil {
		return t, err
	}
	return t, f.tidyWindows()
}

// take one report; an error is of this machine, not of the report.
func (f *Folder) take(t *Taken, sites map[string]*Site, r Report, read Readers) error {
	fresh, err := f.keep(sites, &r, read)
	var no *ReportError
	switch {
	case errors.As(err, &no):
		if t.Refused == nil {
			t.Refused = map[string]map[ReportCode]*Refusals{}
		}
		if t.Refused[r.Site] == nil {
			t.Refused[r.Site] = map[ReportCode]*Refusals{}
		}
		x := t.Refused[r.Site][no.Code]
		if x == nil {
			x = &Refusals{}
			t.Refused[r.Site][no.Code] = x
		}
		x.Count++
		x.Last, x.Reason = r.Here, no.Reason[:min(len(no.Reason), mostReason)]
	case err != nil:
		return err
	case !fresh:
		t.Again++
	case r.Kind == "alarm":
		t.Alarms++
	default:
		t.Windows++
	}
	return nil
}

// keep a report that is right. fresh: it was not here.
func (f *Folder) keep(sites map[string]*Site, r *Report, read Readers) (fresh bool, err error) {
	s, ok := sites[r.Site]
	if !ok {
		if s, err = f.site(r.Site); err != nil && !errors.Is(err, ErrNoSite) && enroll.CheckSite(r.Site) == nil {
			return false, err
		}
		sites[r.Site] = s
	}
	switch {
	case s == nil:
		return false, refuse(ReportUnknownSite, "the centre knows no such site")
	case s.Revoked != nil && r.Here.After(*s.Revoked):
		return false, refuse(ReportRevoked, "the site was revoked on %s", s.Revoked.Format(dayForm))
	}
	data, err := enroll.CheckSigned(s.Public, r.Site, r.Kind, r.Data)
	if err != nil {
		return false, refuse(ReportUnsigned, "%v", err)
	}
	sum := sha256.Sum256(r.Data)
	if r.Kind == "alarm" {
		if err := coded(read.Alarm(data)); err != nil {
			return false, err
		}
		day := r.Here.UTC().Format(dayForm)
		return f.keepFile(filepath.Join(alarmsDir, r.Site), day, day+"."+hex.EncodeToString(sum[:8])+".json", r.Data, func([]byte) error { return nil })
	}
	w, err := read.Window(data)
	if err := coded(err); err != nil {
		return false, err
	}
	day := w.From.UTC().Truncate(24 * time.Hour)
	switch now := r.Here; {
	case !w.From.Equal(day) || w.To.Sub(w.From) != 24*time.Hour:
		return false, refuse(ReportTime, "it is from %s to %s, which is not one day", w.From.Format(time.RFC3339), w.To.Format(time.RFC3339))
	case w.From.After(now) || w.From.Before(now.Add(-latestWindow)):
		return false, refuse(ReportTime, "it is of %s, and came on %s", w.From.Format(dayForm), now.Format(dayForm))
	}
	of := sha256.Sum256([]byte(w.Model + "\x00" + w.Generation))
	return f.keepFile(filepath.Join(windowsDir, r.Site), day.Format(dayForm), day.Format(dayForm)+"."+hex.EncodeToString(of[:8])+".rxw", r.Data, func(old []byte) error {
		was, err := read.Window(enroll.SignedData(old))
		if err == nil && was.Questions >= w.Questions {
			return refuse(ReportOlder, "there is one of %s with %d questions; this has %d", day.Format(dayForm), was.Questions, w.Questions)
		}
		return nil // what is here is damaged, or less
	})
}

// coded is err with a code.
func coded(err error) error {
	var c *ReportError
	if err == nil || errors.As(err, &c) {
		return err
	}
	return refuse(ReportDamaged, "%v", err)
}

// keepFile in the folder of a site; over is asked where another is there.
func (f *Folder) keepFile(dir, day, name string, data []byte, over func(old []byte) error) (fresh bool, err error) {
	dir = f.path(dir)
	path := filepath.Join(dir, name)
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return false, err
		}
		same, err := filepath.Glob(filepath.Join(dir, day+".*"))
		if err != nil {
			return false, err
		}
		if len(same) >= mostModels {
			return false, refuse(ReportMany, "there are %d of %s", len(same), day)
		}
	case err != nil:
		return false, err
	case bytes.Equal(old, data):
		return false, nil
	default:
		if err := over(old); err != nil {
			return false, err
		}
	}
	return true, durable.Write(path, data)
}

// Kept is a report as it lies in the folder.
type Kept struct {
	Site string
	Day  time.Time
	Hash bundle.Hash // of the whole, with its signature
	Data []byte
}

// WindowName is a window that was taken up, by the names of its folder and file.
type WindowName struct {
	Site string
	Day  time.Time
	Name string
}

// WindowNames of the days from since on and before until, of the sites that want says,
// in order of sites and days. Zero times are no bounds; want may be nil.
func (f *Folder) WindowNames(since, until time.Time, want func(site string) bool) ([]WindowName, error) {
	return f.keptNames(windowsDir, since, until, want)
}

// Window of a name.
func (f *Folder) Window(n WindowName) (Kept, error) { return f.keptFile(windowsDir, n) }

// Windows that were taken up, as WindowNames.
func (f *Folder) Windows(since, until time.Time, want func(site string) bool, do func(Kept) error) error {
	return f.kept(windowsDir, since, until, want, do)
}

// Alarms that were taken up, as Windows; Day is when they came.
func (f *Folder) Alarms(since, until time.Time, want func(site string) bool, do func(Kept) error) error {
	return f.kept(alarmsDir, since, until, want, do)
}

const (
	windowsDir = "fleet/windows"
	alarmsDir  = "fleet/alarms"
)

func (f *Folder) kept(under string, since, until time.Time, want func(site string) bool, do func(Kept) error) error {
	names, err := f.keptNames(under, since, until, want)
	if err != nil {
		return err
	}
	for _, n := range names {
		k, err := f.keptFile(under, n)
		if err != nil {
			return err
		}
		if err := do(k); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) keptFile(under string, n WindowName) (Kept, error) {
	b, err := os.ReadFile(filepath.Join(f.path(under), n.Site, n.Name))
	if err != nil {
		return Kept{}, err
	}
	return Kept{n.Site, n.Day, bundle.HashOf(b), enroll.SignedData(b)}, nil
}

func (f *Folder) keptNames(under string, since, until time.Time, want func(site string) bool) ([]WindowName, error) {
	sites, err := os.ReadDir(f.path(under))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []WindowName
	for _, s := range sites {
		if want != nil && !want(s.Name()) {
			continue
		}
		files, err := os.ReadDir(filepath.Join(f.path(under), s.Name()))
		if err != nil {
			return nil, err
		}
		for _, e := range files {
			d, _, _ := strings.Cut(e.Name(), ".")
			day, err := time.Parse(dayForm, d)
			if err != nil || !since.IsZero() && day.Before(since) || !until.IsZero() && !day.Before(until) {
				continue // or a file that is being written
			}
			out = append(out, WindowName{s.Name(), day, e.Name()})
		}
	}
	return out, nil
}

// tidyWindows removes what is older than keptWindows.
func (f *Folder) tidyWindows() error {
	before := f.now().Add(-keptWindows)
	for _, under := range []string{windowsDir, alarmsDir} {
		names, err := filepath.Glob(filepath.Join(f.path(under), "*", "*"))
		if err != nil {
			return err
		}
		for _, n := range names {
			d, _, _ := strings.Cut(filepath.Base(n), ".")
			if day, err := time.Parse(dayForm, d); err == nil && day.Before(before) {
				if err := os.Remove(n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// RefusedSites in order, for tables.
func (t *Taken) RefusedSites() []string { return slices.Sorted(maps.Keys(t.Refused)) }
