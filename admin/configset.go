package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/config"
	"rxedge/daemon/control"
)

func (a *app) configSet() *cobra.Command {
	return &cobra.Command{Use: "set KEY VALUE", Short: "Change a setting in the file",
		Long: `Change a setting in the file, and leave all else in it, with its comments and its order, as
it is. The whole result is checked before it takes the file's place; what the file was lies
then beside it as rxedge.toml.bak. Exit code 4 where the result could not be used, 5 where
there is no such setting.`,
		Example: `  rxedge config set answer.timeout 30s
  rxedge config set sync.quiet_hours 08:00-18:30`, Args: args(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, given []string) error {
			return a.rewrite(given[0], func(file string, text []byte) ([]byte, error) { return config.Set(file, text, given[0], given[1]) })
		}}
}

func (a *app) configUnset() *cobra.Command {
	return &cobra.Command{Use: "unset KEY", Short: "Take a setting out of the file, so that its default holds",
		Example: `  rxedge config unset answer.timeout`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			return a.rewrite(given[0], func(file string, text []byte) ([]byte, error) { return config.Unset(file, text, given[0]) })
		}}
}

// changed is what set and unset did.
type changed struct {
	File    string        `json:"file"`
	Backup  string        `json:"backup,omitempty"`
	Changed bool          `json:"changed"`
	Was     *config.Value `json:"was,omitempty"`
	Is      *config.Value `json:"is,omitempty"`
	// Restart is the command after which it holds, "" where no daemon runs.
	Restart  string         `json:"restart,omitempty"`
	Warnings []config.Fault `json:"warnings,omitempty"`
}

func (a *app) rewrite(key string, edit func(file string, text []byte) ([]byte, error)) error {
	file := a.configFile()
	abs, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	data, err := filepath.Abs(config.Default().Data)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(data, abs); err == nil && filepath.IsLocal(rel) {
		if err := asOwner(data); err != nil { // a file of root's could not be changed by the service's user
			return err
		}
	}
	out := changed{File: abs}
	var now config.Config
	out.Backup, err = config.Rewrite(abs, func(text []byte) ([]byte, error) {
		is, err := edit(file, text)
		if err != nil {
			return nil, err
		}
		was, _ := config.Examine(file, text)
		now, out.Warnings = config.Examine(file, is)
		out.Was, out.Is = valueOf(was, key), valueOf(now, key)
		out.Changed = string(is) != string(text)
		return is, nil
	})
	var unsound *config.Unsound
	switch {
	case errors.As(err, &unsound):
		return &refusedError{fmt.Sprintf("%v; nothing was changed", err)}
	case errors.Is(err, config.ErrNoSetting):
		return errors.Join(errNotFound, err)
	case errors.Is(err, config.ErrByHand):
		return &refusedError{fmt.Sprintf("%v (%s)", err, file)}
	case err != nil:
		return err
	}
	held := now.Data
	if a.data != "" {
		held = a.data
	}
	if d, err := control.Dial(held); err == nil && out.Changed {
		_ = d.Close()
		out.Restart = restart(held)
	}
	if a.json {
		return a.print(out)
	}
	if !out.Changed {
		a.printf("%s says so already: %s\n", file, worded(out.Is))
		return nil
	}
	a.printf("%s: %s, was %s.\n", file, worded(out.Is), out.Was.Value)
	for _, f := range out.Warnings {
		if f.Key == key {
			a.printf("But %s: %s.\n", f.What, f.Fix)
		}
	}
	if out.Backup != "" {
		a.printf("What it was lies in %s.\n", out.Backup)
	}
	if out.Restart != "" {
		a.printf("The running rxedged takes it up when it is started again: %s\n", out.Restart)
	} else {
		a.printf("It holds from the next start of rxedged.\n")
	}
	return nil
}

func worded(v *config.Value) string {
	if v.Value == "" {
		return v.Key + " is as the firmware profile has it"
	}
	return v.Key + " is " + v.Value
}

func valueOf(c config.Config, key string) *config.Value {
	for _, v := range c.Values(nil) {
		if v.Key == key {
			if v.From == config.FromFile && strings.Contains(v.Where, ":") {
				v.Where = filepath.Base(v.Where)
			}
			return &v
		}
	}
	return nil
}

// restart is the command that starts the daemon of a data folder again.
func restart(data string) string {
	if filepath.Clean(data) == config.InstalledData {
		if os.Geteuid() != 0 {
			return "sudo systemctl restart rxedged"
		}
		return "systemctl restart rxedged"
	}
	return "stop it (Ctrl-C where it runs), then 'make run', or 'rxedged --data " + data + "'"
}
