package box

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/backup"
	"rxedge/daemon/disk"
	"rxedge/daemon/logfile"
	"rxedge/sync/durable"
	"rxedge/sync/enroll"
)

// ResetDegree is how much of a box is put back to what it was at first.
type ResetDegree string

// Degrees of a reset.
const (
	ResetCache     ResetDegree = "cache"
	ResetTelemetry ResetDegree = "telemetry"
	ResetFeedback  ResetDegree = "feedback"
	ResetIndex     ResetDegree = "index"
	ResetSite      ResetDegree = "site"
	ResetAll       ResetDegree = "all"
)

// resetGoes are the entries of the data folder that a degree takes. What is derived from
// documents goes with them: a kept answer must not outlive what it cites.
var resetGoes = map[ResetDegree][]string{
	ResetCache:     {"cache"},
	ResetTelemetry: {"telemetry"},
	ResetFeedback:  {"feedback"},
	ResetIndex:     {"index", "rollout", "quarantine", "cache"},
	ResetSite:      {"sync"},
}

// whatIs names the entries of a data folder.
var whatIs = map[string]string{
	"cache": "answers and vectors of questions that are kept", "telemetry": "what was counted of questions, and baselines",
	"feedback": "what people said of answers", "index": "the documents, as they are searched", "rollout": "the journal of rollouts, and what came with them",
	"quarantine": "files that could not be read", "sync": "the site's keys and certificate, bundles, and what waits for the centre",
	"models": "the catalog of models", "clients": "tokens of the programs that ask", "schema.a": "the version of the folder's layout", "schema.b": "the version of the folder's layout",
	"changes": "what a release has changed, as it was", "taken-back": "what a release that was given up had changed",
	backup.AsideName: "the state from before a restore", backup.InfoName: "which backup the folder is from", ".restore": "what was being restored",
	backup.ConfigBeside: "the settings of a backup",
	"new":               "a file that was not finished", "work": "what 'rxedge model compress' was making", "suite": "runs of the golden questions, and the ledger",
	"running": "the mark of a daemon that did not stop cleanly", "rxedged.sock": "a socket that nobody listens on",
	"encryption.a": "the wrapped data key", "encryption.b": "the wrapped data key",
	logfile.Folder: "the log of the daemon", clockName: "the latest time that the box has seen", disk.ReserveName: "room that is held free", "rxedge.toml": "settings", "rxedge.toml.bak": "settings as they were before",
}

// passing entries are no matter of a person's.
var passing = map[string]bool{"encryption.a": true, "encryption.b": true, "running": true, "rxedged.sock": true, "new": true, "schema.a": true, "schema.b": true, backup.InfoName: true, clockName: true, disk.ReserveName: true}

const (
	lockName = "lock"
	// resetName is the plan of a reset. Once it is on disk the reset has happened, and
	// whoever opens the folder next finishes it.
	resetName  = "reset.json"
	resetForm  = 1
	unknownOf  = "not rxedge's: remove it by hand"
	mostResets = 4096 // names in a plan
)

// ResetPart is an entry of the data folder.
type ResetPart struct {
	Path  string `json:"path"`
	What  string `json:"what"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// Holds says how many of what, such as "2 generations"; "": nothing that is counted.
	Holds string `json:"holds,omitempty"`
	// Link is what the entry points to, where it is a link: the link goes and that stays.
	Link string `json:"link,omitempty"`

	name string
}

// ResetPlan says exactly what a reset takes and leaves.
type ResetPlan struct {
	Degree ResetDegree `json:"degree"`
	Data   string      `json:"data"`
	Goes   []ResetPart `json:"goes"`
	Stays  []ResetPart `json:"stays"`
	Files  int         `json:"files"` // that go
	Bytes  int64       `json:"bytes"`
	Site   string      `json:"site,omitempty"` // that the box is; "": none
}

// ErrNoBox: a folder is no data folder.
var ErrNoBox = errors.New("it is no data folder of rxedge")

// PlanReset looks and touches nothing. keep are entries that stay all the same.
func PlanReset(data string, d ResetDegree, keep ...string) (ResetPlan, error) {
	p := ResetPlan{Degree: d, Data: data, Goes: []ResetPart{}, Stays: []ResetPart{}}
	goes, ok := resetGoes[d]
	if !ok && d != ResetAll {
		return p, fmt.Errorf("there is no reset of degree %q", d)
	}
	// A folder that no box was ever opened in may be anybody's.
	if _, err := os.Lstat(filepath.Join(data, lockName)); err != nil {
		return p, fmt.Errorf("%w: %s", ErrNoBox, data)
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		return p, err
	}
	for _, e := range entries {
		kind := kindOf(e.Name())
		if kind == lockName || kind == resetName || kind == "lost+found" {
			continue
		}
		part, err := measure(data, e.Name(), kind)
		if err != nil {
			return p, err
		}
		known := whatIs[kind] != ""
		if (d == ResetAll && known || slices.Contains(goes, kind)) && !slices.Contains(keep, kind) {
			p.Goes = append(p.Goes, part)
			p.Files += part.Files
			p.Bytes += part.Bytes
		} else if known && !passing[kind] || d == ResetAll {
			p.Stays = append(p.Stays, part)
		}
	}
	if id, err := enroll.Load(filepath.Join(data, "sync"), nil); err == nil {
		p.Site = id.Site
	}
	return p, nil
}

// kindOf an entry: its name without what was added when it was moved aside, or made.
func kindOf(name string) string {
	if strings.HasPrefix(name, "work-") { // of 'rxedge model compress'
		return "work"
	}
	if strings.HasPrefix(name, ".new-") { // of a write that was cut off
		return "new"
	}
	kind, _, _ := strings.Cut(name, asideInfix)
	return kind
}

// measure an entry, without following links.
func measure(data, name, kind string) (ResetPart, error) {
	path := filepath.Join(data, name)
	part := ResetPart{Path: path, What: cmp.Or(whatIs[kind], unknownOf), name: name}
	if strings.Contains(name, asideInfix) {
		part.What += ", moved aside as damaged"
	}
	holds, generations, models := 0, 0, 0
	err := filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 && at == path {
			part.Link, _ = os.Readlink(at)
		}
		if e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil // it went meanwhile
		}
		part.Files++
		part.Bytes += taken(info)
		switch dir := filepath.Base(filepath.Dir(at)); {
		case kind == "index" && e.Name() == "manifest.json":
			generations++
		case kind == "models" && dir == "entries":
			models++
		case kind == "quarantine" || kind == "clients":
			holds++
		}
		return nil
	})
	count := func(n int, one, many string) {
		if n == 1 {
			part.Holds = "1 " + one
		} else if n > 1 {
			part.Holds = fmt.Sprintf("%d %s", n, many)
		}
	}
	count(generations, "generation", "generations")
	count(models, "model", "models")
	if kind == "clients" {
		count(holds, "token", "tokens")
	}
	return part, err
}

// taken is the room that a file takes, which is less than it is long where it has holes.
func taken(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// resetFile is a plan on disk.
type resetFile struct {
	Form   int         `json:"form"`
	Degree ResetDegree `json:"degree"`
	At     time.Time   `json:"at"`
	Names  []string    `json:"names"`
}

// Reset carries out a plan: whole, or, where it fails before that is on record, not at
// all. The error is a *HeldError where another process has the folder.
func Reset(p ResetPlan, log *slog.Logger) error {
	lock, err := hold(p.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := finishReset(p.Data, log); err != nil { // of one before
		return err
	}
	f := resetFile{Form: resetForm, Degree: p.Degree, At: time.Now().UTC(), Names: []string{}}
	for _, part := range p.Goes {
		f.Names = append(f.Names, part.name)
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Write(filepath.Join(p.Data, resetName), append(b, '\n')); err != nil {
		return fmt.Errorf("noting the reset: %w", err)
	}
	return finishReset(p.Data, log)
}

// finishReset takes what a reset that was begun has to take. The folder's lock is held.
func finishReset(data string, log *slog.Logger) error {
	path := filepath.Join(data, resetName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var f resetFile
	if err == nil {
		f, err = parseReset(b)
	}
	if err != nil {
		return fmt.Errorf("a reset of %s was begun, and its plan %s can't be read: %w; remove that file, look at what is left, and reset again", data, path, err)
	}
	// Within a root nothing outside the folder can be reached, whatever is a link.
	root, err := os.OpenRoot(data)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range f.Names {
		durable.Step("reset " + name)
		err := root.RemoveAll(name)
		if errors.Is(err, unix.EBUSY) && emptyFolder(filepath.Join(data, name)) { // another disk is mounted there
			err = nil
		}
		if err != nil {
			return fmt.Errorf("a reset (%s) was begun at %s and can't be finished: %w", f.Degree, f.At.Format(time.RFC3339), err)
		}
	}
	durable.Step("reset: sync")
	if err := durable.SyncDir(data); err != nil {
		return err
	}
	durable.Step("reset: done")
	if err := os.Remove(path); err != nil {
		return err
	}
	log.Info("the box was reset", "degree", string(f.Degree), "taken", f.Names)
	return durable.SyncDir(data)
}

func emptyFolder(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && len(entries) == 0
}

// parseReset reads a plan, whose names must be of entries of the data folder itself.
func parseReset(b []byte) (resetFile, error) {
	var f resetFile
	if err := json.Unmarshal(b, &f); err != nil {
		return f, err
	}
	if f.Form != resetForm {
		return f, fmt.Errorf("it is of form %d, and this rxedge knows %d", f.Form, resetForm)
	}
	if len(f.Names) > mostResets {
		return f, fmt.Errorf("it names %d entries", len(f.Names))
	}
	for _, n := range f.Names {
		if n == "" || n == "." || n == ".." || n == lockName || n == resetName || strings.ContainsAny(n, "/\x00") {
			return f, fmt.Errorf("it names %q", n)
		}
	}
	return f, nil
}
