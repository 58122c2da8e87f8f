package box

import (
	"encoding/json"
	"os"
	"path/filepath"

	"rxedge/daemon/rollout/trial"
	"rxedge/daemon/telemetry"
	"rxedge/sync/durable"
)

// keptTrial is a trial over a restart.
type keptTrial struct {
	ID       string       `json:"id"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	Trial    *trial.Trial `json:"trial"`
	Sketches [2][]byte    `json:"sketches"`
}

func (b *Box) trialFile() string { return filepath.Join(b.Config.Data, "rollout", "trial") }

// load the trial as it was kept; false: it is another one, or there is none.
func (c *challenge) load(path string) bool {
	data, err := os.ReadFile(path)
	k := keptTrial{Trial: &trial.Trial{}}
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil || k.ID != c.plan.ID || k.From != c.from || k.To != c.to || k.Trial == nil {
		return false
	}
	for i, s := range k.Sketches {
		if c.sketches[i], err = telemetry.UnmarshalWindow(s); err != nil {
			return false
		}
	}
	c.trial = k.Trial
	return true
}

// forget cohorts that are told apart no more.
func (c *challenge) forget(known []string) {
	for _, w := range c.sketches {
		w.Forget(known)
	}
}

func (b *Box) saveTrial(c *challenge) {
	k := keptTrial{ID: c.plan.ID, From: c.from, To: c.to, Trial: c.trial}
	err := c.encode(&k)
	if err == nil {
		var data []byte
		if data, err = json.Marshal(k); err == nil {
			err = durable.Write(b.trialFile(), data)
		}
	}
	if err != nil {
		b.log.Warn("a trial's figures could not be kept", "trial", c.plan.ID, "error", err)
	}
}

func (c *challenge) encode(k *keptTrial) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.sketches {
		if k.Sketches[i], err = w.MarshalBinary(); err != nil {
			return err
		}
	}
	return nil
}
