package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"rxedge/daemon/clients"
)

func (a *app) service() *cobra.Command {
	c := &cobra.Command{Use: "service", Short: "The daemon as a service", Example: `  rxedge service token add ehr`, RunE: group}
	c.AddCommand(a.serviceSetup(), a.serviceUninstall(), a.serviceStart(), a.serviceStop(), a.serviceStatus(), a.serviceToken(), a.serviceInstall(), a.serviceUse(), a.serviceReleases(), a.serviceGuard(), a.serviceConfirm(), a.serviceStopped(), a.serviceRun())
	return c
}

func (a *app) serviceToken() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Tokens of the programs that ask this box",
		Long: "Tokens of the programs that ask this box. They are called for where the configuration says\napi.require_token = true; a running daemon heeds a change within a second.",
		Example: `  rxedge service token add ehr
  rxedge service token list`, RunE: group}
	c.AddCommand(
		&cobra.Command{Use: "add NAME", Short: "Make a token, and show it this once", Example: `  rxedge service token add ehr`, Args: args(cobra.ExactArgs(1)),
			RunE: func(_ *cobra.Command, given []string) error {
				cfg, err := a.settings()
				if err != nil {
					return err
				}
				if err := asOwner(cfg.Data); err != nil {
					return err
				}
				token, err := clients.Add(cfg.Data, given[0])
				if err != nil {
					return tokenError(err)
				}
				if a.json {
					return a.print(map[string]string{"name": given[0], "token": token})
				}
				a.printf("%s\n", token)
				a.note("This is the token of %s; it is not shown again. Send it as 'Authorization: Bearer …'.\n", given[0])
				return nil
			}},
		&cobra.Command{Use: "list", Short: "List who has a token", Example: `  rxedge service token list --json`, Args: args(cobra.NoArgs),
			RunE: func(*cobra.Command, []string) error {
				cfg, err := a.settings()
				if err != nil {
					return err
				}
				if err := asOwner(cfg.Data); err != nil {
					return err
				}
				names, err := clients.List(cfg.Data)
				if err != nil {
					return err
				}
				slices.Sort(names)
				if a.json {
					return a.print(names)
				}
				if len(names) == 0 {
					a.printf("No client has a token.\n")
				}
				for _, n := range names {
					a.printf("%s\n", n)
				}
				return nil
			}},
		&cobra.Command{Use: "remove NAME", Short: "Take a token away", Example: `  rxedge service token remove ehr`, Args: args(cobra.ExactArgs(1)),
			RunE: func(_ *cobra.Command, given []string) error {
				cfg, err := a.settings()
				if err != nil {
					return err
				}
				if err := asOwner(cfg.Data); err != nil {
					return err
				}
				if err := clients.Remove(cfg.Data, given[0]); err != nil {
					return tokenError(err)
				}
				a.printf("The token of %s counts no longer.\n", given[0])
				return nil
			}})
	return c
}

func tokenError(err error) error {
	switch {
	case errors.Is(err, clients.ErrName):
		return usage("%w", err)
	case errors.Is(err, clients.ErrExists):
		return &refusedError{err.Error()}
	case errors.Is(err, clients.ErrNotFound):
		return errors.Join(errNotFound, err)
	}
	return err
}
