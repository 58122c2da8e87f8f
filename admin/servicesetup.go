package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"rxedge/daemon/setup"
)

// setupError gives what refuses a machine its exit code.
func setupError(err error) error {
	var refused *setup.RefusedError
	if errors.As(err, &refused) {
		return &refusedError{refused.Error()}
	}
	return err
}

func (a *app) system() *setup.System {
	s := setup.This()
	s.Step = func(what string) { a.note("%s\n", what) }
	return s
}

func (a *app) serviceSetup() *cobra.Command {
	var noStart bool
	c := &cobra.Command{Use: "install [FOLDER]", Short: "Install rxedge as a service from its tarball, or upgrade what is here",
		Long: `Install rxedge as a service of systemd from the folder of its tarball (that in which this
program lies, where none is named), in the places that the Debian package has: the release beside
the one that runs, after its self-test; the manual, the completions, the user, the settings where
there are none yet, and the unit. Then start it; it goes back to the release before where the new
one does not come up. Documents, settings and tokens stay. Called again, it does nothing more.

Elsewhere than under systemd 'rxedge service run' runs the daemon.`,
		Example: `  tar -xzf rxedge_0.2.0_linux_amd64.tar.gz
  sudo rxedge-0.2.0/rxedge service install`, Args: args(cobra.MaximumNArgs(1))}
	c.Flags().BoolVar(&noStart, "no-start", false, "do not start it, nor start it again")
	c.RunE = func(c *cobra.Command, given []string) error {
		from := tarball()
		if len(given) > 0 {
			from = given[0]
		}
		did, err := a.system().Install(c.Context(), from, !noStart)
		if err != nil {
			return setupError(err)
		}
		if a.json {
			return a.print(did)
		}
		if did.First {
			a.printf("rxedge %s is installed", did.Version)
		} else {
			a.printf("rxedge %s took the place of what was here; documents and settings are as they were", did.Version)
		}
		if did.Running {
			a.printf(", and answers on this machine. 'rxedge status' says how it is.\n")
		} else {
			a.printf(". 'rxedge service start' starts it.\n")
		}
		return nil
	}
	return c
}

// tarball is the folder of which this program is: FOLDER/release/rxedge.
func tarball() string {
	exe, err := os.Executable()
	if err != nil {
		return "."
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return filepath.Dir(filepath.Dir(exe))
}

func (a *app) serviceUninstall() *cobra.Command {
	var purge bool
	c := &cobra.Command{Use: "uninstall", Short: "Stop the service and take its programs away; what the box knows stays",
		Long: `Stop the service and take away what 'rxedge service install' put in. Documents, settings,
tokens and the user stay for the next install; with --purge they go too, for good.`,
		Example: `  sudo rxedge service uninstall`, Args: args(cobra.NoArgs)}
	c.Flags().BoolVar(&purge, "purge", false, "documents, models, settings, tokens and the user too, for good")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := a.system().Uninstall(c.Context(), purge); err != nil {
			return setupError(err)
		}
		if a.json {
			return a.print(map[string]bool{"purged": purge})
		}
		if purge {
			a.printf("Nothing of rxedge is left on this machine.\n")
		} else {
			a.printf("The programs are gone. /var/lib/rxedge and /etc/rxedge are as they were.\n")
		}
		return nil
	}
	return c
}

func (a *app) serviceStart() *cobra.Command {
	return &cobra.Command{Use: "start", Short: "Start the service; it returns once it answers", Example: `  sudo rxedge service start`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := a.system().Start(); err != nil {
				return setupError(err)
			}
			return a.said("The service answers.", map[string]bool{"running": true})
		}}
}

func (a *app) serviceStop() *cobra.Command {
	return &cobra.Command{Use: "stop", Short: "Stop the service; questions under way are finished", Example: `  sudo rxedge service stop`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := a.system().Stop(); err != nil {
				return setupError(err)
			}
			return a.said("The service is stopped.", map[string]bool{"running": false})
		}}
}

func (a *app) said(text string, v any) error {
	if a.json {
		return a.print(v)
	}
	a.printf("%s\n", text)
	return nil
}

func (a *app) serviceStatus() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Say whether the service is installed and runs; exit code 0 where it does, 3 where not, 5 where it is not installed",
		Example: `  rxedge service status --json`, Args: args(cobra.NoArgs)}
	c.RunE = func(*cobra.Command, []string) error {
		st, err := a.system().State()
		if err != nil {
			return setupError(err)
		}
		if a.json {
			if err := a.print(st); err != nil {
				return err
			}
		}
		how := map[string]string{"package": "Installed as a Debian package", "tarball": "Installed from a tarball"}[st.Installed]
		switch {
		case st.Installed == "":
			return errors.Join(errNotFound, errors.New("the service is not installed; 'rxedge service install' in the folder of a tarball, or 'dpkg -i', does it"))
		case st.Failed:
			return &stoppedError{how + ", and failed. 'systemctl status rxedged' and 'rxedge doctor' say why."}
		case !st.Running:
			return &stoppedError{how + ", and stopped. 'sudo rxedge service start' starts it."}
		case !a.json:
			a.printf("%s (%s), and running. 'rxedge status' says how it is.\n", how, st.Unit)
		}
		return nil
	}
	return c
}

// stoppedError: the service is installed and does not run.
type stoppedError struct{ text string }

func (e *stoppedError) Error() string { return e.text }
