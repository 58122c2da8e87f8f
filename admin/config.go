package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
)

func (a *app) configuration() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Settings of this box: read, checked, compared, changed",
		Long: `Settings of this box: rxedge.toml in the data folder, or /etc/rxedge/rxedge.toml of an
installed box whose data folder has none. What is not set is as the defaults have it; a
running rxedged takes a change up when it is started again.

The settings there are:

` + settingsText(),
		Example: `  rxedge config check
  rxedge config show answer
  rxedge config set answer.timeout 30s`, RunE: group}
	c.AddCommand(a.configCheck(), a.configShow(), a.configDiff(), a.configSet(), a.configUnset(), a.configEncrypt())
	return c
}

// settingsText lists all settings with what they mean, by table.
func settingsText() string {
	var b strings.Builder
	table := ""
	for _, s := range config.Settings() {
		in, name := split(s.Key)
		if s.Repeated {
			in = "[" + in + "]"
		}
		if in != table {
			table = in
			fmt.Fprintf(&b, "\n[%s]\n", in)
		}
		def := ""
		if s.Default != "" {
			def = "; default " + s.Default
		} else if !s.Repeated {
			def = "; default: as the firmware profile has it"
		}
		fmt.Fprintf(&b, "  %s (%s%s)\n%s\n", name, s.Type, def, wrap(s.Meaning, "      ", lineWidth))
	}
	return strings.TrimRight(b.String(), "\n")
}

func split(key string) (table, name string) {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return key[:i], key[i+1:]
	}
	return "", key
}

// configFile is the file of settings in use; it may not be there.
func (a *app) configFile() string {
	if a.config != "" {
		return a.config
	}
	if a.data != "" {
		os.Setenv("RXEDGE_DATA", a.data)
	}
	return config.File()
}

// load reads a file of settings, whose faults are a refusal.
func (a *app) load(file string) (config.Config, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Config{}, fmt.Errorf("%w: %s", errNotFound, file)
	}
	if err != nil {
		return config.Config{}, err
	}
	cfg, faults := config.Examine(file, text)
	if !config.Sound(faults) {
		return cfg, &refusedError{fmt.Sprintf("%s: %v; 'rxedge config check %s' says all that is wrong", file, &faults[0], file)}
	}
	return cfg, nil
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{Use: "check [FILE]", Short: "Read the settings strictly and say what is wrong",
		Long: `Read the settings strictly: what is misspelt, out of bounds or of another type is named with
its file, its line and its mend. Settings that have no effect are warned of. Without FILE
it is the file in use. Exit code 4 where it can't be used.`,
		Example: `  rxedge config check
  rxedge config check /tmp/new.toml --json`, Args: args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			file := a.configFile()
			if len(given) > 0 {
				file = given[0]
			}
			text, err := os.ReadFile(file)
			missing := errors.Is(err, fs.ErrNotExist)
			if missing && (len(given) > 0 || a.config != "") {
				return fmt.Errorf("%w: %s", errNotFound, file)
			}
			if err != nil && !missing {
				return err
			}
			cfg, faults := config.Examine(file, text)
			if config.Sound(faults) && len(given) == 0 {
				faults = append(faults, a.elsewhere(cfg, file)...)
			}
			sound := config.Sound(faults)
			if a.json {
				if faults == nil {
					faults = []config.Fault{}
				}
				if err := a.print(map[string]any{"file": file, "there": !missing, "sound": sound, "faults": faults}); err != nil {
					return err
				}
			} else {
				a.showFaults(faults)
				switch {
				case missing:
					a.printf("There is no %s: the defaults hold.\n", file)
				case sound:
					a.printf("%s is sound.\n", file)
				}
			}
			if !sound {
				return &refusedError{fmt.Sprintf("%s can't be used; rxedged does not start with it", file)}
			}
			return nil
		}}
}

func (a *app) showFaults(faults []config.Fault) {
	for _, f := range faults {
		level, at := "error", f.File
		if f.Warning {
			level = "warning"
		}
		if f.Line > 0 {
			at += fmt.Sprintf(":%d", f.Line)
		}
		if f.Column > 0 {
			at += fmt.Sprintf(":%d", f.Column)
		}
		a.printf("%s: %s: %s\n", at, level, f.What)
		if f.Fix != "" {
			a.printf("    %s\n", f.Fix)
		}
	}
}

// elsewhere warns of a data folder that is named against what leads to the file.
func (a *app) elsewhere(cfg config.Config, file string) []config.Fault {
	var named config.Value
	for _, v := range cfg.Values(nil) {
		if v.Key == "data" && v.From == config.FromFile {
			named = v
		}
	}
	if named.Key == "" {
		return nil
	}
	f := config.Fault{File: file, Key: "data", Warning: true}
	_, _ = fmt.Sscan(named.Where[strings.LastIndexByte(named.Where, ':')+1:], &f.Line)
	switch {
	case a.data != "" && filepath.Clean(a.data) != filepath.Clean(cfg.Data):
		f.What, f.Fix = "data has no effect: --data names "+a.data, "leave it out, or call without --data"
	case a.data == "" && os.Getenv("RXEDGE_DATA") != "" && filepath.Clean(os.Getenv("RXEDGE_DATA")) != filepath.Clean(cfg.Data):
		f.What, f.Fix = "data takes the place of RXEDGE_DATA, which names "+os.Getenv("RXEDGE_DATA"), "leave one of them out"
	default:
		return nil
	}
	return []config.Fault{f}
}

// shown is a setting as JSON.
type shown struct {
	Key     string      `json:"key"`
	Value   any         `json:"value"` // null where nothing is set
	From    config.From `json:"from"`
	Where   string      `json:"where,omitempty"`
	Type    string      `json:"type,omitempty"`
	Meaning string      `json:"meaning,omitempty"`
}

// native is a TOML value as JSON has it.
func native(text string) any {
	var v struct{ V any }
	if text == "" || toml.Unmarshal([]byte("V = "+text), &v) != nil {
		return nil
	}
	return v.V
}

func (a *app) configShow() *cobra.Command {
	var effective, defaults bool
	c := &cobra.Command{Use: "show [KEY]", Short: "Print the settings, and where each comes from",
		Long: `Print the settings as TOML, each with where it comes from: the defaults, the file, the
environment, a flag. KEY is a setting or a table, such as answer. With --effective also
what the firmware profile and the catalog make of it: of the running rxedged, or where
none runs of one that was started now. Passwords are left out.`,
		Example: `  rxedge config show
  rxedge config show model --effective
  rxedge config show answer.timeout --json`, Args: args(cobra.MaximumNArgs(1))}
	c.Flags().BoolVar(&effective, "effective", false, "with what the firmware profile and the catalog make of it")
	c.Flags().BoolVar(&defaults, "defaults", false, "the defaults alone")
	c.RunE = func(c *cobra.Command, given []string) error {
		if effective && defaults {
			return usage("--effective and --defaults exclude each other")
		}
		values, title, err := a.values(c.Context(), effective, defaults)
		if err != nil {
			return err
		}
		if len(given) > 0 {
			if values, err = chosen(values, given[0]); err != nil {
				return err
			}
		}
		if a.json {
			meant := map[string]config.Setting{}
			for _, s := range config.Settings() {
				meant[s.Key] = s
			}
			out := []shown{}
			for _, v := range values {
				out = append(out, shown{v.Key, native(v.Value), v.From, v.Where, meant[v.Key].Type, meant[v.Key].Meaning})
			}
			return a.print(out)
		}
		a.printf("# %s\n", title)
		table := ""
		for _, v := range values {
			in, name := split(v.Key)
			if in != table {
				table = in
				a.printf("\n[%s]\n", in)
			}
			line := name + " = " + v.Value
			if v.Value == "" {
				line = "# " + name + " ="
			}
			a.printf("%-44s # %s\n", line, origin(v))
		}
		return nil
	}
	return c
}

func origin(v config.Value) string {
	switch v.From {
	case config.FromFile:
		return v.Where
	case config.FromProfile:
		return "firmware profile " + v.Where
	case config.FromDefault:
		if v.Value == "" {
			return "as the firmware profile has it"
		}
		return "default"
	}
	return fmt.Sprintf("%s %s", v.From, v.Where)
}

// values of the settings and a title that says which they are.
func (a *app) values(ctx context.Context, effective, defaults bool) ([]config.Value, string, error) {
	if defaults {
		def := config.Default()
		return def.Values(nil), "The defaults", nil
	}
	cfg, err := a.settings()
	if err != nil {
		return nil, "", &refusedError{err.Error() + "; 'rxedge config check' says all that is wrong"}
	}
	if a.data != "" {
		cfg.Given("data", config.FromFlag, "--data")
	}
	from := a.configFile()
	if _, err := os.Stat(from); err != nil {
		from += ", which is not there"
	}
	if !effective {
		return cfg.Values(nil), "Settings of " + from, nil
	}
	if d, err := control.Dial(cfg.Data); err == nil {
		defer d.Close()
		s, err := d.Settings(ctx, nil)
		return s.InForce, "Settings that the running rxedged of " + cfg.Data + " has", err
	}
	if err := asOwner(cfg.Data); err != nil {
		return nil, "", err
	}
	s, err := box.SettingsOf(cfg, nil, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	return s.InForce, "Settings that rxedged would have, of " + from, err
}

// chosen are those of a key, or of a table.
func chosen(values []config.Value, key string) ([]config.Value, error) {
	var out []config.Value
	for _, v := range values {
		if v.Key == key || strings.HasPrefix(v.Key, key+".") {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		err := fmt.Errorf("%w: there is no setting %q", errNotFound, key)
		if near := config.Nearest(key); near != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, near)
		}
		return nil, err
	}
	return out, nil
}
