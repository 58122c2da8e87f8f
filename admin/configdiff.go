package main

import (
	"context"
	"crypto/rand"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/config"
	"rxedge/daemon/control"
)

// difference of one setting.
type difference struct {
	Key    string `json:"key"`
	Before string `json:"before"` // as TOML; "": the firmware profile's
	After  string `json:"after"`
	Where  string `json:"where,omitempty"`
}

// differences of two lists whose secrets are under the same key.
func differences(before, after []config.Value) []difference {
	was := map[string]config.Value{}
	for _, v := range before {
		was[v.Key] = v
	}
	out := []difference{}
	add := func(old, v config.Value) {
		if old.Value != v.Value || old.Secret != v.Secret {
			d := difference{Key: v.Key, Before: old.Value, After: v.Value, Where: v.Where}
			if d.Before == d.After {
				d.After += " (another password)"
			}
			out = append(out, d)
		}
	}
	for _, v := range after {
		add(was[v.Key], v)
		delete(was, v.Key)
	}
	for _, v := range before {
		if _, ok := was[v.Key]; ok { // a table that is repeated
			add(v, config.Value{Key: v.Key, Value: "[]"})
		}
	}
	return out
}

func (a *app) configDiff() *cobra.Command {
	return &cobra.Command{Use: "diff [FILE [FILE]]", Short: "What differs from the defaults, between files, and from what runs",
		Long: `Without FILE: which settings differ from the defaults, and which of them the running
rxedged has not taken up yet. With FILE: what would change if it took the place of the file
in use. With two: what differs between them, the first being what was.`,
		Example: `  rxedge config diff
  rxedge config diff /tmp/new.toml --json`, Args: args(cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			key := make([]byte, 32)
			if _, err := rand.Read(key); err != nil {
				return err
			}
			if len(given) > 0 {
				return a.diffFiles(key, given)
			}
			cfg, err := a.settings()
			if err != nil {
				return &refusedError{err.Error() + "; 'rxedge config check' says all that is wrong"}
			}
			def := config.Default()
			def.Data = cfg.Data // where it lies is no matter of taste
			changed := differences(def.Values(key), cfg.Values(key))
			waiting, runs, err := a.waiting(c.Context(), cfg, key)
			if err != nil {
				return err
			}
			if a.json {
				out := map[string]any{"file": a.configFile(), "changed": changed, "running": runs}
				if runs {
					out["not_taken_up"] = waiting
				}
				if len(waiting) > 0 {
					out["restart"] = restart(cfg.Data)
				}
				return a.print(out)
			}
			if len(changed) == 0 {
				a.printf("All settings are as the defaults have them.\n")
			} else {
				a.showDifferences("default", "is", changed)
			}
			switch {
			case len(waiting) > 0:
				a.printf("\nThe running rxedged has not taken up:\n")
				a.showDifferences("runs with", "is to be", waiting)
				a.printf("It does when it is started again: %s\n", restart(cfg.Data))
			case runs:
				a.printf("The running rxedged has all of it.\n")
			}
			return nil
		}}
}

// waiting is what the running daemon has not taken up; runs says whether there is one.
func (a *app) waiting(ctx context.Context, cfg config.Config, key []byte) (waiting []difference, runs bool, err error) {
	d, err := control.Dial(cfg.Data)
	if err != nil {
		return nil, false, nil
	}
	defer d.Close()
	s, err := d.Settings(ctx, key)
	if err != nil {
		return nil, true, err
	}
	flags := map[string]bool{} // of the daemon's command line: its file does not change those
	var has []config.Value
	for _, v := range s.Given {
		if v.From == config.FromFlag {
			flags[v.Key] = true
		}
		if v.Key == "data" || flags[v.Key] { // it was reached there
			continue
		}
		has = append(has, v)
	}
	var is []config.Value
	for _, v := range cfg.Values(key) {
		if v.Key != "data" && !flags[v.Key] {
			is = append(is, v)
		}
	}
	return differences(has, is), true, nil
}

func (a *app) diffFiles(key []byte, given []string) error {
	was := a.configFile()
	if len(given) == 2 {
		was = given[0]
	}
	before := config.Default()
	if _, err := os.Stat(was); len(given) == 2 || err == nil {
		if before, err = a.load(was); err != nil {
			return err
		}
	}
	is := given[len(given)-1]
	after, err := a.load(is)
	if err != nil {
		return err
	}
	ds := differences(before.Values(key), after.Values(key))
	if a.json {
		return a.print(map[string]any{"before": was, "after": is, "changed": ds})
	}
	if len(ds) == 0 {
		a.printf("%s and %s set the same.\n", was, is)
		return nil
	}
	a.showDifferences(was, is, ds)
	return nil
}

func (a *app) showDifferences(before, after string, ds []difference) {
	var rows []table.Row
	named := func(v string) string {
		if v == "" {
			return "(the profile's)"
		}
		return v
	}
	for _, d := range ds {
		rows = append(rows, table.Row{d.Key, named(d.Before), named(d.After), d.Where})
	}
	a.table(table.Row{"setting", before, after, "where"}, rows)
}
