package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"rxedge/daemon/upgrade"
)

func (a *app) serviceStopped() *cobra.Command {
	c := &cobra.Command{Use: "stopped", Short: "After a stop: give up a release that ended before it was confirmed (ExecStopPost)",
		Long: `After a stop: where the service manager says that the service failed ($SERVICE_RESULT) and its
release is not confirmed yet, give the release up, so that the next start is of the one before.
A stop that somebody asked for changes nothing.`,
		Example: `  SERVICE_RESULT=exit-code rxedge service stopped`, Args: args(cobra.NoArgs)}
	root := releaseRoot(c)
	c.RunE = func(*cobra.Command, []string) error {
		result := os.Getenv("SERVICE_RESULT")
		gone := []string{}
		if result != "" && result != "success" {
			all, err := root.Releases()
			if err != nil {
				return err
			}
			why := fmt.Sprintf("it ended before it was confirmed: %s (%s %s)", result, cmp.Or(os.Getenv("EXIT_CODE"), "exit code"), cmp.Or(os.Getenv("EXIT_STATUS"), "unknown"))
			for _, r := range all {
				if !r.Pending {
					continue
				}
				// Where none was ever confirmed there is none to go back to.
				if err := root.Fail(r.Version, why); errors.Is(err, upgrade.ErrNothing) {
					continue
				} else if err != nil {
					return err
				}
				gone = append(gone, r.Version)
				if !a.json {
					a.printf("Release %s was given up: %s\n", r.Version, why)
				}
			}
		}
		if a.json {
			return a.print(map[string]any{"result": result, "given_up": gone})
		}
		return nil
	}
	return c
}
