package main

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/control"
	"rxedge/daemon/upgrade"
)

// releaseRoot is the folder of releases, by the flag of c.
func releaseRoot(c *cobra.Command) *upgrade.Root {
	r := &upgrade.Root{}
	c.Flags().StringVar(&r.Dir, "root", cmp.Or(os.Getenv("RXEDGE_ROOT"), "/usr/lib/rxedge"), "`folder` of releases ($RXEDGE_ROOT)")
	return r
}

func (a *app) serviceInstall() *cobra.Command {
	var use, replace bool
	c := &cobra.Command{Use: "install-release FOLDER", Short: "Put a new release beside the one that runs, after its self-test",
		Long: `Copy a folder that holds a release (rxedged, rxedge, llama/) to where releases lie, and run
its self-test there. What runs is not touched. With --use it is what the next start runs. With
--replace one of that version that is here gives way to it, and is tried though it failed before.`,
		Example: `  rxedge service install-release /media/rxedge-0.2.0 --use`, Args: args(cobra.ExactArgs(1))}
	root := releaseRoot(c)
	c.Flags().BoolVar(&use, "use", false, "use it from the next start on")
	c.Flags().BoolVar(&replace, "replace", false, "in the place of the same release that is here")
	c.RunE = func(c *cobra.Command, given []string) error {
		v, err := root.Install(c.Context(), given[0], replace)
		if err != nil {
			return err
		}
		if use {
			if err := root.Use(v, replace); err != nil && !(replace && errors.Is(err, upgrade.ErrRuns)) {
				return err
			}
		}
		if a.json {
			return a.print(map[string]any{"version": v, "pending": use})
		}
		if use {
			a.printf("Release %s passed its self-test. The next start of the service uses it, and goes back by itself if it does not come up.\n", v)
		} else {
			a.printf("Release %s passed its self-test. 'rxedge service use %s' starts it.\n", v, v)
		}
		return nil
	}
	return c
}

func (a *app) serviceUse() *cobra.Command {
	var again bool
	c := &cobra.Command{Use: "use VERSION", Short: "Use a release from the next start on; it goes back by itself where that does not come up",
		Example: `  rxedge service use 0.2.0`, Args: args(cobra.ExactArgs(1))}
	root := releaseRoot(c)
	c.Flags().BoolVar(&again, "again", false, "even if it did not come up before")
	c.RunE = func(_ *cobra.Command, given []string) error {
		if err := root.Use(given[0], again); err != nil {
			return err
		}
		if a.json {
			return a.print(map[string]any{"version": given[0]})
		}
		a.printf("The next start of the service uses release %s.\n", given[0])
		return nil
	}
	return c
}

func (a *app) serviceReleases() *cobra.Command {
	c := &cobra.Command{Use: "releases", Short: "List the releases that are here", Example: `  rxedge service releases --json`, Args: args(cobra.NoArgs)}
	root := releaseRoot(c)
	c.RunE = func(*cobra.Command, []string) error {
		all, err := root.Releases()
		if err != nil {
			return err
		}
		if a.json {
			return a.print(all)
		}
		rows := []table.Row{}
		for _, r := range all {
			is := ""
			switch {
			case r.Pending:
				is = "pending: it is started, and not confirmed yet"
			case r.Confirmed:
				is = "confirmed"
			case r.Previous:
				is = "confirmed before"
			case r.Bad != "":
				is = "did not come up: " + printableText(r.Bad)
			}
			rows = append(rows, table.Row{r.Version, is})
		}
		if len(rows) == 0 {
			a.printf("There is no release here; 'rxedge service install-release FOLDER' puts one.\n")
			return nil
		}
		a.table(table.Row{"release", "state"}, rows)
		return nil
	}
	return c
}

func (a *app) serviceGuard() *cobra.Command {
	c := &cobra.Command{Use: "guard", Short: "Before a start: make 'current' the release to start (ExecStartPre)",
		Long: `Before a start: count it where the release is not confirmed yet, give the release up where it
was started too often, and make 'current' what is to be started, whatever a crash has left.`,
		Example: `  rxedge service guard`, Args: args(cobra.NoArgs)}
	root := releaseRoot(c)
	c.RunE = func(*cobra.Command, []string) error {
		s, err := root.Guard()
		if err != nil {
			return err
		}
		if a.json {
			return a.print(s)
		}
		if s.FellBack != "" {
			a.note("A release was given up: %s\n", s.FellBack)
		}
		a.printf("%s\n", root.Program(s))
		return nil
	}
	return c
}

func (a *app) serviceConfirm() *cobra.Command {
	var within time.Duration
	c := &cobra.Command{Use: "confirm", Short: "After a start: wait until the daemon is ready, confirm its release or give it up (ExecStartPost)",
		Example: `  rxedge service confirm`, Args: args(cobra.NoArgs)}
	root := releaseRoot(c)
	c.Flags().DurationVar(&within, "within", upgrade.Within, "how long it has")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.settings()
		if err != nil {
			return err
		}
		all, err := root.Releases()
		if err != nil {
			return err
		}
		for _, r := range all {
			if !r.Pending {
				continue
			}
			if err := root.Await(c.Context(), r.Version, within, control.Probe(cfg.Data)); err != nil {
				return err
			}
			a.printf("Release %s is confirmed.\n", r.Version)
		}
		return nil
	}
	return c
}

func (a *app) serviceRun() *cobra.Command {
	var within time.Duration
	c := &cobra.Command{Use: "run [-- RXEDGED-FLAGS]", Short: "Run the daemon without a service manager, and go back where a new release does not come up",
		Example: `  rxedge service run -- --listen 127.0.0.1:8731`}
	root := releaseRoot(c)
	c.Flags().DurationVar(&within, "within", upgrade.Within, "how long a new release has to come up")
	c.RunE = func(c *cobra.Command, given []string) error {
		cfg, err := a.settings()
		if err != nil {
			return err
		}
		args := []string{"--data", cfg.Data}
		if a.config != "" {
			args = append(args, "--config", a.config)
		}
		return root.Run(c.Context(), upgrade.RunOptions{Args: append(args, given...), Within: within, Probe: control.Probe(cfg.Data), Out: a.err, Log: slog.New(slog.NewTextHandler(a.err, nil))})
	}
	return c
}
