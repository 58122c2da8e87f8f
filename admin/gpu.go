package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/inference/gpu"
	"rxedge/inference/llama"
)

// gpuReport is what 'rxedge gpu' prints.
type gpuReport struct {
	*gpu.Snapshot
	NoGPU  string            `json:"no_gpu,omitempty"` // why there are no cards
	Engine *gpu.EngineReport `json:"engine,omitempty"`
	// NoEngine says why nothing is known of the engine.
	NoEngine string `json:"no_engine,omitempty"`
}

func (a *app) gpu() *cobra.Command {
	return &cobra.Command{
		Use:   "gpu",
		Short: "The NVIDIA cards, how they feel, and which backend runs",
		Long: `Show the NVIDIA cards with their memory, temperature, clocks, power and faults, and
the backend that the engine runs on, and why not a better one. It only reads.

A box without a card is a normal state: the exit code is 0.
Exit code 4 where a card can't be used.`,
		Example: `  rxedge gpu
  rxedge gpu --json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			r, noGPU, err := readGPU(c.Context())
			if err != nil {
				return err
			}
			if e, err := llama.Find(); err != nil {
				r.NoEngine = err.Error()
			} else if report, err := gpu.Engine(c.Context(), e.Dir, noGPU); err != nil {
				r.NoEngine = err.Error()
			} else {
				r.Engine = &report
			}
			if a.json {
				err = a.print(r)
			} else {
				a.showGPU(r)
			}
			if r.Snapshot != nil {
				for _, card := range r.Cards {
					if err == nil && card.Fault != "" {
						err = &refusedError{fmt.Sprintf("card %d: %s", card.Index, card.Fault)}
					}
				}
			}
			return err
		},
	}
}

// readGPU reads the cards once. That there are none is noGPU and no error.
func readGPU(ctx context.Context) (r gpuReport, noGPU, err error) {
	snap, noGPU, err := box.ReadGPU(ctx)
	if noGPU != nil {
		r.NoGPU = noGPU.Error()
	}
	r.Snapshot = snap
	return r, noGPU, err
}

func (a *app) showGPU(r gpuReport) {
	if r.Snapshot == nil {
		a.printf("No GPU: %s.\n", r.NoGPU)
	} else {
		cuda := ""
		if r.CUDA != "" {
			cuda = ", CUDA up to " + r.CUDA
		}
		a.printf("Driver %s%s, read through %s\n", r.Driver, cuda, r.Source)
		for _, c := range r.Cards {
			a.showCard(c)
		}
	}
	if r.Engine == nil {
		a.printf("Engine   %s\n", r.NoEngine)
		return
	}
	uses := r.Engine.Uses
	if r.Engine.Variant != "" {
		uses += fmt.Sprintf(" (CPU code for %s)", r.Engine.Variant)
	}
	a.printf("Backend  %s\n", uses)
	for _, d := range r.Engine.Devices {
		a.printf("         %s\n", d)
	}
	if r.Engine.Why != "" && r.Engine.Why != r.NoGPU {
		a.printf("         no better one: %s\n", r.Engine.Why)
	}
	if r.Engine.Fix != "" {
		a.printf("         to mend it: %s\n", r.Engine.Fix)
	}
}

func (a *app) showCard(c gpu.Card) {
	a.printf("Card %d   %s", c.Index, c.Name)
	if c.Compute != "" {
		a.printf(" (%s, compute capability %s)", c.Architecture, c.Compute)
	}
	a.printf("\n")
	if c.Fault != "" {
		a.printf("  ! %s\n", c.Fault)
	}
	line := func(label string, parts ...string) {
		var said []string
		for _, p := range parts {
			if p != "" {
				said = append(said, p)
			}
		}
		if len(said) > 0 {
			a.printf("  %-12s %s\n", label, strings.Join(said, ", "))
		}
	}
	if m := c.Memory; m != nil {
		line("memory", fmt.Sprintf("%s used of %s", size(int64(m.Used)), size(int64(m.Total))), when(m.Free > 0, size(int64(m.Free))+" free"))
	}
	t := c.Temperature
	line("temperature", said("%d °C", t.Now), said("slows down at %d", t.Slowdown), said("switches off at %d", t.Shutdown))
	line("power", said("%.0f W", c.Power.Draw), said("limit %.0f W", c.Power.Limit))
	var held []string
	for _, h := range c.Clocks.Held {
		held = append(held, h.Text())
	}
	line("clocks", ofMost("%d", c.Clocks.Graphics, c.Clocks.MaxGraphics, " MHz"), ofMost("memory %d", c.Clocks.Memory, c.Clocks.MaxMemory, " MHz"), when(len(held) > 0, "held by: "+strings.Join(held, ", ")))
	if u := c.Utilisation; u != nil {
		line("busy", fmt.Sprintf("%d %%", u.GPU), fmt.Sprintf("memory %d %%", u.Memory))
	}
	if e := c.ECC; e != nil && e.Enabled {
		line("ECC", "on", said("%d corrected", e.Corrected), said("%d uncorrected", e.Uncorrected))
	}
	if m := c.Remapped; m != nil && (*m != gpu.Remapped{}) {
		line("bad memory", fmt.Sprintf("%d rows remapped", m.Corrected+m.Uncorrected), when(m.Pending, "more at the next restart"), when(m.Failed, "no spare rows left: replace the card"))
	}
	line("PCIe", ofMost("generation %d", c.PCIe.Generation, c.PCIe.MaxGeneration, ""), ofMost("%d", c.PCIe.Width, c.PCIe.MaxWidth, " lanes"))
	if c.MIG != nil && *c.MIG {
		line("MIG", "on: the card is split into instances")
	}
	for _, p := range c.Processes {
		mem := ""
		if p.Memory != nil {
			mem = size(int64(*p.Memory))
		}
		line("process", fmt.Sprintf("%d", p.PID), p.Name, mem)
	}
}

// said formats a value that may be absent.
func said[T any](format string, v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf(format, *v)
}

func when(ok bool, text string) string {
	if !ok {
		return ""
	}
	return text
}

// ofMost is "4 of 16 lanes".
func ofMost(format string, v, most *int, unit string) string {
	if v == nil {
		return ""
	}
	s := fmt.Sprintf(format, *v)
	if most != nil {
		s += fmt.Sprintf(" of %d", *most)
	}
	return s + unit
}
