package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/rollout/trial"
	"rxedge/sync/central"
	"rxedge/sync/durable"
)

func (a *app) centralTrial(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "trial", Short: "Try a model beside the one that answers, before it takes its place",
		Long: `Try a model beside the one that answers, before it takes its place. 'plan' writes what
'rxedge central publish --trial' takes; each site then asks the bundle's model what its own
has answered, without anybody seeing it, or lets it answer a share of the clients, until the
figures decide. A verdict to promote is followed where an approver has signed for it
('approve', published with --approval, or brought to a rollout by 'rxedge central rollout
promote'), or where only the data of the model has changed and
the plan says that this is enough.`,
		Example: `  rxedge central root key ann
  rxedge central trial plan plan.json --id qwen-june --percent 10 --approver ann=ann.pub
  rxedge central publish --model qwen.gguf --trial plan.json
  rxedge central trial approve approval.json --trial qwen-june --from "model 4d94…" --to "model 11fe…" --as ann --key ann.key
  rxedge central publish --approval approval.json`, RunE: group}
	c.AddCommand(a.trialPlan(), a.trialShow(dir), a.trialApprove())
	return c
}

// siteTrial is a trial as a site has told of it last.
type siteTrial struct {
	Site string    `json:"site"`
	At   time.Time `json:"at"`
	box.RolloutTrial
}

func (a *app) trialShow(dir *string) *cobra.Command {
	var hubs []string
	c := &cobra.Command{Use: "show [ID]", Short: "Show how sites' trials stand, as they told last: at the beginning, each hour, and when it is decided",
		Example: `  rxedge central trial show qwen-june --json`, Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, err := f.LastReports(c.Context(), hubs, "trial")
			if err != nil {
				return err
			}
			out := []siteTrial{}
			for _, r := range all {
				t := siteTrial{Site: r.Site, At: r.At}
				if err := json.Unmarshal(r.Data, &t.RolloutTrial); err != nil {
					a.note("What %s told of a trial can't be read: %v\n", r.Site, err)
				} else if len(given) == 0 || t.ID == given[0] {
					out = append(out, t)
				}
			}
			slices.SortFunc(out, func(x, y siteTrial) int { return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Site, y.Site)) })
			if a.json {
				return a.print(out)
			}
			if len(out) == 0 {
				a.printf("No site has told of it yet.\n")
				return nil
			}
			var rows []table.Row
			pairs := map[string]bool{}
			for i := range out {
				t := &out[i]
				v := &t.Figures.Verdict
				rows = append(rows, table.Row{printableText(t.ID), t.Site, t.At.Local().Format(time.DateTime), printableText(string(v.Decision)), v.N, fmt.Sprintf("%+.3f", v.Gain),
					fmt.Sprintf("%.1f of %.1f", v.EvidenceBetter, v.NeedBetter), fmt.Sprintf("%.1f of %.1f", v.EvidenceNotBetter, v.NeedNotBetter), fmt.Sprintf("%.0f %%", 100*v.Agreement)})
				pairs[printableText(fmt.Sprintf("%s: --from %q --to %q", t.ID, t.From, t.To))] = true
			}
			a.table(table.Row{"trial", "site", "told", "verdict", "n", "gain", "evidence for it", "against it", "agree"}, rows)
			for _, p := range slices.Sorted(maps.Keys(pairs)) {
				a.printf("%s\n", p)
			}
			return nil
		}}
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

func (a *app) trialPlan() *cobra.Command {
	p := trial.Plan{Format: trial.PlanFormat}
	var approvers []string
	var promotion string
	c := &cobra.Command{Use: "plan FILE", Short: "Write the plan of a trial (needs no centre)", Example: `  rxedge central trial plan plan.json --id qwen-june --percent 10 --approver ann=ann.pub`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			p.Promotion = trial.Policy(promotion)
			for _, s := range approvers {
				name, file, ok := strings.Cut(s, "=")
				if !ok {
					return usage("--approver %q: write NAME=FILE", s)
				}
				b, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("%w: %w", errNotFound, err)
				}
				key, err := central.ReadPublicKey(b)
				if err != nil {
					return usage("--approver %s: the public key %s %w", name, file, err)
				}
				p.Approvers = append(p.Approvers, trial.Approver{Name: name, Key: base64.StdEncoding.EncodeToString(key)})
			}
			b, err := json.MarshalIndent(p, "", "  ")
			if err != nil {
				return err
			}
			if _, err := trial.ParsePlan(b); err != nil {
				return usage("%w", err)
			}
			if err := durable.Write(filepath.Clean(given[0]), append(b, '\n')); err != nil {
				return err
			}
			if a.json {
				return a.print(p)
			}
			a.printf("%s: trial %s; 'rxedge central publish --trial %s' begins it.\n", given[0], p.ID, given[0])
			return nil
		}}
	d := trial.Default()
	f := c.Flags()
	f.StringVar(&p.ID, "id", "", "`name` of the trial")
	f.Float64Var(&p.Percent, "percent", 0, "`share` of the clients that the challenger answers; 0: it is asked without anybody seeing it")
	f.Float64Var(&p.Effect, "effect", d.Effect, "`gain` in the share of answers borne out that is worth a promotion")
	f.Float64Var(&p.Margin, "margin", 0, "`loss` in that share that is put up with; 0: a promotion needs a gain. For what is to be no worse, such as an embedder trained for other questions")
	f.IntVar(&p.Least, "least", d.Least, "`number` of observations before a promotion")
	f.IntVar(&p.Most, "most", d.Most, "`number` of observations after which it stays undecided")
	f.Float64Var(&p.Capacity, "capacity", d.Capacity, "`share` of the time that the challenger may work unseen")
	f.BoolVar(&p.Documents, "documents", false, "try bundles that change documents alone, too")
	f.StringVar(&promotion, "promotion", string(trial.NeedsApproval), "what a promotion needs: approval, or patch (a model of which only the data is other needs none)")
	f.StringArrayVar(&approvers, "approver", nil, "`NAME=FILE` of who may sign for a promotion, with the public key")
	return c
}

func (a *app) trialApprove() *cobra.Command {
	var p trial.Approval
	var key string
	c := &cobra.Command{Use: "approve FILE", Short: "Sign that a challenger may take the champion's place (needs no centre)",
		Long: `Sign that a challenger may take the champion's place, and write it to FILE. What stands
after --from and --to is what 'rxedge central trial show' and a site's 'rxedge rollout status'
say; it names content, so one approval holds at every site that tries the same.`,
		Example: `  rxedge central trial approve approval.json --trial qwen-june --from "model 4d94…" --to "model 11fe…" --as ann --key ann.key`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if p.Trial == "" || p.From == "" || p.To == "" || p.By == "" || key == "" {
				return usage("--trial, --from, --to, --as and --key are needed")
			}
			b, err := os.ReadFile(key)
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			k, err := central.ReadPrivateKey(b)
			if err != nil {
				return usage("--key: the key %s %w", key, err)
			}
			p.At = time.Now().UTC().Truncate(time.Second)
			p.Sign(k)
			out, err := json.MarshalIndent(p, "", "  ")
			if err != nil {
				return err
			}
			if err := durable.Write(filepath.Clean(given[0]), append(out, '\n')); err != nil {
				return err
			}
			if a.json {
				return a.print(p)
			}
			a.printf("%s: %s approves of trial %s. 'rxedge central publish --approval %s' sends it to the sites; while the bundle is rolled out, 'rxedge central rollout promote BUNDLE --approval %s'.\n", given[0], p.By, p.Trial, given[0], given[0])
			return nil
		}}
	f := c.Flags()
	f.StringVar(&p.Trial, "trial", "", "`name` of the trial")
	f.StringVar(&p.From, "from", "", "`what` answers, as the trial names it")
	f.StringVar(&p.To, "to", "", "`what` is to take its place")
	f.StringVar(&p.By, "as", "", "`name` of the approver, as the plan has it")
	f.StringVar(&key, "key", "", "`file` of the approver's key")
	return c
}
