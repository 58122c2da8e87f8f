// Command rxedge is the technician's tool for a box. It speaks to the running
// daemon over its socket, and opens the data folder itself where none runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app is what the commands share.
type app struct {
	data   string
	config string
	json   bool
	in     io.Reader
	out    io.Writer
	err    io.Writer
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	return a.exit(ctx, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "rxedge",
		Short: "Look after an rxedge box",
		Long: `rxedge looks after an rxedge box: documents in, cited answers out.

It speaks to the running rxedged, and opens the data folder itself where none runs.

Exit codes: 0 done, 1 failed, 2 usage, 3 daemon unreachable, 4 refused by a check, 5 not found.`,
		Example:       `  rxedge ask "Can metformin be started with an eGFR of 40?"`,
		Version:       box.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w; see '%s --help'", err, c.CommandPath())
	})
	root.PersistentFlags().StringVar(&a.data, "data", "", "data `folder` (default $RXEDGE_DATA, ./var in a checkout, /var/lib/rxedge)")
	root.PersistentFlags().StringVar(&a.config, "config", "", "configuration `file` (default rxedge.toml in the data folder)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	root.AddCommand(
		a.ask(), a.search(), a.ingest(), a.status(),
		a.disk(), a.index(), a.model(), a.eval(),
		a.doctor(), a.gpu(), a.profile(), a.feedback(),
		a.telemetry(), a.report(), a.service(), a.bench(),
		a.enroll(), a.sync(), a.rollout(), a.bundle(),
		a.backup(), a.restore(), a.supportBundle(), a.central(), a.configuration(),
		a.reset(), a.log(), a.top(), a.manual(),
	)
	return root
}

// group is a command that only holds others.
func group(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("there is no command %q; see '%s --help'", args[0], c.CommandPath())
	}
	_ = c.Help()
	if c.HasParent() {
		return usage("name one of the commands above")
	}
	return nil
}

// args makes cobra's complaint about arguments a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if err := check(c, given); err != nil {
			return usage("%w; usage: %s", err, c.UseLine())
		}
		return nil
	}
}

// settings are those of the configuration file, with --data over them.
func (a *app) settings() (config.Config, error) {
	if a.data != "" && a.config == "" {
		os.Setenv("RXEDGE_DATA", a.data)
	}
	cfg, err := config.Load(a.config)
	if err != nil {
		return cfg, err
	}
	if a.data != "" {
		cfg.Data = a.data
	}
	return cfg, cfg.Check()
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// note goes to standard error, so that output stays clean for other programs.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.err, format, args...) }

var errNotFound = errors.New("not found")
