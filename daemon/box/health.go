package box

import (
	"slices"
	"strings"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/health"
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
	h.Others = b.Models.loaded(b.writes(), b.embedder)
	if st, watched := b.cards.state(b.Models); watched {
		h.Step, h.StepWhy = st.Step.String(), st.Why
	}
	h.Profile, h.ProfileWhy = b.Models.profileAndWhy()
	h.Thresholds, _ = b.thresholds()
	h.Unclean = b.unclean
	if b.cache != nil {
		st := b.cache.Stats()
		h.Cache = &st
	}
	h.Conditions = b.held.See(time.Now().UTC(), b.conditions(h))
	for _, f := range h.Conditions {
		if f.Severity > health.Notice {
			h.Degraded = append(h.Degraded, f.Detail)
		}
	}
	return h
}

// conditions that hold now.
func (b *Box) conditions(h api.Health) []health.Finding {
	found := b.indexConditions(h)
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
	if b.sync.note != "" {
		found = append(found, health.LinkOff.Found("%s", b.sync.note))
	}
	return found
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
