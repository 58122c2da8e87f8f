package box

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/daemon/api"
	"rxedge/daemon/feedback"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/explain"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/sync/spool"
)

// watching counts the box's questions and compares its days.
type watching struct {
	recorder *telemetry.Recorder
	why      *explain.Keeper

	mu       sync.Mutex
	trackers map[string]*monitor.Tracker // by model
	read     bool                        // the days before this start
	brief    *Telemetry                  // the latest, for /metrics
	briefed  time.Time

	streams   monitor.Streams
	worsening worsening
	anchors   anchors

	page    sync.Mutex   // before mu
	paged   *api.Station // the latest
	now     func() time.Time
	pagedAt time.Time
	unsent  []monitor.Open // alarms for the centre
}

// mostUnsent alarms; a box that is no site has nobody to send them to.
const mostUnsent = 100

func (b *Box) openTelemetry() error {
	w := &watching{now: b.clock.Now}
	r, err := telemetry.Open(filepath.Join(b.Config.Data, "telemetry"), telemetry.Options{Now: b.clock.Now, Sound: b.clock.Sound, Log: b.log, Day: b.dayOver, Leave: b.reportWindow, Space: b.space, Cohorts: b.cohorts(),
		Key: b.keys.Store("telemetry"), Seal: b.keys.Files()})
	if err != nil {
		return err
	}
	w.recorder = r
	if w.why, err = explain.Open(filepath.Join(b.Config.Data, "telemetry", "explain"), guard.Builtin(), r.Explain, b.cohorts(), b.clock.Now, b.log); err != nil {
		return errors.Join(err, r.Close())
	}
	if n := r.Note(); n != "" {
		b.log.Warn("telemetry", "note", n)
	}
	b.telemetry = w
	return nil
}

// cohorts that are told apart; not nil.
func (b *Box) cohorts() []string { return append([]string{}, b.Config.Telemetry.Cohorts...) }

// observeNumbers counts an answer, or the error where there is none, and tells of a
// change that it shows.
func (b *Box) observeNumbers(a *answer.Answer, err error) {
	cohort, centroid := "", -1
	if a != nil {
		cohort, centroid = a.Cohort, b.nearest(a)
	}
	o := b.telemetry.recorder.Observe(a, err, cohort, centroid)
	b.telemetry.why.Observe(a, &o)
	for _, c := range b.telemetry.streams.Add(&o) {
		b.tellChange(c)
	}
}

// tellChange logs an alarm and keeps it for the centre.
func (b *Box) tellChange(a monitor.Open) {
	b.log.Warn("answers have changed", "kind", a.Kind, "level", a.Level, "feature", a.Feature, "by", a.By, "value", a.Value, "figure", a.Figure, "p", a.P)
	w := b.telemetry
	w.mu.Lock()
	if len(w.unsent) < mostUnsent {
		w.unsent = append(w.unsent, a)
	}
	w.mu.Unlock()
	b.sendAlarms()
}

// Slow are the traces of slow questions of the last hours; 0: 24.
func (b *Box) Slow(_ context.Context, hours int) ([]telemetry.Trace, error) {
	if hours == 0 {
		hours = 24
	}
	if hours < 1 || hours > MostHours {
		return nil, &answer.InvalidError{Field: "hours", Detail: "give 1 to 192"}
	}
	return b.telemetry.recorder.Slow(b.clock.Now().Add(-time.Duration(hours) * time.Hour))
}

// said counts what somebody said of an answer: a thumb, or what was wrong.
func (b *Box) said(i feedback.Item) {
	switch {
	case i.Thumb == feedback.Down, i.Thumb == "" && i.Reason != "":
		b.telemetry.recorder.Judge(i.AnswerID, true)
		b.telemetry.why.Judge(i.AnswerID)
	case i.Thumb == feedback.Up:
		b.telemetry.recorder.Judge(i.AnswerID, false)
	}
}

// dayOver is called by the recorder with a day that is over.
func (b *Box) dayOver(day *telemetry.Window) {
	ts, err := b.telemetry.compare(true)
	if err != nil {
		b.log.Warn("the days of telemetry could not be compared", "error", err)
		return
	}
	for _, t := range ts {
		for _, a := range t.Alarms() {
			if a.Days > 1 || !a.Seen.Equal(day.To) {
				continue
			}
			b.tellChange(a)
		}
	}
}

// standingAlarms counts those of drift, as far as the days were compared.
func (b *Box) standingAlarms() int {
	w, n := b.telemetry, 0
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.trackers {
		n += len(t.Alarms())
	}
	return n
}

// sendAlarms puts alarms into the spool. Where it is not open yet, as at a start, they
// wait.
func (b *Box) sendAlarms() {
	w := b.telemetry
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.unsent) > 0 {
		data, err := json.Marshal(w.unsent[0])
		if err == nil {
			err = b.reportSigned(spool.High, "alarm", data)
		}
		if errors.Is(err, ErrSyncOff) {
			return
		}
		if err != nil {
			b.log.Warn("an alarm could not be kept for the centre", "error", err)
		}
		w.unsent = w.unsent[1:]
	}
}

// reportWindow puts what may leave the box of a day into the spool. Where the box is
// no site, or its spool is not open yet, it waits.
func (b *Box) reportWindow(w *telemetry.Window) error {
	data, err := w.MarshalBinary()
	if err == nil {
		err = b.reportSigned(spool.Normal, "window", data)
	}
	if err != nil && !errors.Is(err, ErrSyncOff) {
		b.log.Warn("a day of telemetry could not be kept for the centre; it is tried again", "error", err)
	}
	return err
}

// reportSigned puts a report into the spool, signed by the site's key: the hub, which
// stores and forwards, is not trusted.
func (b *Box) reportSigned(class spool.Class, kind string, data []byte) error {
	b.sync.mu.Lock()
	sp, id := b.sync.spool, b.sync.id
	b.sync.mu.Unlock()
	if sp == nil || id == nil {
		return ErrSyncOff
	}
	signed, err := id.Sign(kind, data)
	if err != nil {
		return err
	}
	_, err = sp.Put(context.Background(), class, kind, signed)
	return err
}

// compare gives the trackers of all models, after all days. anew: another day is
// over.
func (w *watching) compare(anew bool) (map[string]*monitor.Tracker, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.read && !anew {
		return w.trackers, nil
	}
	days, err := w.recorder.Days(w.now().AddDate(0, 0, -90))
	if err != nil {
		return nil, err
	}
	// A day of a model over all generations: they change more often than a week is
	// over, and the questions are the same.
	type modelDay struct {
		from  time.Time
		model string
	}
	sums := map[modelDay]*telemetry.Window{}
	for _, d := range days {
		k := modelDay{d.From, d.Model}
		if sums[k] == nil {
			sums[k] = d.Clone()
		} else if err := sums[k].Merge(d, true); err != nil {
			return nil, err
		}
	}
	w.trackers = map[string]*monitor.Tracker{}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b modelDay) int {
		return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.model, b.model))
	})
	for _, k := range keys {
		t := w.trackers[k.model]
		if t == nil {
			t = monitor.NewTracker(monitor.DefaultLimits(), nil)
			w.trackers[k.model] = t
		}
		if _, err := t.Day(sums[k]); err != nil {
			return nil, err
		}
	}
	w.read = true
	return w.trackers, nil
}

// Telemetry is what the box's answers were like, as numbers.
type Telemetry struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Questions int64     `json:"questions"`
	Distinct  int64     `json:"distinct"` // about
	// Shares of all questions; of those that were answered; of those that somebody
	// judged. Nil: of none.
	Abstained *float64 `json:"abstained"`
	Failed    *float64 `json:"failed"`
	Grounded  *float64 `json:"grounded"`
	Flagged   *float64 `json:"flagged"`
	Approved  *float64 `json:"approved"`
	// Milliseconds of a whole answer.
	P50 *float64 `json:"p50_ms"`
	P95 *float64 `json:"p95_ms"`
	P99 *float64 `json:"p99_ms"`
	// By dimension and value: how many, and what became of them.
	By map[string]map[string]*telemetry.Slice `json:"by"`
	// Explain is of this week and the one before.
	Explain *explain.Report  `json:"explain"`
	Models  []ModelTelemetry `json:"models"`
	// FullPrecision says how questions are asked twice.
	FullPrecision FullPrecision `json:"full_precision"`
}

// ModelTelemetry compares one model's answers with its baseline.
type ModelTelemetry struct {
	Model string `json:"model"` // "": sentences of the documents
	// Learning: there is no baseline yet.
	Learning bool              `json:"learning"`
	Baseline *time.Time        `json:"baseline_from,omitempty"`
	Features []monitor.Feature `json:"features,omitempty"`
	Alarms   []monitor.Open    `json:"alarms"`
	// Agreement with the same model at full precision, over the last seven days; nil: no
	// question was asked twice.
	Agreement *monitor.Agreement `json:"agreement,omitempty"`
}

// MostHours that Telemetry looks back.
const MostHours = 8 * 24

// Telemetry of the last hours; 0: 24.
func (b *Box) Telemetry(_ context.Context, hours int) (Telemetry, error) {
	if hours == 0 {
		hours = 24
	}
	if hours < 1 || hours > MostHours {
		return Telemetry{}, &answer.InvalidError{Field: "hours", Detail: "give 1 to 192"}
	}
	w := b.telemetry
	now := b.clock.Now()
	ws, err := w.recorder.Hours(now.Add(-time.Duration(hours) * time.Hour))
	if err != nil {
		return Telemetry{}, err
	}
	t := Telemetry{From: now.Add(-time.Duration(hours) * time.Hour).UTC(), To: now.UTC(), By: map[string]map[string]*telemetry.Slice{}, Explain: w.why.Report(), Models: []ModelTelemetry{}, FullPrecision: b.fullStatus()}
	trackers, err := w.compare(false)
	if err != nil {
		return t, err
	}
	byModel := map[string]*telemetry.Window{}
	for _, x := range ws {
		if m := byModel[x.Model]; m == nil {
			byModel[x.Model] = x.Clone()
		} else if err := m.Merge(x, true); err != nil {
			return t, err
		}
	}
	models := map[string]bool{}
	for m := range trackers {
		models[m] = true
	}
	for m := range byModel {
		models[m] = true
	}
	worse := b.qualityAlarms()
	for m := range worse {
		models[m] = true
	}
	twice, err := b.agreements(now)
	if err != nil {
		return t, err
	}
	for m := range twice {
		models[m] = true
	}
	for _, m := range slices.Sorted(maps.Keys(models)) {
		mt := ModelTelemetry{Model: m, Learning: true, Alarms: []monitor.Open{}, Agreement: twice[m]}
		if tr := trackers[m]; tr != nil {
			mt.Learning, mt.Alarms = tr.Learning(), tr.Alarms()
			if base := tr.Baseline(); base != nil && !mt.Learning {
				mt.Baseline = &base.From
				if now := byModel[m]; now != nil {
					mt.Features = monitor.Features(base, now, tr.Limits)
				}
			}
		}
		mt.Alarms = append(append(mt.Alarms, w.streams.Alarms(m, now)...), worse[m]...)
		t.Models = append(t.Models, mt)
	}
	sum, err := telemetry.Sum(ws)
	if err != nil || sum == nil {
		return t, err
	}
	t.Questions, t.Distinct = sum.Questions, sum.Distinct()
	all := sum.Total()
	failed := int64(0)
	if s := sum.Slices[telemetry.Outcome][telemetry.Failed]; s != nil {
		failed = s.N
	}
	answered := answeredOf(sum)
	t.Abstained, t.Failed = share(all.Abstained, all.N), share(failed, all.N)
	t.Grounded, t.Flagged = share(answered-all.Ungrounded, answered), share(all.Flagged, answered)
	t.Approved = share(all.Judged.FP+all.Judged.TN, all.Judged.N())
	for q, to := range map[float64]**float64{0.5: &t.P50, 0.95: &t.P95, 0.99: &t.P99} {
		if v, ok := sum.Quantile("total", q); ok {
			*to = &v
		}
	}
	for _, d := range telemetry.Dimensions() {
		t.By[d.String()] = sum.Slices[d]
	}
	return t, nil
}

func share(a, n int64) *float64 {
	if n == 0 {
		return nil
	}
	s := float64(a) / float64(n)
	return &s
}

// told is a recent Telemetry for /metrics, which is asked more often than it
// changes; nil where it can't be made.
func (b *Box) told() *Telemetry {
	w := b.telemetry
	w.mu.Lock()
	if time.Since(w.briefed) < 15*time.Second {
		defer w.mu.Unlock()
		return w.brief
	}
	w.briefed = time.Now()
	w.mu.Unlock()
	t, err := b.Telemetry(context.Background(), 24)
	if err != nil {
		b.log.Warn("telemetry could not be read", "error", err)
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.brief = &t
	return &t
}

// refusedDifference is the largest share of refused questions of a cohort less the
// smallest, of those with enough questions; nil of fewer than two.
func (t *Telemetry) refusedDifference() *float64 {
	var rates []float64
	for name, s := range t.By[telemetry.Cohort.String()] {
		if name != telemetry.None && name != telemetry.Other && s.N >= monitor.DefaultLimits().LeastSlice {
			rates = append(rates, float64(s.Refused)/float64(s.N))
		}
	}
	if len(rates) < 2 {
		return nil
	}
	d := slices.Max(rates) - slices.Min(rates)
	return &d
}

// collect puts telemetry's gauges.
func (t *Telemetry) collect(put func(gauge, float64, ...string)) {
	some := func(g gauge, v *float64, labels ...string) {
		if v != nil {
			put(g, *v, labels...)
		}
	}
	put(questionsAsked, float64(t.Questions))
	some(answersAbstained, t.Abstained)
	some(answersFailed, t.Failed)
	some(answersGrounded, t.Grounded)
	some(answersApproved, t.Approved)
	for q, v := range map[string]*float64{"0.5": t.P50, "0.95": t.P95, "0.99": t.P99} {
		if v != nil {
			put(answerSeconds, *v/1000, q)
		}
	}
	some(refusedDifference, t.refusedDifference())
	for _, m := range t.Models {
		if g := m.Agreement; g != nil {
			put(comparedPairs, float64(g.Pairs), m.Model)
			some(agreementRatio, g.Agreed, m.Model)
		}
		for _, f := range m.Features {
			if f.Verdict != drift.VerdictInsufficient {
				put(driftPSI, f.PSI, m.Model, f.Name)
			}
		}
		for _, a := range m.Alarms {
			put(alarmOpen, 1, m.Model, a.Kind, a.Feature, a.By, a.Value)
		}
	}
}

var (
	questionsAsked    = describe("questions", "Questions of the last 24 hours.")
	answersAbstained  = describe("abstained_ratio", "Part of the questions of the last 24 hours that was abstained from.")
	answersFailed     = describe("failed_ratio", "Part of the questions of the last 24 hours that ended in an error.")
	answersGrounded   = describe("grounded_ratio", "Part of the answers of the last 24 hours of which every sentence is grounded.")
	answersApproved   = describe("approved_ratio", "Part of the judged answers of the last 24 hours that was approved of.")
	refusedDifference = describe("refused_difference", "Largest part of a cohort's questions that was refused less the smallest, over the last 24 hours, of cohorts with 25 or more.")
	answerSeconds     = describe("answer_quantile_seconds", "Time to the whole answer, over the last 24 hours.", "quantile")
	driftPSI          = describe("drift_psi", "Population stability index of a feature of the last 24 hours against the baseline.", "model", "feature")
	comparedPairs     = describe("compared_answers", "Questions of the last 7 days that were asked of the model at full precision, too.", "model")
	agreementRatio    = describe("agreement_ratio", "Part of these to which the model agrees with itself at full precision: both abstain, or every sentence is borne out by the other answer, with its numbers.", "model")
	alarmOpen         = describe("alarm_open", "1 for each alarm that stands: what moved, and what it comes from.", "model", "kind", "feature", "by", "value")
)
