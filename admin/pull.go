package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/inference/catalog"
)

// modelPull fetches into the catalog itself: the catalog may be written beside
// a running daemon, and only the technician's command goes to the network.
func (a *app) modelPull() *cobra.Command {
	var (
		mirror string
		trust  []string
	)
	c := &cobra.Command{
		Use:   "pull NAME",
		Short: "Fetch a pinned model, check it, and put it into the catalog",
		Long: `Fetch a model that rxedge knows by name ('rxedge model pins' lists them) from the
mirror of the configuration ([model] mirror) or of --mirror: an address, or a folder
for a box without a network. HTTPS_PROXY and NO_PROXY are honoured.

An interrupted pull goes on where it was when it is given again. Each file must have
the SHA-256 that is pinned; where none is, --trust-sha256 gives it.

Exit code 4 where a file is not what is pinned or nothing says what it should be.`,
		Example: `  rxedge model pull all-MiniLM-L6-v2-Q8_0
  rxedge model pull Qwen2.5-7B-Instruct-Q4_K_M --mirror /media/usb/models
  rxedge model pull nli-MiniLM2-L6-H768 --trust-sha256 model.safetensors=0123…`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			o := catalog.PullOptions{Mirror: cfg.Model.Mirror, Trust: trusts(trust)}
			if mirror != "" {
				o.Mirror = mirror
			}
			if err := asOwner(cfg.Data); err != nil {
				return err
			}
			cat, err := catalog.Open(modelFolder(cfg.Data))
			if err != nil {
				return err
			}
			bar := a.progress()
			e, err := cat.Pull(c.Context(), given[0], o, func(p catalog.PullProgress) { bar.set(strings.TrimSpace(p.Stage+" "+p.File), p.Done, p.Total) })
			bar.finish()
			if err != nil {
				return pullError(c.Context(), err)
			}
			if a.json {
				return a.print(e)
			}
			a.printf("%s: %s, %s, %s, %s\n  sha256 %s\n", e.Name, e.Kind, e.Architecture, e.Quantisation, size(e.Size), e.SHA256)
			return nil
		},
	}
	c.Flags().StringVar(&mirror, "mirror", "", "`address or folder` to pull from (default: model.mirror of the configuration)")
	c.Flags().StringArrayVar(&trust, "trust-sha256", nil, "`[FILE=]HASH` to trust for a file that has none on record; may be given again")
	return c
}

// trusts reads FILE=HASH, or HASH alone for the only file.
func trusts(given []string) map[string]string {
	out := make(map[string]string)
	for _, g := range given {
		file, hash, named := strings.Cut(g, "=")
		if !named {
			file, hash = "", g
		}
		out[file] = hash
	}
	return out
}

// pullError makes refusals by a check of the errors that are some.
func pullError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("stopped; pull again to go on where it was: %w", ctx.Err())
	}
	if catalog.Refused(err) {
		return &refusedError{err.Error()}
	}
	return err
}

func (a *app) modelPins() *cobra.Command {
	return &cobra.Command{Use: "pins", Short: "List the models that can be pulled", Example: `  rxedge model pins --json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			pins := catalog.Pins()
			if a.json {
				return a.print(pins)
			}
			var rows []table.Row
			for _, p := range pins {
				n, known := p.Size()
				bytes := when(known, size(n))
				var marks []string
				if p.EvaluationOnly {
					marks = append(marks, "evaluation only")
				}
				if len(p.Unpinned()) > 0 {
					marks = append(marks, "needs --trust-sha256")
				}
				rows = append(rows, table.Row{p.Name, p.Kind, p.Format, p.Quantisation, bytes, p.Licence, strings.Join(marks, ", ")})
			}
			a.table(table.Row{"name", "kind", "format", "quantisation", "size", "licence", ""}, rows)
			return nil
		}}
}
