package central

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
)

// Advance a matter by a step that follows its approval. The step is on disk when it
// returns. Made again with the same data it changes nothing; fresh says whether it was
// made now. The error is a *DecidedError where it may not be made.
func (f *Folder) Advance(id string, action FleetAction, data any, by By) (m *Matter, fresh bool, err error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, false, err
	}
	l, unlock, err := f.lockedLog()
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	if m = l.matter(id); m == nil {
		return nil, false, fmt.Errorf("%s: %w", id, ErrNoMatter)
	}
	if s := m.Step(action); s != nil && bytes.Equal(s.Data, b) {
		return m, false, nil
	}
	c := FleetRecord{Who: by.Who, Action: action, ID: id, Reason: by.Reason, Data: b}
	if err := l.may(&c); err != nil {
		return nil, false, &DecidedError{fmt.Sprintf("%s is %s; it can't be %s", id, m.State, stateOf(action))}
	}
	if err := f.record(l, c); err != nil {
		return nil, false, err
	}
	return m, true, nil
}

// Released is the newest bundle of a channel that every site may have; nil: there is
// none yet.
func (f *Folder) Released(channel string) (*bundle.Set, error) {
	if err := enroll.CheckChannel(channel); err != nil {
		return nil, err
	}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := f.repository()
	if err != nil {
		return nil, err
	}
	t, err := f.trail()
	if err != nil {
		return nil, err
	}
	m, err := f.latest(r, channel, func(n int64) bool { return t.rolls.forAll(channel, n) })
	if m == nil || err != nil {
		return nil, err
	}
	return bundle.OpenSet(m, packs{f}), nil
}

// Manifests that are signed, the newest number first.
func (f *Folder) Manifests() ([]*bundle.Manifest, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return f.manifests()
}

// ArtefactPath is where the file of a published artefact lies.
func (f *Folder) ArtefactPath(a *bundle.Artefact) string {
	return f.path("store/artefacts/" + a.SHA256.String())
}

// trainerConsumer is the name of the durable consumer of EVENTS that Retrainings is.
const trainerConsumer = "trainer"

// again is how long a matter waits that could not be seen to.
const again = 30 * time.Second

// Retrainings calls do with the id of each matter of training of which the hub tells, in
// order, until ctx ends; a look begins with all that was not acknowledged. A matter whose
// do returns nil is acknowledged, one whose error it is is told of again. do has to look at
// what the folder's own record says: the hub is not believed, an event that is not on
// record here is passed over, and the same may come twice.
func (f *Folder) Retrainings(ctx context.Context, hubs []string, do func(id string) error) error {
	nc, err := f.Connect(hubs, true)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	c, err := js.CreateOrUpdateConsumer(ctx, StreamEvents, jetstream.ConsumerConfig{Durable: trainerConsumer, FilterSubject: "fleet.retrain.*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Minute, MaxAckPending: 1, DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return fmt.Errorf("the hub's events can't be followed; is 'rxedge central hub' or 'node' of this release running? %w", err)
	}
	it, err := c.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return err
	}
	defer it.Stop()
	defer context.AfterFunc(ctx, it.Stop)()
	for {
		m, err := it.Next()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrNoHeartbeat) { // a node went; the next answers
			continue
		}
		if err != nil {
			return err
		}
		id, err := f.onRecord(m.Data())
		if err != nil {
			return err
		}
		if id == "" {
			err = m.Term()
		} else if derr := do(id); derr != nil {
			err = m.NakWithDelay(again)
		} else {
			err = m.DoubleAck(ctx)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			// It comes again, and changes nothing then.
			continue
		}
	}
}

// onRecord gives the matter of an event; "": it is not on record here.
func (f *Folder) onRecord(event []byte) (string, error) {
	var s Signed
	if json.Unmarshal(event, &s) != nil {
		return "", nil
	}
	all, err := f.FleetRecords()
	if err != nil {
		return "", err
	}
	for _, x := range all {
		if x.Hash == s.Hash {
			r, err := x.FleetRecord()
			if err != nil {
				return "", err
			}
			return r.ID, nil
		}
	}
	return "", nil
}
