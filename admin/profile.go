package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference/catalog"
	"rxedge/inference/ladder"
)

func (a *app) profile() *cobra.Command {
	c := &cobra.Command{Use: "profile", Short: "Firmware profiles: which models a box runs, and how", Example: `  rxedge profile detect`,
		Args: cobra.ArbitraryArgs, RunE: group}
	c.AddCommand(a.profileList(), a.profileShow(), a.profileDetect(), a.profileCheck())
	return c
}

func (a *app) profileList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the profiles", Example: `  rxedge profile list --json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			all := profiles.All()
			if a.json {
				return a.print(all)
			}
			var rows []table.Row
			for _, p := range all {
				rows = append(rows, table.Row{p.Name, p.Title, p.Generator.Model, p.Generator.Slots, p.Generator.Context, p.Driver.Floor})
			}
			a.table(table.Row{"name", "for", "generator", "slots", "context", "driver"}, rows)
			return nil
		}}
}

// findProfile is profiles.Get, its error one of exit code 5.
func findProfile(name string) (profiles.Profile, error) {
	p, err := profiles.Get(name)
	if errors.Is(err, profiles.ErrUnknown) {
		err = fmt.Errorf("%w: %w", errNotFound, err)
	}
	return p, err
}

func (a *app) profileShow() *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "What a profile asks for and sets", Example: `  rxedge profile show l4`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			p, err := findProfile(given[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(p)
			}
			a.showProfile(p)
			return nil
		}}
}

func (a *app) showProfile(p profiles.Profile) {
	a.printf("%s: %s (%s)\n", p.Name, p.Title, strings.Join(p.Arch, ", "))
	if p.Notes != "" {
		a.printf("%s\n", wrap(p.Notes, "  ", lineWidth))
	}
	if p.Driver.Floor != "" {
		a.printf("  driver      %s or newer: %s\n", p.Driver.Floor, p.Driver.Why)
	}
	g := p.Generator
	layers := "all layers on the card"
	if g.GPULayers == 0 {
		layers = "on the processor"
	} else if g.GPULayers > 0 {
		layers = fmt.Sprintf("%d layers on the card", g.GPULayers)
	}
	a.printf("  generator   %s, %s; %d slots of %d tokens, batch %d/%d, cache %s\n", g.Model, layers, g.Slots, g.Context, g.Batch, g.MicroBatch, g.KVType)
	for _, e := range []struct {
		role string
		e    profiles.Encoder
	}{{"embedder", p.Embedder}, {"reranker", p.Reranker}, {"entailer", p.Entailer}} {
		if e.e.Model == "" {
			continue
		}
		on := "on the processor"
		if e.e.GPU {
			on = "on the card"
		}
		a.printf("  %-11s %s as %s, %s, batch %d\n", e.role, e.e.Model, e.e.Quantisation, on, e.e.Batch)
	}
	a.printf("  memory      models may take %d MiB and need about %d MiB; machine at least %d MiB\n", p.Memory.Budget, p.Needs()>>20, p.Memory.Host)
	a.printf("  disk        %d GB free\n", p.Disk.FloorGB)
	if p.Limits.Temperature > 0 {
		a.printf("  limits      %d °C%s\n", p.Limits.Temperature, when(p.Limits.Power > 0, fmt.Sprintf(", %.0f W", p.Limits.Power)))
	}
	for s := ladder.Warn; s <= ladder.ExtractiveOnly; s++ {
		var at []string
		if i := int(s) - 1; i < len(p.Ladder.Temperature) {
			at = append(at, fmt.Sprintf("%g °C", p.Ladder.Temperature[i]))
		}
		if i := int(s) - 1; i < len(p.Ladder.Memory) {
			at = append(at, fmt.Sprintf("%g %% of memory", p.Ladder.Memory[i]))
		}
		if len(at) > 0 {
			a.printf("  at %-22s %s\n", strings.Join(at, ", ")+":", s.Text())
		}
	}
	a.printf("  latency     95 of 100 answers within %v where a model writes, %v of sentences of the documents\n", time.Duration(p.Latency.Generated), time.Duration(p.Latency.Extractive))
	measured := "never measured on such a box"
	if len(p.Expected.Measured) > 0 {
		measured = "measured: " + strings.Join(p.Expected.Measured, ", ")
	}
	a.printf("  expected    %.0f tokens/s read, %.0f written, %.0f embeddings/s; %s: %s\n", p.Expected.Prompt, p.Expected.Generate, p.Expected.Embeddings, measured, p.Expected.Basis)
}

// machine looks at this one.
func (a *app) machine(ctx context.Context) (profiles.Machine, error) {
	cfg, err := a.settings()
	if err != nil {
		return profiles.Machine{}, err
	}
	return box.LookAround(ctx, cfg.Data)
}

type detection struct {
	Profile string           `json:"profile"`
	Why     string           `json:"why"`
	Machine profiles.Machine `json:"machine"`
}

func (a *app) profileDetect() *cobra.Command {
	return &cobra.Command{Use: "detect", Short: "Which profile suits this box, and why", Example: `  rxedge profile detect --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := a.machine(c.Context())
			if err != nil {
				return err
			}
			p, why := profiles.Detect(m)
			if a.json {
				return a.print(detection{p.Name, why, m})
			}
			a.printf("%s: %s\n  because %s\n", p.Name, p.Title, why)
			return nil
		}}
}

type checked struct {
	Profile  string             `json:"profile"`
	Why      string             `json:"why,omitempty"` // it was chosen, where none was named
	OK       bool               `json:"ok"`
	Findings []profiles.Finding `json:"findings"`
	// Missing models of the profile that are not in the catalog.
	Missing []string `json:"missing_models,omitempty"`
}

func (a *app) profileCheck() *cobra.Command {
	return &cobra.Command{Use: "check [NAME]", Short: "Whether this box is what a profile asks for",
		Long: `Compare this box with a profile, or with the one that 'detect' chooses: driver, card,
memory, disk, backend. Exit code 4 where the profile can't run here.`,
		Example: `  rxedge profile check l4`, Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			m, err := a.machine(c.Context())
			if err != nil {
				return err
			}
			p, why := profiles.Detect(m)
			if len(given) > 0 {
				why = ""
				if p, err = findProfile(given[0]); err != nil {
					return err
				}
			}
			r := checked{Profile: p.Name, Why: why, Findings: profiles.Check(p, m), Missing: a.missingModels(p)}
			if r.Findings == nil {
				r.Findings = []profiles.Finding{}
			}
			r.OK = !profiles.Refused(r.Findings)
			if a.json {
				err = a.print(r)
			} else {
				a.showCheck(r)
			}
			if err == nil && !r.OK {
				err = &refusedError{fmt.Sprintf("this box can't run the profile %s", p.Name)}
			}
			return err
		}}
}

func (a *app) showCheck(r checked) {
	if r.Why != "" {
		a.printf("Profile %s, because %s.\n", r.Profile, r.Why)
	}
	for _, f := range r.Findings {
		a.printf("%s: %s\n  %s\n", f.Level, f.What, f.Fix)
	}
	for _, m := range r.Missing {
		a.printf("warn: the model %s is not in the catalog\n  rxedge model pull %s\n", m, m)
	}
	if r.OK {
		a.printf("This box runs the profile %s.\n", r.Profile)
	}
}

// missingModels of a profile: those that the catalog has under no such name.
func (a *app) missingModels(p profiles.Profile) []string {
	cfg, err := a.settings()
	if err != nil {
		return nil
	}
	have := map[string]bool{}
	if _, err := os.Stat(modelFolder(cfg.Data)); err == nil {
		if c, err := catalog.Open(modelFolder(cfg.Data)); err == nil {
			entries, _ := c.List()
			for _, e := range entries {
				have[strings.ToLower(e.Name)] = true
			}
		}
	}
	var out []string
	for _, name := range []string{p.Generator.Model, p.Embedder.Model, p.Reranker.Model, p.Entailer.Model} {
		if name != "" && !have[strings.ToLower(name)] {
			out = append(out, name)
		}
	}
	return out
}

// modelFolder is where a box keeps its models.
func modelFolder(data string) string { return filepath.Join(data, "models") }
