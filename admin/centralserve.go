package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"rxedge/centre/page"
)

func (a *app) centralServe(dir *string) *cobra.Command {
	var opt page.Options
	var services bool
	c := &cobra.Command{Use: "serve", Short: "Serve the fleet page, until Ctrl-C",
		Long: `Serve the fleet page: sites, rollouts, drift, fairness, requests and the audit trail. It takes up
what sites send, as 'fleet run' does, and works where the hub is away, with what is here.

People sign in, by accounts of 'rxedge central user' or at an OpenID provider, which the file
of --settings names ([oidc] in page/page.toml of the centre's folder). Where there is
neither, the address that is printed makes the first admin, once. It listens on this machine
alone; another address wants --tls-cert and --tls-key, and an account or a provider. --host
names each other name by which it is reached.

The page shows. Who has the role moves rollouts and decides requests there; each step is asked
why, and is a signed record. Steps want tuf/keys/targets.key in the folder.`,
		Example: `  rxedge central serve
  rxedge central serve --listen 0.0.0.0:8740 --host fleet.example --tls-cert fleet.pem --tls-key fleet.key`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM)
			defer stop()
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			opt.Folder, opt.Log = f, slog.New(slog.NewTextHandler(a.err, nil))
			s, err := page.New(opt)
			var wrong *page.UsageError
			if errors.As(err, &wrong) {
				return usage("%w", err)
			}
			if err != nil {
				return err
			}
			ctx, end := context.WithCancelCause(ctx)
			defer end(nil)
			var wg sync.WaitGroup
			defer wg.Wait()
			if services {
				wg.Go(func() {
					if err := f.Serve(ctx, opt.Hubs, opt.Log, func() { a.note("Enrolments are answered.\n") }); err != nil {
						end(err)
					}
				})
			}
			err = s.Run(ctx, func(address string) {
				first := s.FirstToken()
				switch {
				case a.json:
					_ = a.line(map[string]string{"address": address, "first": first})
				case first != "":
					a.printf("The fleet page is at %s. Nobody has an account yet: this address makes the first admin, once:\n  %s\nStop with Ctrl-C.\n", address, page.FirstAddress(address, first))
				default:
					a.printf("The fleet page is at %s. Stop with Ctrl-C.\n", address)
				}
			})
			end(nil)
			wg.Wait()
			if err == nil {
				if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
					err = cause
				}
			}
			if errors.As(err, &wrong) {
				return usage("%w", err)
			}
			if err != nil && strings.Contains(err.Error(), "address already in use") {
				return fmt.Errorf("%w; another program has it: name another with --listen", err)
			}
			return err
		}}
	fl := c.Flags()
	fl.StringVar(&opt.Listen, "listen", page.DefaultListen, "`host:port` of the page")
	fl.StringVar(&opt.Certificate, "tls-cert", "", "`file` of the certificate, PEM; read again when it is renewed")
	fl.StringVar(&opt.Key, "tls-key", "", "`file` of its key, PEM")
	fl.StringArrayVar(&opt.Hosts, "host", nil, "`name` by which the page is reached, beside the certificate's and localhost")
	fl.StringVar(&opt.Settings, "settings", "", "`file` of the page's settings (default page/page.toml of the centre's folder, if it is there)")
	fl.StringArrayVar(&opt.Hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	fl.BoolVar(&services, "services", false, "answer enrolments too, as 'hub --services' does")
	return c
}
