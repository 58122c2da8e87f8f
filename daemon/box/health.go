package box

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/config"
	"rxedge/daemon/health"
	"rxedge/daemon/rollout"
	profiles "rxedge/firmware-profiles"
	"rxedge/index"
	"rxedge/inference/ladder"
	"rxedge/inference/llama"
)

// Health says what works now.
func (b *Box) Health() api.Health {
	st := b.Index.Stats()
	h := api.Health{Ready: !b.lost(), Version: Version, Started: b.started, Generation: st.Generation.Label(),
		Documents: st.Generation.Documents, Passages: st.Generation.Passages, Dense: st.Dense, Engine: "installed", Indexed: st.Generation.Created}
	if !st.Generation.Updated.IsZero() {
		h.Indexed = st.Generation.Updated
	}
	if _, err := llama.Find(); err != nil {
		h.Engine = "missing"
	}
	h.Reembedding = b.reembedding.Load()
	h.Generator, h.Embedder = b.modelState(b.writes()), b.modelState(b.embedder)
	if e := st.Generation.Embedder; b.embedder == config.Builtin && st.Dense {
		h.Embedder.Name = e.Name // one that came with a bundle, it may be
	}
	h.Others = b.Models.loaded(b.writes(), b.embedder)
	if st, watched := b.cards.state(b.Models); watched {
		h.Step, h.StepWhy = st.Step.String(), st.Why
	}
	h.Profile, h.ProfileWhy = b.Models.profileAndWhy()
	h.Thresholds, _ = b.thresholds()
	h.Unclean, h.Layout, h.Restored = b.unclean, b.Layout(), b.restored
	h.Encryption = b.keys.Report()
	if b.cache != nil {
		st := b.cache.Stats()
		h.Cache = &st
	}
	h.NewestLabel = b.newestLabel()
	d := b.stationDisk()
	h.Disk = &d
	h.Conditions = b.held.See(b.clock.Now().UTC(), b.conditions(h))
	for _, f := range h.Conditions {
		if f.Severity > health.Notice {
			h.Degraded = append(h.Degraded, f.Detail)
		}
	}
	return h
}

// conditions that hold now.
func (b *Box) conditions(h api.Health) []health.Finding {
	st := b.Index.Stats()
	found := append(b.machineConditions(st.DiskBytes, h.Indexed), b.indexConditions(h)...)
	found = append(found, schemaConditions(h.Layout)...)
	found = append(found, b.keyConditions()...)
	if h.Disk != nil {
		found = append(found, b.diskConditions(*h.Disk)...)
	}
	found = append(found, b.clockConditions()...)
	if b.unclean != "" {
		found = append(found, health.UncleanStop.Found("%s", b.unclean))
	}
	if st, watched := b.cards.state(b.Models); watched && st.Step > ladder.Normal {
		found = append(found, health.Stepped.Found("%s (%s)", st.Step.Text(), st.Why))
	}
	for _, m := range []struct {
		state   *api.ModelState
		without string
	}{{h.Generator, "answers are sentences of the documents, verbatim"}, {h.Embedder, "documents are searched by words alone"}} {
		if m.state == nil || m.state.Phase == string(llama.Ready) || m.state.Phase == phaseIdle {
			continue
		}
		c := health.ModelNotReady
		if m.state.Phase == string(llama.Failed) || m.state.Phase == phaseMissing {
			c = health.ModelFailed
		}
		f := c.Found("model %s is %s; until it is ready %s", m.state.Name, m.state.Phase, m.without)
		if m.state.Phase == phaseMissing {
			f = f.Mend("'rxedge model import' or 'rxedge model pull " + m.state.Name + "'")
		}
		found = append(found, f)
	}
	if _, why := b.thresholds(); why != "" {
		found = append(found, health.ThresholdsOff.Found("%s", why))
	}
	if b.cache != nil && b.cache.Note() != "" {
		found = append(found, health.CacheRenewed.Found("%s", b.cache.Note()))
	}
	if n := b.Feedback.Note(); n != "" {
		found = append(found, health.FeedbackRenewed.Found("%s", n))
	}
	if n := b.telemetry.recorder.Note(); n != "" {
		found = append(found, health.TelemetryRenewed.Found("%s", n))
	}
	return slices.Concat(found, b.modelConditions(h), b.contentConditions(h), b.syncConditions())
}

// modelConditions: what keeps the configured models from being loaded.
func (b *Box) modelConditions(h api.Health) (found []health.Finding) {
	if h.Engine == "missing" {
		f := health.EngineMissing.Found("llama.cpp is not installed")
		if b.writes() == "" && (b.embedder == "" || b.embedder == config.Builtin) {
			f = f.As(health.Notice) // nothing here needs it
		}
		found = append(found, f)
	}
	if h.Profile != "" {
		if f := b.Models.chosen().unsuited; f.What != "" {
			found = append(found, UnsuitedCondition(h.Profile, h.ProfileWhy, f))
		}
	}
	for _, m := range []*api.ModelState{h.Generator, h.Embedder} {
		if m == nil || m.Phase != phaseIdle {
			continue
		}
		var full *llama.MemoryError
		if err := b.Models.fits(m.Name); errors.As(err, &full) {
			found = append(found, health.ModelTooLarge.Found("%v", full))
		}
	}
	return found
}

// UnsuitedCondition of a profile that refuses the machine.
func UnsuitedCondition(profile, why string, f profiles.Finding) health.Finding {
	return health.ProfileUnsuited.Found("%s (%s): %s", profile, why, f.What).Mend(f.Fix + "; 'rxedge profile detect' names the one that suits, 'rxedge config set model.profile auto' takes it; then restart")
}

// contentConditions: documents, rollouts, what people said, what is counted.
func (b *Box) contentConditions(h api.Health) (found []health.Finding) {
	if n, err := b.Quarantine.Count(); err == nil && n > 0 {
		found = append(found, health.Quarantined.Found("%d files could not be read", n))
	}
	now := SyncClock()
	if n := h.NewestLabel; n != "" && b.Answers.StaleAfter > 0 && n < now.Add(-b.Answers.StaleAfter).Format(time.DateOnly) && !b.sampleAlone() {
		found = append(found, health.LabelsStale.Found("the newest is of %s, and labels count as old after %d days", n, int(b.Answers.StaleAfter.Hours()/24)))
	}
	if b.rollout.Manager != nil {
		if n := b.rollout.Note(); n != "" {
			found = append(found, health.JournalDamaged.Found("%s", n))
		}
		if l := b.rollout.State().Last; l != nil && l.Slot == rollout.RolledBack && now.Sub(l.Since) < rolledBackStays {
			found = append(found, health.RolloutRolledBack.Found("%s on %s: %s %s", l.ID, l.Since.UTC().Format(time.DateTime), l.Check, l.Reason))
		}
	}
	if n, most := b.Feedback.Kept(); n >= most {
		found = append(found, health.FeedbackFull.Found("it holds %d items", n))
	}
	if n := b.standingAlarms(); n > 0 {
		found = append(found, health.DriftAlarm.Found("%d alarms stand", n))
	}
	if w := b.worsened(); len(w) > 0 {
		found = append(found, health.SuiteFell.Found("%s", qualityAlarm(w[0]).Text))
	}
	return found
}

// rolledBackStays is how long what was taken back is told of.
const rolledBackStays = 7 * 24 * time.Hour

// newest label of a generation, looked for once.
type newest struct {
	mu         sync.Mutex
	generation string
	date       string
}

// newestLabel is the effective date of the newest label, as labels write it; "" where
// none has one.
func (b *Box) newestLabel() string {
	snap := b.Index.Acquire()
	if snap == nil {
		return ""
	}
	defer snap.Release()
	n := &b.newest
	n.mu.Lock()
	defer n.mu.Unlock()
	if label := snap.Generation().Label(); label != n.generation {
		docs, err := snap.Documents()
		if err != nil {
			return ""
		}
		n.generation, n.date = label, ""
		for _, d := range docs {
			n.date = max(n.date, d.Effective)
		}
	}
	return n.date
}

func (b *Box) indexConditions(h api.Health) []health.Finding {
	var found []health.Finding
	lost, retreated, rebuild := !h.Ready, b.Index.Retreated(), b.Index.NeedsRebuild()
	if lost {
		found = append(found, health.IndexLost.Found("%s", b.lostNote()))
	}
	for _, n := range b.Index.Notes() {
		switch {
		case n == rebuild:
			if h.Reembedding == nil { // else it is being mended
				found = append(found, health.IndexOldForm.Found("%s", n))
			}
		case n == retreated || strings.Contains(n, "serves instead"):
			found = append(found, health.IndexRetreated.Found("%s", n))
		default:
			found = append(found, health.IndexMended.Found("%s", n))
		}
	}
	if g := b.Index.Stats().Generation; b.embedder == "" && g.Vectors > 0 {
		found = append(found, health.IndexEmbedderMissing.Found("the index has vectors of embedder %s and none is configured, so search is by words alone", g.Embedder))
	}
	switch {
	case lost:
	case h.Documents == 0:
		found = append(found, health.IndexEmpty.Found("the index is empty"))
	case b.sampleAlone():
		found = append(found, health.IndexSample.Found("%d sample documents, and no others", h.Documents))
	}
	return found
}

// sampleAlone says that there are no documents but the sample.
func (b *Box) sampleAlone() bool {
	snap := b.Index.Acquire()
	if snap == nil {
		return false
	}
	defer snap.Release()
	if snap.Generation().Documents > sampleDocuments() {
		return false
	}
	docs, err := snap.Documents()
	return err == nil && !slices.ContainsFunc(docs, func(d index.DocumentSummary) bool { return !strings.HasPrefix(d.ID, samplePrefix) })
}

// modelState of a model in use; nil where name is "".
func (b *Box) modelState(name string) *api.ModelState {
	if name == "" {
		return nil
	}
	st := b.Models.state(name)
	return &st
}
