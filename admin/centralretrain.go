package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/centre/trainer"
	"rxedge/centre/trainer/embedder"
	"rxedge/daemon/box"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

func (a *app) centralRetrain(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "retrain", Short: "What follows a request for training: describe it, take the model in, send it to the sites",
		Long: `What follows a request for training that 'central fleet run' made and another person approved.
'run' describes what is to be trained in a folder (CENTRE/retrain/ID): what has changed, how
often each kind of question is asked now, the published documents, the model that serves; never
a question, nor which site. A trainer reads that folder; 'train' is the one for the built-in
embedder. 'register' takes the model in where it is what was asked for and no worse than the
one that serves; 'run' publishes it held, rolls it out in waves, and puts on record whether
the sites confirmed it.

approved ─ exported ─ registered ─ published ─ rolling ─ confirmed | rolled_back | refused; expired`,
		Example: `  rxedge central fleet approve retrain-3 --note "new class of medicines"
  rxedge central retrain run
  rxedge central retrain train retrain-3
  rxedge central retrain register retrain-3 --model m.rxe --metrics metrics.json`, RunE: group}
	c.AddCommand(a.retrainRun(dir), a.retrainList(dir), a.retrainShow(dir), a.retrainTrain(dir), a.retrainRegister(dir))
	return c
}

// trainer of a centre's folder.
func (a *app) trainer(f *central.Folder, o trainer.Options) *trainer.Trainer {
	return &trainer.Trainer{Folder: f, Options: o,
		Line: func(id string, content []byte) ([]byte, error) {
			d, err := box.ReadPublished(id, content)
			if err != nil {
				return nil, err
			}
			return json.Marshal(d)
		},
		Push:    func(ctx context.Context) error { return a.push(ctx, f, o.Hubs) },
		Measure: embedder.Measure,
	}
}

func (a *app) retrainRun(dir *string) *cobra.Command {
	o := trainer.DefaultOptions()
	every, once := 15*time.Second, false
	var waves, plan string
	var confirmed float64
	soak := time.Duration(o.Plan.Soak)
	c := &cobra.Command{Use: "run", Short: "See to approved requests until Ctrl-C: export, publish, roll out, put the end on record",
		Long: `See to approved requests until Ctrl-C. It follows the hub's events and looks at the record every
so often, so what it missed while it was away it takes up; killed at any moment, the next goes
on from the record. 'rxedge central rollout run' has to run, too: it opens the waves.

With --trial, sites try a model beside what serves before it does, by that plan. Trained for
what is asked now, it answers most questions as before, so a plan with a --margin asks
whether it is no worse. 'trial show' tells how the sites' trials stand, 'rollout promote'
brings them the approval.`,
		Example: `  rxedge central retrain run --waves 10%,100% --soak 4h
  rxedge central trial plan plan.json --id embedder --margin 0.05 --approver ann=ann.pub
  rxedge central retrain run --trial plan.json
  rxedge central retrain run --once --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if every < time.Second || o.Deadline < time.Hour {
				return usage("--every is a second at least, and --deadline an hour")
			}
			var err error
			if waves != "" {
				if o.Plan.Waves, err = central.ParseWaves(waves); err != nil {
					return usage("--waves: %w", err)
				}
			}
			o.Plan.Confirmed, o.Plan.Soak = confirmed, central.Duration(soak)
			if err := o.Plan.Check(); err != nil {
				return usage("%w", err)
			}
			if plan != "" {
				if err := checkFile(bundle.KindTrial, plan); err != nil {
					return err
				}
				if o.Trial, err = os.ReadFile(plan); err != nil {
					return err
				}
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			t := a.trainer(f, o)
			t.Tell = func(m *central.Matter) {
				if a.json {
					_ = a.line(m)
					return
				}
				a.printf("%s  %s is %s%s\n", time.Now().Format(time.TimeOnly), m.ID, m.State, because(m.Steps[len(m.Steps)-1].Reason))
			}
			if once {
				return t.Sweep(c.Context())
			}
			return t.Run(c.Context(), every, func(err error) { a.note("%v; it is tried again\n", err) })
		}}
	fl := c.Flags()
	fl.StringVar(&plan, "trial", "", "`file` of a trial's plan (JSON, see 'rxedge central trial'): sites try a model beside theirs before it serves")
	fl.StringVar(&o.Channel, "channel", o.Channel, "`name` of the channel that models are published to")
	fl.DurationVar(&o.Deadline, "deadline", o.Deadline, "how long after its approval a request waits for a model")
	fl.StringVar(&waves, "waves", "", "shares of the sites that have a model one after another (default 5%,25%,100%)")
	fl.DurationVar(&soak, "soak", soak, "how long a wave is watched before the next")
	fl.Float64Var(&confirmed, "confirmed", o.Plan.Confirmed, "`percent` of a wave's sites that have to have confirmed it before it soaks")
	fl.Float64Var(&o.GoldenLoss, "golden-loss", o.GoldenLoss, "how much the nDCG@10 of golden questions may fall")
	fl.Float64Var(&o.HeldOutGain, "gain", o.HeldOutGain, "how much that of questions as they are asked now has to rise")
	fl.DurationVar(&every, "every", every, "how often it looks")
	fl.BoolVar(&once, "once", false, "look once, and end")
	fl.StringVar(&o.Who, "as", o.Who, "`name` for the record")
	fl.BoolVar(&o.Local, "local", false, "give nothing to the hub")
	fl.StringArrayVar(&o.Hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + printableText(why)
}

func (a *app) retrainList(dir *string) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the requests for training, and how each stands", Example: `  rxedge central retrain list --json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, err := trainer.Matters(f)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(all)
			}
			if len(all) == 0 {
				a.printf("No training was asked for yet; 'rxedge central fleet run' does where questions or answers have changed.\n")
				return nil
			}
			var rows []table.Row
			for _, m := range all {
				last := lastOf(m)
				rows = append(rows, table.Row{m.ID, m.State, last.At.Local().Format(time.DateTime), printableText(last.Who), printableText(m.Cause), printableText(last.Reason)})
			}
			a.table(table.Row{"id", "state", "since", "by", "cause", "why"}, rows)
			return nil
		}}
}

// lastOf a matter's records.
func lastOf(m *central.Matter) *central.FleetRecord {
	switch {
	case len(m.Steps) > 0:
		return m.Steps[len(m.Steps)-1]
	case m.Decided != nil:
		return m.Decided
	}
	return &m.FleetRecord
}

func (a *app) retrainShow(dir *string) *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show a request for training: each step, the model, its figures", Example: `  rxedge central retrain show retrain-3`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			m, err := a.matter(f, given[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(m)
			}
			a.printf("%s is %s: %s\n", m.ID, m.State, printableText(m.Cause))
			var rows []table.Row
			step := func(r *central.FleetRecord) {
				rows = append(rows, table.Row{r.At.Local().Format(time.DateTime), r.Action, printableText(r.Who), printableText(r.Reason)})
			}
			step(&m.FleetRecord)
			if m.Decided != nil {
				step(m.Decided)
			}
			for _, s := range m.Steps {
				step(s)
			}
			a.table(table.Row{"at", "what", "by", "why"}, rows)
			if p, err := trainer.PublishedOf(m); err != nil {
				return err
			} else if p != nil && p.Trial != "" && !m.Ended() {
				a.printf("Sites try it first: 'rxedge central trial show %s' tells how that stands, 'rxedge central rollout promote %d' brings them the approval.\n", p.Trial, p.Bundle)
			}
			r, err := trainer.RegisteredOf(m)
			if err != nil || r == nil {
				return err
			}
			a.printf("Model %.12s, %s, trained on documents %.12s by request %.12s\n", r.SHA256, size(r.Size), r.Documents, r.Request)
			a.contest(&r.Figures)
			return nil
		}}
}

func (a *app) contest(m *trainer.Metrics) {
	var rows []table.Row
	one := func(name string, c *trainer.Contest) {
		if c == nil || c.Questions == 0 {
			return
		}
		for _, side := range []struct {
			name string
			q    *trainer.Quality
		}{{"champion", &c.Champion}, {"challenger", &c.Challenger}} {
			rows = append(rows, table.Row{name, side.name, c.Questions, fmt.Sprintf("%.4f", side.q.NDCG10), fmt.Sprintf("%.4f", side.q.Recall5), fmt.Sprintf("%.4f", side.q.MRR), fmt.Sprintf("%.4f", side.q.Dense)})
		}
	}
	one("golden", m.Golden)
	one("held out", &m.HeldOut)
	a.table(table.Row{"questions", "model", "n", "nDCG@10", "recall@5", "MRR", "nDCG@10 vectors alone"}, rows)
}

func (a *app) matter(f *central.Folder, id string) (*central.Matter, error) {
	all, err := trainer.Matters(f)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.ID == id {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", id, central.ErrNoMatter)
}

func (a *app) retrainTrain(dir *string) *cobra.Command {
	s := embedder.Default()
	var out string
	c := &cobra.Command{Use: "train ID|FOLDER", Short: "Train the built-in embedder anew as a request says",
		Long: `Train the built-in embedder anew as a request says: from the model that serves, on the published
documents, with made-up questions as often of each kind and class as they are asked now. It is
measured beside the model that serves, on the channel's golden questions and on made-up ones in
wordings that it was not trained on. It needs the request's folder alone, so that it can run on
another machine: copy the folder there, and name it. model.rxe and metrics.json are written to
--out, for 'register'. The same request gives the same model on the same kind of processor.`,
		Example: `  rxedge central retrain train retrain-3 --out trained/`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if s.Epochs < 1 || s.Epochs > 100 || s.Rate <= 0 || s.Rate > 1 {
				return usage("--epochs is 1 to 100, and --rate above 0 and at most 1")
			}
			folder := given[0]
			if _, err := os.Stat(filepath.Join(folder, trainer.RequestFile)); err != nil {
				folder = filepath.Join(centreDir(*dir), "retrain", given[0])
			}
			in, err := os.Open(filepath.Join(folder, trainer.RequestFile))
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s: %w: neither a folder with a request nor one that was exported; 'rxedge central retrain run' exports what was approved", given[0], errNotFound)
			}
			if err != nil {
				return err
			}
			defer in.Close()
			q, err := trainer.ParseRequest(in)
			if err != nil {
				return &refusedError{err.Error()}
			}
			bar := a.progress()
			defer bar.finish()
			model, trained, err := embedder.Train(c.Context(), folder, q, s, func(epoch int, _ float64) { bar.set("epochs", int64(epoch), int64(s.Epochs)) })
			if err != nil {
				return err
			}
			bar.finish()
			if out == "" {
				out = "."
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return err
			}
			path := filepath.Join(out, trainer.ModelFile)
			if err := os.WriteFile(path, model, 0o644); err != nil {
				return err
			}
			m, err := embedder.Measure(c.Context(), folder, q, path)
			if err != nil {
				return err
			}
			m.Trained = *trained
			b, err := json.MarshalIndent(m, "", "  ")
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(out, trainer.MetricsFile), append(b, '\n'), 0o644); err != nil {
				return err
			}
			if a.json {
				return a.print(m)
			}
			a.printf("%s, %s: %d epochs of %d pairs on %d documents.\n", path, size(int64(len(model))), trained.Epochs, trained.Pairs, q.Documents.Count)
			a.contest(m)
			return nil
		}}
	c.Flags().StringVar(&out, "out", "", "`folder` for the model and its metrics (default the current one)")
	c.Flags().IntVar(&s.Epochs, "epochs", s.Epochs, "passes over the pairs")
	c.Flags().Float64Var(&s.Rate, "rate", s.Rate, "of learning at first, in parts of the rows' root mean square")
	c.Flags().Uint64Var(&s.Seed, "seed", s.Seed, "of the random numbers")
	return c
}

func (a *app) retrainRegister(dir *string) *cobra.Command {
	var by central.By
	var model, metrics string
	var local bool
	var hubs []string
	c := &cobra.Command{Use: "register ID --model FILE --metrics FILE", Short: "Take in a model that was made for a request",
		Long: `Take in a model that was made for a request. It is refused where it is of another format or size
than was asked for, does not load, came too late, or is worse than the model that serves; both are
measured here again, and have to be what --metrics says. What it was trained from is signed into
the fleet's record. 'rxedge central retrain run' then publishes it, held, and rolls it out.`,
		Example: `  rxedge central retrain register retrain-3 --model trained/model.rxe --metrics trained/metrics.json`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if model == "" || metrics == "" {
				return usage("name the files with --model and --metrics")
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			for _, p := range []string{model, metrics} {
				if _, err := os.Stat(p); err != nil {
					return fmt.Errorf("%w: %w", errNotFound, err)
				}
			}
			o := trainer.DefaultOptions()
			o.Hubs = hubs
			m, err := a.trainer(f, o).Register(c.Context(), given[0], model, metrics, by)
			var no *trainer.RefusedError
			if errors.As(err, &no) {
				return &refusedError{no.Reason}
			}
			if err != nil {
				return err
			}
			return a.recorded(c.Context(), f, m, hubs, local)
		}}
	c.Flags().StringVar(&model, "model", "", "`file` of the model")
	c.Flags().StringVar(&metrics, "metrics", "", "`file` of its figures (JSON, as 'train' writes it)")
	c.Flags().StringVar(&by.Who, "as", whoami(), "`name` of who does it, for the record")
	c.Flags().StringVar(&by.Reason, "note", "", "`text`: why, for the record")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	c.Flags().BoolVar(&local, "local", false, "sign it and do not give it to the hub")
	return c
}
