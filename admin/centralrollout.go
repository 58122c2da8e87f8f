package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/rollout/trial"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

func (a *app) centralRollout(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "rollout", Short: "Let a bundle out to the sites in waves",
		Long: `Let a bundle that was published with --hold out to the sites in waves. 'create' plans it,
'run' is the controller: it opens a wave, waits until enough of its sites have confirmed the
bundle, lets it soak, opens the next, and halts at once where a condition says so. Without
a controller no wave goes on, and one that is open ends within a day.

What is later than a bundle that is held, paused or halted waits with it. Every step, by
whom and why, is a signed record of 'audit'.`,
		Example: `  rxedge central publish labels/ --hold
  rxedge central rollout create --bundle 7 --waves 5%,25%,100% --soak 2h --abort-if 'rolled_back>2%'
  rxedge central rollout run`, RunE: group}
	c.AddCommand(a.rolloutCreate(dir), a.rolloutList(dir), a.rolloutShow(dir), a.rolloutRun(dir), a.rolloutAudit(dir),
		a.rolloutStep(dir, "pause", "Let nobody more have it, until it is resumed", (*central.Folder).PauseRollout),
		a.rolloutStep(dir, "resume", "Go on with the wave at which it was paused or halted; it soaks anew", (*central.Folder).ResumeRollout),
		a.rolloutStep(dir, "approve", "Go on to the next wave, or end it after the last", (*central.Folder).ApproveRollout), a.rolloutPromote(dir),
		a.rolloutAbort(dir))
	return c
}

// stepping is what every step of a rollout takes.
type stepping struct {
	channel string
	by      central.By
	hubs    []string
	local   bool
}

func (s *stepping) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.channel, "channel", "stable", "`name` of the channel")
	c.Flags().StringVar(&s.by.Who, "as", whoami(), "`name` of who does it, for the record")
	c.Flags().StringVar(&s.by.Reason, "note", "", "`text`: why, for the record")
	c.Flags().StringArrayVar(&s.hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	c.Flags().BoolVar(&s.local, "local", false, "sign it and do not give it to the hub")
}

// whoami is the person at this machine, as far as it can be told.
func whoami() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return cmp.Or(name, "somebody") + "@" + cmp.Or(host, "somewhere")
}

// done prints the rollout after a step, and gives the hub its gates.
func (a *app) done(ctx context.Context, f *central.Folder, s *stepping, r *central.Rollout, text string) error {
	var perr error
	if !s.local {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		perr = f.PushGates(ctx, s.hubs)
	}
	if a.json {
		if err := a.print(struct {
			*central.Rollout
			Pushed bool `json:"pushed"`
		}{r, perr == nil && !s.local}); err != nil {
			return err
		}
	} else {
		a.printf("Bundle %d of %s is %s. %s\n", r.Bundle, r.Channel, r.State, text)
	}
	if perr != nil {
		return fmt.Errorf("it is signed here, and the hub does not have it yet; 'rxedge central rollout run' or 'rxedge central push' gives it to the hub: %w", perr)
	}
	return nil
}

func bundleNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, usage("%q is no number of a bundle", s)
	}
	return n, nil
}

func (a *app) rolloutCreate(dir *string) *cobra.Command {
	var s stepping
	var number int64
	var waves, confirmed string
	var conditions, labels []string
	plan := central.DefaultPlan()
	soak, silence := time.Duration(plan.Soak), time.Duration(plan.Silence)
	c := &cobra.Command{Use: "create --bundle N", Short: "Plan the waves of a bundle that was published with --hold",
		Long: `Plan the waves of a bundle that was published with --hold. 'rollout run' opens the first.

--waves are shares of the sites, each with those before it, one site at least. A wave soaks
once --confirmed of its sites have confirmed the bundle; sites that are off join when they
return. --abort-if halts it: more than so many percent of the sites that were let in have
rolled_back, not_validated or failed (in any way), are silent (at it for longer than
--silence), or, as error_rate, more than so many of their questions have failed.`,
		Example: `  rxedge central rollout create --bundle 7 --waves 5%,25%,100% --soak 2h --abort-if 'rolled_back>2%'
  rxedge central rollout create --bundle 7 --label region=north --approve-each`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if number < 1 {
				return usage("--bundle: name the number that 'rxedge central publish --hold' printed")
			}
			if plan.Waves, err = central.ParseWaves(waves); err != nil {
				return usage("--waves: %w", err)
			}
			if w, err := central.ParseWaves(confirmed + ",100%"); confirmed != "100%" && (err != nil || len(w) != 2) {
				return usage("--confirmed: %q is no share; write such as 50%%", confirmed)
			} else if confirmed == "100%" {
				plan.Confirmed = 100
			} else {
				plan.Confirmed = w[0]
			}
			if len(conditions) > 0 {
				plan.AbortIf = nil
			}
			for _, t := range conditions {
				x, err := central.ParseCondition(t)
				if err != nil {
					return usage("--abort-if: %w", err)
				}
				plan.AbortIf = append(plan.AbortIf, x)
			}
			if plan.Labels, _, err = parseLabels(labels); err != nil {
				return usage("--label: %w", err)
			}
			plan.Soak, plan.Silence = central.Duration(soak), central.Duration(silence)
			if err := plan.Check(); err != nil {
				return usage("%w", err)
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			r, err := f.CreateRollout(s.channel, number, plan, s.by)
			if err != nil {
				return err
			}
			return a.done(c.Context(), f, &s, r, "'rxedge central rollout run' opens its first wave.")
		}}
	s.flags(c)
	fl := c.Flags()
	fl.Int64Var(&number, "bundle", 0, "`number` of the bundle")
	fl.StringVar(&waves, "waves", "5%,25%,100%", "`shares` of the sites, the last 100%")
	fl.StringVar(&confirmed, "confirmed", "50%", "`share` of a wave that has to have confirmed it before it soaks")
	fl.DurationVar(&soak, "soak", soak, "how long a wave is watched after that")
	fl.DurationVar(&silence, "silence", silence, "how long a site may be at it without a word; longer than the sites watch, or try, what is new")
	fl.StringArrayVar(&conditions, "abort-if", nil, "`condition` that halts it, such as 'rolled_back>2%' (default 'failed>2%' and 'silent>10%')")
	fl.StringArrayVar(&labels, "label", nil, "`KEY=VALUE` that its sites have")
	fl.BoolVar(&plan.ApproveEach, "approve-each", false, "every next wave waits for 'rollout approve'")
	return c
}

// parseLabels reads KEY=VALUE, and KEY- for one to take away.
func parseLabels(given []string) (set map[string]string, drop []string, err error) {
	for _, g := range given {
		k, v, ok := strings.Cut(g, "=")
		if !ok {
			if k, ok = strings.CutSuffix(g, "-"); ok && k != "" {
				drop = append(drop, k)
				continue
			}
			return nil, nil, fmt.Errorf("%q is no label; write KEY=VALUE", g)
		}
		if err := central.CheckLabel(k, v); err != nil {
			return nil, nil, err
		}
		if set == nil {
			set = map[string]string{}
		}
		set[k] = v
	}
	return set, drop, nil
}

func (a *app) rolloutStep(dir *string, name, short string, do func(f *central.Folder, channel string, number int64, by central.By) (*central.Rollout, error)) *cobra.Command {
	var s stepping
	c := &cobra.Command{Use: name + " BUNDLE", Short: short, Example: "  rxedge central rollout " + name + ` 7 --note "as agreed"`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			n, err := bundleNumber(given[0])
			if err != nil {
				return err
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			r, err := do(f, s.channel, n, s.by)
			if err != nil {
				return err
			}
			return a.done(c.Context(), f, &s, r, "It is on record.")
		}}
	s.flags(c)
	return c
}

func (a *app) rolloutAbort(dir *string) *cobra.Command {
	var back bool
	c := a.rolloutStep(dir, "abort", "Let nobody have it, ever", func(f *central.Folder, channel string, number int64, by central.By) (*central.Rollout, error) {
		return f.AbortRollout(channel, number, back, by)
	})
	c.Long = `Let nobody have a bundle, ever, nor any that was held behind it and builds on it. With
--rollback the sites that have it go back to what they had before. A bundle that was
published to all can be aborted too. The next that is published builds on what was before.`
	c.Example = `  rxedge central rollout abort 7 --rollback --note "doses in the wrong section"`
	c.Flags().BoolVar(&back, "rollback", false, "sites that have it go back")
	return c
}

// rolloutPromote brings the sites an approval while a rollout is open, when nothing can be
// published but for a later one.
func (a *app) rolloutPromote(dir *string) *cobra.Command {
	var file string
	c := a.rolloutStep(dir, "promote", "Bring its sites the approval of a trial that it asks for", func(f *central.Folder, channel string, number int64, by central.By) (*central.Rollout, error) {
		if file == "" {
			return nil, usage("--approval: name the file that 'rxedge central trial approve' has written")
		}
		text, err := approvalFor(f, channel, number, file)
		if err != nil {
			return nil, err
		}
		return f.PromoteRollout(channel, number, text, by)
	})
	c.Long = `Bring the sites of a rollout the approval of a trial that its bundle asks for ('publish
--trial'). A site whose own figures speak for the challenger takes it up then; the others
go on with their trial, and take it up when theirs do. An approval of another trial, or by
somebody whom the plan does not name, is refused (exit code 4). The rollout stays as it
stands. Sites with an rxedge that does not know of this take nothing new meanwhile: update
them first.`
	c.Example = `  rxedge central rollout promote 7 --approval approval.json --note "as discussed"`
	c.Flags().StringVar(&file, "approval", "", "`file` that 'rxedge central trial approve' has written")
	return c
}

// approvalFor reads an approval as the sites that try a bundle will.
func approvalFor(f *central.Folder, channel string, number int64, file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotFound, err)
	}
	p, err := trial.ParseApproval(b)
	if err != nil {
		return "", &refusedError{err.Error()}
	}
	all, err := f.Manifests()
	if err != nil {
		return "", err
	}
	for _, m := range all {
		if m.Channel != channel || m.Number != number {
			continue
		}
		for i := range m.Artefacts {
			if m.Artefacts[i].Kind != bundle.KindTrial {
				continue
			}
			b, err := os.ReadFile(f.ArtefactPath(&m.Artefacts[i]))
			if err != nil {
				return "", err
			}
			plan, err := trial.ParsePlan(b)
			if err != nil {
				return "", err
			}
			keys, err := plan.Keys()
			if err != nil {
				return "", err
			}
			if err := trial.MayPromote(plan.Promotion, plan.ID, trial.Verdict{Decision: trial.Promote}, p.From, p.To, false, &p, keys); err != nil {
				return "", &refusedError{err.Error()}
			}
			text, err := json.Marshal(p)
			return string(text), err
		}
		return "", &refusedError{fmt.Sprintf("bundle %d of %s asks for no trial", number, channel)}
	}
	return "", fmt.Errorf("bundle %d of %s: %w", number, channel, central.ErrNoRollout)
}

func rolloutRow(s *central.Standing) table.Row {
	wave, let, confirmed, failed := "", "", "", ""
	if s.Wave > 0 {
		wave = fmt.Sprintf("%d of %d (%v%%)", s.Wave, s.Waves, s.Share)
	}
	if s.Figures != nil && s.Wave > 0 {
		let, confirmed, failed = fmt.Sprint(s.Figures.Sites), fmt.Sprint(s.Figures.Confirmed), fmt.Sprint(s.Figures.Failed())
	}
	return table.Row{s.Bundle, s.Channel, s.State, wave, let, confirmed, failed, s.Since.Local().Format(time.DateTime), printableText(cmp.Or(s.Next, s.Reason))}
}

func (a *app) rolloutList(dir *string) *cobra.Command {
	var hubs []string
	c := &cobra.Command{Use: "list", Short: "List the rollouts", Example: `  rxedge central rollout list --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, err := f.Standings(c.Context(), hubs)
			if all == nil {
				return err
			}
			if err != nil {
				a.note("What the sites told is not known: %v\n", err)
			}
			if a.json {
				return a.print(all)
			}
			if len(all) == 0 {
				a.printf("There is no rollout yet; 'rxedge central publish --hold' publishes a bundle for one.\n")
				return nil
			}
			rows := []table.Row{}
			for i := range all {
				rows = append(rows, rolloutRow(&all[i]))
			}
			a.table(table.Row{"bundle", "channel", "state", "wave", "let in", "confirmed", "failed", "since", "next"}, rows)
			return nil
		}}
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

func (a *app) rolloutShow(dir *string) *cobra.Command {
	var hubs []string
	var channel string
	c := &cobra.Command{Use: "show BUNDLE", Short: "Show how a rollout stands", Example: `  rxedge central rollout show 7`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			n, err := bundleNumber(given[0])
			if err != nil {
				return err
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, herr := f.Standings(c.Context(), hubs)
			if all == nil {
				return herr
			}
			for _, s := range all {
				if s.Channel != channel || s.Bundle != n {
					continue
				}
				if herr != nil {
					a.note("What the sites told is not known: %v\n", herr)
				}
				if a.json {
					return a.print(s)
				}
				a.showRollout(&s)
				return nil
			}
			return fmt.Errorf("bundle %d of %s: %w", n, channel, central.ErrNoRollout)
		}}
	c.Flags().StringVar(&channel, "channel", "stable", "`name` of the channel")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

func (a *app) showRollout(s *central.Standing) {
	a.printf("Bundle      %d of %s, built on %d\nState       %s since %s, by %s\n", s.Bundle, s.Channel, s.Base, s.State, s.Since.Local().Format(time.DateTime), printableText(s.By))
	if s.Reason != "" {
		a.printf("Why         %s\n", printableText(s.Reason))
	}
	if s.Rollback {
		a.printf("Rollback    sites that have it go back\n")
	}
	if p := s.Plan; p != nil {
		var conditions []string
		for _, c := range p.AbortIf {
			conditions = append(conditions, c.String())
		}
		a.printf("Plan        waves %v %%, soak %v after %v %% have confirmed it, halt if %s\n", p.Waves, p.Soak, p.Confirmed, strings.Join(conditions, " or "))
		if len(p.Labels) > 0 {
			a.printf("Sites       with %s\n", central.LabelText(p.Labels))
		}
	}
	if s.Wave > 0 {
		a.printf("Wave        %d of %d: %v %% of the sites, opened %s\n", s.Wave, s.Waves, s.Share, s.Opened.Local().Format(time.DateTime))
	}
	if f := s.Figures; f != nil && s.Wave > 0 {
		a.printf("Let in      %d sites: %d confirmed, %d at it (%d silent), %d waiting, %d failed (%d rolled back, %d not validated, %d refused), %d it does not suit, %d forgiven\n",
			f.Sites, f.Confirmed, f.Busy, f.Silent, f.Waiting, f.Failed(), f.RolledBack, f.NotValidated, f.Refused, f.Unsuited, f.Forgiven)
		if f.Why != "" {
			a.printf("Failed      %s\n", printableText(f.Why))
		}
	}
	if s.Next != "" {
		a.printf("Next        %s\n", printableText(s.Next))
	}
}

func (a *app) rolloutRun(dir *string) *cobra.Command {
	opt := central.RunOptions{}
	c := &cobra.Command{Use: "run", Short: "Be the controller: move rollouts on, until Ctrl-C",
		Long: `Be the controller: watch the sites and move rollouts on, until Ctrl-C. It needs the targets
key. It can be stopped, or killed, at any moment; the next goes on where it was. One runs
on a folder.`,
		Example: `  rxedge central rollout run
  rxedge central rollout run --once --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if opt.Every < 100*time.Millisecond || opt.Every > time.Hour {
				return usage("--every: %v is outside 100ms to 1h", opt.Every)
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM)
			defer stop()
			opt.Log = slog.New(slog.NewTextHandler(a.err, nil))
			opt.Told = func(s central.Standing) {
				if a.json {
					_ = a.line(s)
					return
				}
				let := ""
				if f := s.Figures; f != nil && s.Wave > 0 {
					let = fmt.Sprintf("wave %d of %d, %d sites: %d confirmed, %d at it, %d failed", s.Wave, s.Waves, f.Sites, f.Confirmed, f.Busy, f.Failed())
				}
				a.printf("%s  %s/%d %-8s %s  %s\n", time.Now().Format(time.TimeOnly), s.Channel, s.Bundle, s.State, let, printableText(cmp.Or(s.Next, s.Reason)))
			}
			return f.RunRollouts(ctx, opt)
		}}
	c.Flags().DurationVar(&opt.Every, "every", 5*time.Second, "how often it looks, where no site tells anything")
	c.Flags().BoolVar(&opt.Once, "once", false, "do what there is to do, and end")
	c.Flags().StringVar(&opt.Who, "as", "controller on "+whoami(), "`name` for the record")
	c.Flags().StringArrayVar(&opt.Hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

func (a *app) rolloutAudit(dir *string) *cobra.Command {
	var verify string
	c := &cobra.Command{Use: "audit", Short: "Who did what to which rollout, signed",
		Long: `Show the trail of all rollouts, after checking it: the hash of each record, its signature by
the fleet's targets key, that each follows from the one before, and that none is missing
that the signed gates name. --json exports it; --verify checks such a file again.`,
		Example: `  rxedge central rollout audit --json > trail.json
  rxedge central rollout audit --verify trail.json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if verify != "" {
				b, err := os.ReadFile(verify)
				if errors.Is(err, os.ErrNotExist) {
					return fmt.Errorf("%w: %w", errNotFound, err)
				}
				if err != nil {
					return err
				}
				got, err := f.VerifyAudit(b)
				if err != nil {
					return &refusedError{fmt.Sprintf("%s is not to be trusted: %v", verify, err)}
				}
				if a.json {
					return a.print(got)
				}
				a.printf("%d records, each signed and following from the one before; the last is %s.\n", got.Records, got.Head)
				if !got.Complete {
					a.printf("The fleet has done more since.\n")
				}
				return nil
			}
			trail, err := f.Audit()
			if err != nil {
				return err
			}
			if a.json {
				if trail == nil {
					trail = []central.Signed{}
				}
				return a.print(trail)
			}
			rows := []table.Row{}
			for i := range trail {
				r, err := trail[i].Read()
				if err != nil {
					return err
				}
				figures := ""
				if g := r.Figures; g != nil && g.Sites > 0 {
					figures = fmt.Sprintf("%d sites, %d confirmed, %d failed", g.Sites, g.Confirmed, g.Failed())
				}
				rows = append(rows, table.Row{r.Seq, r.At.Local().Format(time.DateTime), printableText(r.Who), r.Action, fmt.Sprintf("%s/%d", r.Channel, r.Bundle), r.To, figures, printableText(r.Reason)})
			}
			if len(rows) == 0 {
				a.printf("Nothing was done yet.\n")
				return nil
			}
			a.table(table.Row{"#", "when", "who", "what", "bundle", "state", "figures", "why"}, rows)
			return nil
		}}
	c.Flags().StringVar(&verify, "verify", "", "`file` of 'audit --json' to check")
	return c
}

func (a *app) siteLabel(dir *string) *cobra.Command {
	return &cobra.Command{Use: "label SITE [KEY=VALUE | KEY-]...", Short: "Give a site labels, by which rollouts choose",
		Long:    "Give a site labels, by which rollouts choose: KEY=VALUE sets one, KEY- takes it away. Without\nany it shows those there are.",
		Example: `  rxedge central site label pharmacy-17 region=north size=small`, Args: args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			set, drop, err := parseLabels(given[1:])
			if err != nil {
				return usage("%w", err)
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			labels, err := f.Label(given[0], set, drop)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"site": given[0], "labels": labels})
			}
			a.printf("%s: %s\n", given[0], cmp.Or(central.LabelText(labels), "no labels"))
			return nil
		}}
}
