package central

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rxedge/sync/bundle"
	"rxedge/sync/durable"
)

const gatesDir = "store/gates/"

// ErrRolloutOpen: a bundle for all can't overtake one that is rolled out.
var ErrRolloutOpen = errors.New("a rollout of this channel is not finished; publish with --hold, or finish or abort it first")

// open is the newest bundle of a channel whose rollout is not finished; nil: none.
func (rs rollouts) open(channel string) *Rollout {
	var out *Rollout
	for _, r := range rs.of(channel) {
		if r.unfinished() {
			out = r
		}
	}
	return out
}

// forAll says whether every site may have a bundle.
func (rs rollouts) forAll(channel string, number int64) bool {
	r := rs[channel][number]
	return r == nil || r.State == RolloutDone && !r.limited()
}

// kept says whether a bundle stays in the signed metadata: the newest few, what is
// being rolled out, and the newest that is for all, to which sites go back.
func (rs rollouts) kept(channel string, number int64, all []int64) bool {
	if i := slices.Index(all, number); i >= len(all)-keptBundles {
		return true
	}
	last := int64(0)
	for _, n := range all {
		if rs.forAll(channel, n) {
			last = n
		}
	}
	r := rs[channel][number]
	return number == last || r != nil && (r.unfinished() || r.limited() && number > last)
}

// gatesFile of a target.
func (f *Folder) gatesFile(tf *metadata.TargetFiles) (*bundle.Gates, error) {
	b, err := os.ReadFile(f.path(gatesDir + tf.Hashes["sha256"].String()))
	if err != nil {
		return nil, fmt.Errorf("the gates that were signed: %w", err)
	}
	return bundle.ParseGates(b)
}

// setGates of a channel to what follows from the trail, in r. changed: they are
// others than those that are signed, or their lease is half over.
func (f *Folder) setGates(r *repository, t *trail, channel string) (changed bool, err error) {
	var have *bundle.Gates
	if tf := r.targets.Signed.Targets[bundle.GatesPath(channel)]; tf != nil {
		if have, err = f.gatesFile(tf); err != nil {
			return false, err
		}
	}
	now := f.now().UTC().Truncate(time.Second)
	want := t.rolls.gates(channel, r.numbers(channel))
	for i := range want {
		if g := &want[i]; g.State == bundle.GateRunning {
			g.Until = now.Add(bundle.GateLease)
			if have == nil {
				continue
			}
			for _, h := range have.Gates {
				if h.Bundle == g.Bundle && h.Until.Sub(now) > bundle.GateLease/2 {
					g.Until = h.Until
				}
			}
		}
	}
	if have == nil && len(want) == 0 || have != nil && slices.EqualFunc(have.Gates, want, sameGate) {
		return false, nil
	}
	g := &bundle.Gates{Format: bundle.GateFormat, Channel: channel, Serial: 1, Signed: now, Gates: want}
	if have != nil {
		g.Serial = have.Serial + 1
	}
	if t.last.Seq > 0 {
		g.Audit = &bundle.AuditHead{Seq: t.last.Seq, Hash: t.head}
	}
	b, err := bundle.EncodeGates(g)
	if err != nil {
		return false, err
	}
	tf, err := metadata.TargetFile().FromBytes(bundle.GatesPath(channel), b, "sha256")
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(f.path(gatesDir), 0o700); err != nil {
		return false, err
	}
	step("before the gates")
	if err := durable.Write(f.path(gatesDir+tf.Hashes["sha256"].String()), b); err != nil {
		return false, err
	}
	r.targets.Signed.Targets[bundle.GatesPath(channel)] = tf
	return true, nil
}

func sameGate(a, b bundle.Gate) bool {
	return a.Bundle == b.Bundle && a.Rollout == b.Rollout && a.State == b.State && a.Below == b.Below && a.Until.Equal(b.Until) && a.Rollback == b.Rollback && slices.Equal(a.Only, b.Only) && slices.Equal(a.Approvals, b.Approvals)
}

// signGates signs the gates of all channels that follow from the trail, where
// they are not signed. It is what a process that was killed has left to do.
func (f *Folder) signGates(r *repository, t *trail) (bool, error) {
	changed := false
	for channel := range t.rolls {
		c, err := f.setGates(r, t, channel)
		if err != nil {
			return false, err
		}
		changed = changed || c
	}
	if !changed {
		return false, nil
	}
	if err := f.releaseNext(r); err != nil {
		return false, err
	}
	keep := map[string]bool{}
	for _, tf := range r.targets.Signed.Targets {
		keep[tf.Hashes["sha256"].String()] = true
	}
	es, err := os.ReadDir(f.path(gatesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	for _, e := range es {
		if !keep[e.Name()] {
			if err := os.Remove(filepath.Join(f.path(gatesDir), e.Name())); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

var validLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)

// CheckLabel refuses what is no label of a site.
func CheckLabel(key, value string) error {
	if !validLabel.MatchString(key) || !validLabel.MatchString(value) {
		return fmt.Errorf("%q is no label: write KEY=VALUE, each of 1 to 63 of a-z, 0-9, '.', '_' and '-'", key+"="+value)
	}
	return nil
}

// Label a site: set holds labels to give it, drop keys to take away. It returns
// the labels that it has then.
func (f *Folder) Label(id string, set map[string]string, drop []string) (map[string]string, error) {
	for k, v := range set {
		if err := CheckLabel(k, v); err != nil {
			return nil, err
		}
	}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := f.site(id)
	if err != nil {
		return nil, err
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	maps.Copy(s.Labels, set)
	for _, k := range drop {
		delete(s.Labels, k)
	}
	return s.Labels, f.saveSite(s)
}

// LabelText is "a=b c=d".
func LabelText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, " ")
}
