package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/answer/guard"
	"rxedge/sync/central"
	"rxedge/sync/durable"
	"rxedge/sync/record"
)

func (a *app) fleetPropose(dir *string) *cobra.Command {
	var by central.By
	var hubs []string
	var local bool
	c := &cobra.Command{Use: "propose FILE", Short: "Propose thresholds of the guard by cohort, on record",
		Long: `Propose thresholds of the guard by cohort, which 'rxedge eval thresholds --group' has
written. Another person approves or declines it; what is approved 'thresholds' writes
for the sites.`,
		Example: `  rxedge central fleet propose thresholds.json --note "children's bad answers pass too often"
  rxedge central fleet approve thresholds-4 --as rui
  rxedge central fleet thresholds thresholds-4 approved.json
  rxedge central publish --thresholds approved.json`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(given[0])
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			g, err := guard.ParseGroups(b)
			if err != nil {
				return &refusedError{given[0] + ": " + err.Error()}
			}
			names := make([]string, len(g.Groups))
			for i, x := range g.Groups {
				names[i] = x.Cohort
			}
			m, fresh, err := f.OpenMatter(central.ThresholdsProposed, strings.Join(names, ","), g, 0, by)
			if err != nil {
				return err
			}
			if !fresh {
				return &refusedError{fmt.Sprintf("%s is of the same cohorts, and not decided yet", m.ID)}
			}
			return a.recorded(c.Context(), f, m, hubs, local)
		}}
	c.Flags().StringVar(&by.Who, "as", whoami(), "`name` of who does it, for the record")
	c.Flags().StringVar(&by.Reason, "note", "", "`text`: why, for the record")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	c.Flags().BoolVar(&local, "local", false, "sign it and do not give it to the hub")
	return c
}

func (a *app) fleetThresholds(dir *string) *cobra.Command {
	return &cobra.Command{Use: "thresholds ID FILE", Short: "Write approved thresholds for the sites",
		Long: `Write approved thresholds to FILE, with the signed records of who proposed and who approved
them; 'rxedge central publish --thresholds FILE' sends them, and --drop withdraws them. A site
takes no others.`,
		Example: `  rxedge central fleet thresholds thresholds-4 approved.json`, Args: args(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			p, err := f.Approved(given[0])
			if err != nil {
				return err
			}
			var r record.Fleet
			if err := json.Unmarshal(p.Proposal.Record, &r); err != nil {
				return err
			}
			if r.Action != record.ThresholdsProposed {
				return &refusedError{fmt.Sprintf("%s is no proposal of thresholds", given[0])}
			}
			b, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if err := durable.Write(filepath.Clean(given[1]), append(b, '\n')); err != nil {
				return err
			}
			if a.json {
				return a.print(p)
			}
			a.printf("%s: %s. 'rxedge central publish --thresholds %s' sends it to the sites.\n", given[1], given[0], given[1])
			return nil
		}}
}
