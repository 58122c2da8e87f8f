package main

import (
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/trial"
)

func (a *app) rollout() *cobra.Command {
	c := &cobra.Command{Use: "rollout", Short: "What serves, what is on its way, and the way back",
		Long: `What is new (a bundle, or what 'rxedge index promote' and 'rxedge model promote' name)
is staged, validated while nobody sees it, provisional while it is watched, and then
confirmed; or rolled back, by itself or by a person's word.`,
		Example: `  rxedge rollout status`, Args: cobra.ArbitraryArgs, RunE: group}
	c.AddCommand(a.rolloutStatus(), a.rolloutHistory(), a.rolloutApprove(), a.rolloutReject(), a.rolloutBack())
	return c
}

func (a *app) rolloutStatus() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "What serves since when, what is watched until when, with figures", Example: `  rxedge rollout status --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (box.RolloutStatus, error) { return s.RolloutStatus(c.Context()) }, a.showServes)
		}}
}

func stamp(t time.Time) string { return t.Local().Format(time.DateTime) }

func modelName(name string) string {
	if name == "" {
		return "no language model"
	}
	return "model " + name
}

func (a *app) showServes(st box.RolloutStatus) {
	s := st.Serving
	what := s.Pair
	if s.Bundle > 0 {
		what = fmt.Sprintf("bundle %d", s.Bundle)
	}
	a.printf("Serves      %s, %s since %s (%s)\n", what, s.Slot, stamp(s.Since), ago(s.Since))
	a.printf("            %s of the index, %d documents; %s\n", s.Generation, s.Documents, modelName(s.Model))
	if s.Slot == rollout.Provisional {
		a.printf("Watched     until %s (%s from now)", stamp(s.Until), max(0, time.Until(s.Until)).Round(time.Second))
		if w := st.Watch; w != nil {
			a.printf("; %d questions, %d errors, %d slow, %d not borne out, %d deaths of the engine", w.Asked, w.Errors, w.Slow, w.Loose, w.Deaths)
		}
		a.printf("\n")
		if e := st.Confirmed; e != nil {
			a.printf("Confirmed   %s, which a rollback brings back\n", e.Pair)
		}
	}
	if e := st.Candidate; e != nil && e.Slot != rollout.Provisional {
		a.printf("Candidate   %s, %s since %s\n", e.Pair, e.Slot, stamp(e.Since))
		if e.Slot == rollout.Validated && e.Approved == "" && st.Trial == nil {
			a.printf("            it waits for 'rxedge rollout approve'\n")
		}
		a.showVerdict(e.Verdict)
	} else if e != nil {
		a.showVerdict(e.Verdict)
	}
	if st.Trial != nil {
		a.showTrial(st.Trial)
	}
	if d := st.Disparity; d != nil {
		says := "nothing against it"
		if e := st.Candidate; !d.Pass && e != nil && e.Override != nil {
			says = fmt.Sprintf("overridden by %s: %s", e.Override.By, e.Override.Reason)
		} else if !d.Pass {
			says = "NOT PROMOTED, but by 'rxedge rollout approve --reason TEXT'"
		} else if d.Untold {
			says = "can't be told"
		}
		a.printf("Cohorts     %s: %s\n", says, rollout.Why(d))
	}
	if e := st.Previous; e != nil && s.Slot != rollout.Provisional {
		a.printf("Before      %s on %s; %s: 'rxedge rollout rollback' brings it back\n", e.Pair, e.Generation, modelName(e.Model.Name))
	}
	if e := st.Last; e != nil {
		a.printf("Went back   %s at %s (%s): %s\n", e.Pair, stamp(e.Since), e.Check, e.Reason)
	}
	if w := st.Withdrawn; w != nil {
		a.printf("Withdrawn   %s: withdrawn by bundle %d, and out of search though it went back%s\n", strings.Join(w.IDs, ", "), w.Bundle, when(w.Note != "", " ("+w.Note+")"))
	}
	if st.Pinned != "" {
		a.printf("Pinned      by %s: no bundle takes its place until 'rxedge index pin --off'\n", st.Pinned)
	}
	for _, w := range st.Warm {
		a.printf("Warm        %s, %s until %s\n", w.Generation, modelName(w.Model), stamp(w.Until))
	}
	if st.Note != "" {
		a.printf("Journal     %s\n", st.Note)
	}
}

// showTrial of a challenger: how many questions, what of them, and the verdict so far.
func (a *app) showTrial(t *box.RolloutTrial) {
	f := t.Figures
	a.printf("Trial       %s: %s against %s", t.ID, t.To, t.From)
	if f.Config.Percent > 0 {
		a.printf("; it answers %g %% of the clients\n", f.Config.Percent)
	} else {
		a.printf("; in the shadow\n")
	}
	v := f.Verdict
	a.printf("            %s: %s\n", v.Decision, v.Reason)
	a.printf("            %d observations, gain %+.3f; evidence that it is better %.1f of %.1f, that it is not %.1f of %.1f\n",
		v.N, v.Gain, v.EvidenceBetter, v.NeedBetter, v.EvidenceNotBetter, v.NeedNotBetter)
	if t.Waits != "" {
		a.printf("            not promoted: %s\n            'rxedge rollout approve --approval FILE' does it with a signed approval\n", t.Waits)
	}
	if d := t.Dropped; d.Full+d.Busy+d.Capacity > 0 {
		a.printf("            not asked in the shadow: %d as too many waited, %d as somebody was asking, %d to keep to its share of the time\n", d.Full, d.Busy, d.Capacity)
	}
	percent := func(p *float64) string {
		if p == nil {
			return ""
		}
		return fmt.Sprintf("%.1f %%", 100**p)
	}
	millis := func(p *float64) string {
		if p == nil {
			return ""
		}
		return fmt.Sprintf("%.0f ms", *p)
	}
	var rows []table.Row
	for i, arm := range t.Arms {
		n := f.Split[i]
		rows = append(rows, table.Row{trial.Arm(i).String(), modelName(arm.Model), arm.Generation, arm.Questions, percent(arm.Grounded), percent(arm.Abstained), millis(arm.P50), millis(arm.P95),
			fmt.Sprintf("%d up, %d down", n.Helpful, n.Unhelpful)})
	}
	a.table(table.Row{"", "", "index", "questions", "borne out", "abstained", "p50", "p95", "people"}, rows)
	if f.Verdict.Agreement > 0 {
		a.printf("            the two agree on %.1f %% of the questions that both were asked\n", 100*f.Verdict.Agreement)
	}
}

func (a *app) showVerdict(v *rollout.Verdict) {
	if v == nil {
		return
	}
	var rows []table.Row
	figure := func(f *float64) string {
		if f == nil {
			return ""
		}
		return fmt.Sprintf("%.4g", *f)
	}
	for _, c := range v.Checks {
		pass := "passed"
		if !c.Pass {
			pass = "FAILED"
		}
		rows = append(rows, table.Row{c.Name, pass, figure(c.Serving), figure(c.Candidate), figure(c.Limit), c.Detail})
	}
	if len(rows) > 0 {
		a.table(table.Row{"check", "", "serving", "candidate", "limit", ""}, rows)
	}
}

func (a *app) rolloutHistory() *cobra.Command {
	return &cobra.Command{Use: "history", Short: "The journal, the oldest record first", Example: `  rxedge rollout history`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) ([]rollout.Record, error) { return s.RolloutHistory(c.Context()) }, func(rs []rollout.Record) {
				var rows []table.Row
				for _, r := range rs {
					why := r.Reason
					if r.Back != nil {
						why = strings.TrimPrefix(why+"; back to "+r.Back.String(), "; ")
					}
					rows = append(rows, table.Row{r.Seq, stamp(r.At), r.Op, r.ID, r.By, r.Check, why})
				}
				a.table(table.Row{"", "at", "what", "pair", "by", "check", ""}, rows)
			})
		}}
}

// operator is who types.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// rolloutDo does q and says what came of it.
func (a *app) rolloutDo(c *cobra.Command, q box.RolloutRequest, say string) error {
	if q.By == "" {
		q.By = operator()
	}
	return on(a, c, func(s station) (rollout.Entry, error) { return s.RolloutDo(c.Context(), q) }, func(e rollout.Entry) {
		a.printf(say+"\n", e.Pair)
		switch e.Slot {
		case rollout.Provisional:
			a.printf("It serves, and is watched until %s.\n", stamp(e.Until))
		case rollout.Validated:
			a.printf("It waits for 'rxedge rollout approve'.\n")
		}
	})
}

func (a *app) rolloutApprove() *cobra.Command {
	var q box.RolloutRequest
	var approval string
	c := &cobra.Command{Use: "approve", Short: "Let a validated candidate serve, or confirm the one that is watched",
		Long: `Let a validated candidate serve, or confirm the one that is watched. One that is tried
(see 'rxedge rollout status') is let serve by what the centre's plan asks for alone:
the trial's verdict, and an approval that 'rxedge central trial approve' has signed.
One that refuses a cohort more often than another (check group_disparity) is approved
with a reason alone, which is kept and which the centre sees.`,
		Example: `  rxedge rollout approve --by "Dr. Ito"
  rxedge rollout approve --by "Dr. Ito" --reason "children's labels follow on Monday"
  rxedge rollout approve --approval approval.json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q.Action = box.RolloutApprove
			if approval != "" {
				b, err := os.ReadFile(approval)
				if err != nil {
					return fmt.Errorf("%w: %w", errNotFound, err)
				}
				p, err := trial.ParseApproval(b)
				if err != nil {
					return &refusedError{err.Error()}
				}
				q.Approval = &p
			}
			return a.rolloutDo(c, q, "%s is approved.")
		}}
	c.Flags().StringVar(&q.By, "by", "", "who approves (default: the user)")
	c.Flags().StringVar(&q.Reason, "reason", "", "why it is promoted though group_disparity fails; the centre sees it")
	c.Flags().StringVar(&approval, "approval", "", "`file` of a signed approval of a trial's promotion")
	return c
}

func (a *app) rolloutReject() *cobra.Command {
	var q box.RolloutRequest
	c := &cobra.Command{Use: "reject", Short: "End a candidate that does not serve yet", Example: `  rxedge rollout reject --reason "wrong channel"`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q.Action = box.RolloutReject
			return a.rolloutDo(c, q, "%s is rejected.")
		}}
	c.Flags().StringVar(&q.By, "by", "", "who rejects (default: the user)")
	c.Flags().StringVar(&q.Reason, "reason", "", "why; the centre sees it")
	return c
}

func (a *app) rolloutBack() *cobra.Command {
	var q box.RolloutRequest
	c := &cobra.Command{Use: "rollback", Short: "Let what served before serve again, at once",
		Long: `Let what served before serve again, at once: the confirmed pair where another is
watched, or else the one before it. Refused (exit code 4) where the index was changed on
this box since, unless --discard-changes gives that up.`,
		Example: `  rxedge rollout rollback --reason "wrong doses of warfarin"`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q.Action = box.RolloutBack
			return a.rolloutDo(c, q, "%s serves again.")
		}}
	c.Flags().StringVar(&q.By, "by", "", "who says so (default: the user)")
	c.Flags().StringVar(&q.Reason, "reason", "", "why; the centre sees it")
	c.Flags().BoolVar(&q.Discard, "discard-changes", false, "give up what was changed on this box since")
	return c
}

func (a *app) indexPromote() *cobra.Command {
	var q box.RolloutRequest
	c := &cobra.Command{Use: "promote GENERATION", Short: "Let another generation on disk serve: checked, watched, confirmed", Example: `  rxedge index promote gen-000007`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			q.Action, q.Name = box.RolloutPromoteIndex, given[0]
			return a.rolloutDo(c, q, "%s has passed its checks.")
		}}
	c.Flags().StringVar(&q.Model, "model", "", "language model of the catalog to serve with it (default: the one that does)")
	return c
}

func (a *app) modelPromote() *cobra.Command {
	return &cobra.Command{Use: "promote NAME", Short: "Let a language model of the catalog write answers: checked, watched, confirmed", Example: `  rxedge model promote qwen-q4`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return a.rolloutDo(c, box.RolloutRequest{Action: box.RolloutPromoteModel, Name: given[0]}, "%s has passed its checks.")
		}}
}

func (a *app) modelRollback() *cobra.Command {
	return &cobra.Command{Use: "rollback", Short: "Let the language model before write answers again", Example: `  rxedge model rollback`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.rolloutDo(c, box.RolloutRequest{Action: box.RolloutModelBack}, "The model before writes answers again (%s).")
		}}
}

// pin of an index or a model: a pair stays as a whole.
func (a *app) pin(kind string) *cobra.Command {
	var off bool
	q := box.RolloutRequest{}
	c := &cobra.Command{Use: "pin", Short: "Keep what serves: no bundle takes its place", Example: fmt.Sprintf("  rxedge %s pin --reason \"inspection on Tuesday\"\n  rxedge %s pin --off", kind, kind), Args: args(cobra.NoArgs),
		Long: "Keep what serves: no bundle takes its place until 'pin --off'. Index and model are\npinned together, as they serve together.",
		RunE: func(c *cobra.Command, _ []string) error {
			q.Action = box.RolloutPin
			say := "%s is pinned."
			if off {
				q.Action, say = box.RolloutUnpin, "%s is not pinned any more."
			}
			return a.rolloutDo(c, q, say)
		}}
	c.Flags().BoolVar(&off, "off", false, "let bundles take its place again")
	c.Flags().StringVar(&q.Reason, "reason", "", "why")
	return c
}
