package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/sync/durable"
)

// degrees of a reset, with what they are for.
var degrees = []struct {
	degree      box.ResetDegree
	short, long string
}{
	{box.ResetCache, "Forget the answers that are kept", "Kept answers and vectors of questions go; questions are answered anew."},
	{box.ResetTelemetry, "Forget what was counted of questions", "Counts, baselines and alarms go; drift is told again once a new baseline has been learned.\nWhat was reported to the centre stays there."},
	{box.ResetFeedback, "Forget what people said of answers", "All feedback goes, with the ids of answers: what was answered before can't be commented on."},
	{box.ResetIndex, "Take all documents out", "All documents go, with what rests on them: kept answers, the journal of rollouts, files in\nquarantine. The next start puts the sample in; the documents of a site's active bundle come\nback by themselves."},
	{box.ResetSite, "Make the box no site of any centre", "Keys, certificate, bundles and what waits for the centre go. Documents stay. 'rxedge enroll'\nmakes the box a site again; the centre goes on knowing the old one until it is revoked there."},
	{box.ResetAll, "Make the box as it was when it was new", "Everything in the data folder goes: documents, models, settings, keys, tokens, counts."},
}

func (a *app) reset() *cobra.Command {
	c := &cobra.Command{Use: "reset", Short: "Put the box, or a part of it, back to what it was at first",
		Long: `Put the box, or a part of it, back to what it was at first. Each degree shows what would go
and what stays, and asks before it does anything; --yes takes the question's place. rxedged
must be stopped, but for 'reset settings'. Killed in the midst, the box is as before or as
after: the next start finishes it.`,
		Example: `  rxedge reset cache --dry-run
  rxedge reset site
  rxedge reset all --keep-models --yes`, RunE: group}
	for _, d := range degrees {
		c.AddCommand(a.resetDegree(d.degree, d.short, d.long))
	}
	c.AddCommand(a.resetSettings())
	return c
}

// asking is how a reset is confirmed.
type asking struct{ yes, dry bool }

func (q *asking) flags(c *cobra.Command) {
	c.Flags().BoolVar(&q.yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&q.dry, "dry-run", false, "show what would go, and do nothing")
}

// resetResult is what a reset prints as JSON.
type resetResult struct {
	box.ResetPlan
	DryRun bool `json:"dry_run,omitempty"`
	Done   bool `json:"done"`
}

func (a *app) resetDegree(d box.ResetDegree, short, long string) *cobra.Command {
	var ask asking
	var keepModels bool
	c := &cobra.Command{Use: string(d), Short: short, Long: long, Example: fmt.Sprintf("  rxedge reset %s --dry-run", d), Args: args(cobra.NoArgs)}
	ask.flags(c)
	if d == box.ResetAll {
		c.Aliases = []string{"factory"}
		c.Flags().BoolVar(&keepModels, "keep-models", false, "leave the catalog of models as it is")
	}
	c.RunE = func(*cobra.Command, []string) error {
		cfg, err := a.settings()
		if err != nil { // settings that can't be read must not keep a box from being reset
			if a.data == "" && os.Getenv("RXEDGE_DATA") == "" {
				return &refusedError{fmt.Sprintf("%v; name the folder with --data", err)}
			}
			cfg.Data = config.Default().Data
		}
		if cfg.Data, err = filepath.Abs(cfg.Data); err != nil {
			return err
		}
		if real, err := filepath.EvalSymlinks(cfg.Data); err == nil {
			cfg.Data = real
		}
		if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: there is no data folder %s", errNotFound, cfg.Data)
		}
		if err := asOwner(cfg.Data); err != nil {
			return err
		}
		var keep []string
		if keepModels {
			keep = []string{"models"}
		}
		p, err := box.PlanReset(cfg.Data, d, keep...)
		if errors.Is(err, box.ErrNoBox) {
			return &refusedError{err.Error()}
		}
		if err != nil {
			return err
		}
		if !a.json {
			a.showReset(p)
		}
		if ask.dry || len(p.Goes) == 0 {
			if a.json {
				return a.print(resetResult{ResetPlan: p, DryRun: ask.dry, Done: !ask.dry})
			}
			return nil
		}
		if s, err := control.Dial(cfg.Data); err == nil {
			_ = s.Close()
			return &refusedError{fmt.Sprintf("rxedged holds %s: stop it first (%s), then reset, then start it again", cfg.Data, stopping(cfg.Data))}
		}
		if err := a.confirm(ask.yes); err != nil {
			return err
		}
		err = box.Reset(p, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
		var held *box.HeldError
		if errors.As(err, &held) {
			return &refusedError{fmt.Sprintf("%v: stop it first (%s)", err, stopping(cfg.Data))}
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.print(resetResult{ResetPlan: p, Done: true})
		}
		a.printf("Done: %d files, %s, are gone.\n", p.Files, size(p.Bytes))
		if d == box.ResetSite && p.Site != "" {
			a.printf("The centre still knows %s: 'rxedge central site revoke %s' there.\n", p.Site, p.Site)
		}
		return nil
	}
	return c
}

func (a *app) showReset(p box.ResetPlan) {
	if len(p.Goes) == 0 {
		a.printf("Nothing to reset: %s holds nothing of it.\n", p.Data)
		return
	}
	a.printf("What goes, %s in %d files:\n", size(p.Bytes), p.Files)
	for _, x := range p.Goes {
		a.showPart(x)
	}
	if len(p.Stays) > 0 {
		a.printf("What stays:\n")
	}
	for _, x := range p.Stays {
		a.showPart(x)
	}
	if p.Site != "" && p.Degree == box.ResetIndex {
		a.printf("The box is the site %s: the documents of its active bundle come back at the next start.\n", p.Site)
	}
	if file := config.File(); p.Degree == box.ResetAll && filepath.Dir(file) != p.Data {
		if _, err := os.Stat(file); err == nil {
			a.printf("  %s: settings of the installed box; 'rxedge reset settings' puts them aside\n", file)
		}
	}
}

func (a *app) showPart(x box.ResetPart) {
	holds := fmt.Sprintf("%d files", x.Files)
	if x.Files == 1 {
		holds = "1 file"
	}
	if x.Holds != "" {
		holds = x.Holds + ", " + holds
	}
	a.printf("  %-10s %s: %s (%s)\n", size(x.Bytes), x.Path, x.What, holds)
	if x.Link != "" {
		a.printf("             it is a link to %s, which stays\n", x.Link)
	}
}

// confirm asks on a terminal.
func (a *app) confirm(yes bool) error {
	if yes {
		return nil
	}
	f, ok := a.in.(*os.File)
	if !ok || a.json || !term.IsTerminal(int(f.Fd())) {
		return usage("nothing was done: this is asked for on a terminal, and elsewhere wants --yes (or --dry-run)")
	}
	a.note("This can't be undone. Type 'yes' to go on: ")
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return &refusedError{"nothing was done"}
	}
	return nil
}

// stopping is the command that stops the daemon of a data folder.
func stopping(data string) string {
	if filepath.Clean(data) == config.InstalledData {
		return "systemctl stop rxedged"
	}
	return "Ctrl-C where it runs"
}

func (a *app) resetSettings() *cobra.Command {
	var ask asking
	c := &cobra.Command{Use: "settings", Short: "Put all settings back to their defaults",
		Long: `The file of settings is put aside as rxedge.toml.bak, so that all settings are as the
defaults have them from the next start on. It works while rxedged runs.`,
		Example: `  rxedge reset settings --dry-run`, Args: args(cobra.NoArgs)}
	ask.flags(c)
	c.RunE = func(*cobra.Command, []string) error {
		file, err := filepath.Abs(a.configFile())
		if err != nil {
			return err
		}
		data := config.Default().Data
		if rel, err := filepath.Rel(data, file); err == nil && filepath.IsLocal(rel) {
			if err := asOwner(data); err != nil {
				return err
			}
		}
		out := map[string]any{"degree": "settings", "file": file, "done": false}
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			if a.json {
				return a.print(out)
			}
			a.printf("Nothing to reset: there is no %s, and the defaults hold.\n", file)
			return nil
		}
		if err != nil {
			return err
		}
		cfg, _ := config.Examine(file, text)
		def := config.Default()
		goes := differences(def.Values(nil), cfg.Values(nil))
		out["changed"] = goes
		if !a.json {
			a.printf("%s is put aside as %s.bak.\n", file, filepath.Base(file))
			if len(goes) > 0 {
				a.showDifferences("default", "is", goes)
			}
		}
		if ask.dry {
			if a.json {
				return a.print(out)
			}
			return nil
		}
		if err := a.confirm(ask.yes); err != nil {
			return err
		}
		if err := os.Rename(file, file+".bak"); err != nil {
			return err
		}
		if err := durable.SyncDir(filepath.Dir(file)); err != nil {
			return err
		}
		out["done"], out["backup"] = true, file+".bak"
		if a.json {
			return a.print(out)
		}
		a.printf("Done: the defaults hold from the next start of rxedged.\n")
		if s, err := control.Dial(cfg.Data); err == nil {
			_ = s.Close()
			a.printf("The running one takes them up when it is started again: %s\n", restart(cfg.Data))
		}
		return nil
	}
	return c
}
