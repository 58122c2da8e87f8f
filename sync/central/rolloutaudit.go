package central

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rxedge/sync/bundle"
	"rxedge/sync/durable"
	"rxedge/sync/record"
)

// The trail says who did what to which rollout, and is where rollouts are kept:
// their state is what its records come to, and the gates follow from that. It is
// rollout/audit.jsonl, one Signed a line, appended and synced before anything is
// done by it.

// Record of the trail.
type Record struct {
	Seq     int64        `json:"seq"` // 1, 2, …
	At      time.Time    `json:"at"`
	Who     string       `json:"who"`
	Action  Action       `json:"action"`
	Rollout string       `json:"rollout,omitempty"`
	Channel string       `json:"channel"`
	Bundle  int64        `json:"bundle"`
	From    RolloutState `json:"from"`
	To      RolloutState `json:"to"`
	Reason  string       `json:"reason,omitempty"`
	// Figures are what the sites of the rollout had told then.
	Figures  *Figures    `json:"figures,omitempty"`
	Plan     *Plan       `json:"plan,omitempty"`
	Wave     int         `json:"wave,omitempty"`
	Below    uint64      `json:"below,omitempty"`
	Sites    []string    `json:"sites,omitempty"`
	Only     []string    `json:"only,omitempty"`
	Rollback bool        `json:"rollback,omitempty"`
	Forgiven []string    `json:"forgiven,omitempty"`
	Base     int64       `json:"base,omitempty"`
	Approval string      `json:"approval,omitempty"` // of the bundle's trial
	Prev     bundle.Hash `json:"prev"`               // hash of the record before
}

// Signed is a record as it lies in the trail. The hash is the SHA-256 of the
// record's JSON without white space; Signature is Ed25519 over auditContext and
// the hash's 32 bytes, by a targets key of the fleet's root.
type Signed struct{ record.Signed }

const auditContext = "rxedge rollout audit 1\n"

const auditFile = "rollout/audit.jsonl"

// ErrAudit: the trail can't be trusted.
var ErrAudit = errors.New("the trail of rollouts is damaged, cut short or changed; restore the centre's folder from its backup")

// step is where a test ends the process.
var step = func(string) {}

// trail as it was read.
type trail struct {
	signed []Signed
	last   Record
	head   bundle.Hash
	whole  int64 // bytes of the file that are whole records
	rolls  rollouts
}

// trail reads and checks the file. A last record that is not whole was cut off
// in the writing, before anything was done by it, and is left out.
func (f *Folder) trail() (*trail, error) {
	keys, err := f.targetsKeys()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(f.path(auditFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	t := &trail{rolls: rollouts{}}
	var last bool
	t.whole, last, err = eachSigned(b, func(s Signed) error { return t.add(s, keys) })
	if err != nil && !last { // a bad last one is torn: the pinned head below says whether it mattered
		return nil, fmt.Errorf("%w (record %d: %w)", ErrAudit, len(t.signed)+1, err)
	}
	missing, err := f.checkHeads(t)
	if err == nil && missing > 0 {
		err = fmt.Errorf("%w (the signed gates name record %d, which is not there)", ErrAudit, missing)
	}
	return t, err
}

// checkHeads: what the signed gates say of the trail is so. missing is the last
// record that they name, where the trail ends before it.
func (f *Folder) checkHeads(t *trail) (missing int64, err error) {
	r, err := f.repository()
	if err != nil {
		return 0, err
	}
	for path, tf := range r.targets.Signed.Targets {
		channel := filepath.Dir(path)
		if path != bundle.GatesPath(channel) {
			continue
		}
		g, err := f.gatesFile(tf)
		switch {
		case err != nil:
			return 0, err
		case g.Audit == nil:
		case g.Audit.Seq > int64(len(t.signed)):
			missing = max(missing, g.Audit.Seq)
		case t.signed[g.Audit.Seq-1].Hash != g.Audit.Hash:
			return 0, fmt.Errorf("%w (record %d is not the one that the gates of %s name)", ErrAudit, g.Audit.Seq, channel)
		}
	}
	return missing, nil
}

func (t *trail) add(s Signed, keys map[string]bool) error {
	c, err := s.check(keys)
	switch {
	case err != nil:
		return err
	case c.Seq != t.last.Seq+1:
		return fmt.Errorf("number %d after %d", c.Seq, t.last.Seq)
	case c.Prev != t.head:
		return errors.New("it does not follow from the one before")
	}
	if err := t.rolls.apply(c); err != nil {
		return err
	}
	t.signed, t.last, t.head = append(t.signed, s), *c, s.Hash
	return nil
}

// eachSigned calls add for the records of a file, a line each, up to the first that
// is not right; whole is the length of those before it, last says that none follows
// it. What has no end of line was cut off in the writing and is left out.
func eachSigned(b []byte, add func(Signed) error) (whole int64, last bool, err error) {
	for rest := b; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		var s Signed
		if err = json.Unmarshal(rest[:i], &s); err == nil {
			err = add(s)
		}
		if err != nil {
			return whole, i+1 == len(rest), err
		}
		rest = rest[i+1:]
		whole += int64(i) + 1
	}
	return whole, false, nil
}

// check one record by itself; keys are public, hex.
func (s *Signed) check(keys map[string]bool) (*Record, error) {
	var c Record
	if err := s.Open(auditContext, keys, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// Read the record, unchecked.
func (s *Signed) Read() (*Record, error) {
	var c Record
	return &c, json.Unmarshal(s.Record, &c)
}

// append a record, signed, to the file and the trail. f is locked. When it
// returns it is on disk.
func (f *Folder) append(t *trail, c Record) error {
	k, err := f.signingKey("tuf/keys/targets")
	if err != nil {
		return err
	}
	c.Seq, c.Prev, c.At = t.last.Seq+1, t.head, f.now().UTC().Truncate(time.Millisecond)
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	s := Signed{record.Seal(auditContext, b, k)}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	next := *t
	next.rolls = rollouts{}
	for _, m := range t.rolls {
		for _, r := range m {
			if next.rolls[r.Channel] == nil {
				next.rolls[r.Channel] = map[int64]*Rollout{}
			}
			x := *r
			next.rolls[r.Channel][r.Bundle] = &x
		}
	}
	if err := next.add(s, map[string]bool{s.Key: true}); err != nil {
		return err
	}
	if err := f.appendLine(auditFile, t.whole, append(line, '\n')); err != nil {
		return fmt.Errorf("keeping the trail of rollouts: %w", err)
	}
	next.whole += int64(len(line)) + 1
	*t = next
	return nil
}

// appendLine to a file of records that is whole up to at, and sync it.
func (f *Folder) appendLine(name string, at int64, line []byte) error {
	dir := filepath.Dir(f.path(name))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	step("before the record")
	file, err := os.OpenFile(f.path(name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(at); err != nil { // what was cut off in the writing
		return err
	}
	half := len(line) / 2
	if _, err := file.WriteAt(line[:half], at); err != nil {
		return err
	}
	step("half the record")
	if _, err := file.WriteAt(line[half:], at+int64(half)); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if at == 0 {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	step("after the record")
	return nil
}

// targetsKeys are the public keys, hex, that any root of the fleet names for
// targets: of those before, records stay.
func (f *Folder) targetsKeys() (map[string]bool, error) {
	out := map[string]bool{}
	for n := 1; ; n++ {
		root, err := metadata.Root().FromFile(f.path(fmt.Sprintf("tuf/repo/%d.root.json", n)))
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the fleet's root: %w", err)
		}
		for _, id := range root.Signed.Roles["targets"].KeyIDs {
			if k := root.Signed.Keys[id]; k != nil {
				out[k.Value.PublicKey] = true
			}
		}
	}
}

// Audit returns the trail, checked: each record's hash, its signature, that each
// follows from the one before and from the table of what may be done, and that
// none that the signed gates name is missing.
func (f *Folder) Audit() ([]Signed, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := f.trail()
	if err != nil {
		return nil, err
	}
	return t.signed, nil
}

// Checked is what VerifyAudit found.
type Checked struct {
	Records int         `json:"records"`
	Head    bundle.Hash `json:"head"`
	// Complete: it goes as far as the gates that are signed now.
	Complete bool `json:"complete"`
}

// VerifyAudit checks a trail that 'rollout audit --json' wrote, by the fleet's
// roots in this folder.
func (f *Folder) VerifyAudit(b []byte) (*Checked, error) {
	keys, err := f.targetsKeys()
	if err != nil {
		return nil, err
	}
	var all []Signed
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("this is no trail that 'rxedge central rollout audit --json' wrote: %w", err)
	}
	t := &trail{rolls: rollouts{}}
	for i, s := range all {
		if err := t.add(s, keys); err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i+1, len(all), err)
		}
	}
	missing, err := f.checkHeads(t)
	if err != nil {
		return nil, err
	}
	return &Checked{len(all), t.head, missing == 0}, nil
}
