package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/inference/catalog"
)

func (a *app) model() *cobra.Command {
	c := &cobra.Command{Use: "model", Short: "Models of the catalog: import, list, remove, make smaller", Example: `  rxedge model import minilm.gguf`,
		Args: cobra.ArbitraryArgs, RunE: group}
	c.AddCommand(a.modelImport(), a.modelPull(), a.modelPins(), a.modelList(), a.modelRemove(), a.modelPromote(), a.modelRollback(), a.pin("model"), a.modelQuantize(), a.modelPrune(), a.modelCompare())
	return c
}

func (a *app) modelImport() *cobra.Command {
	var opt catalog.ImportOptions
	c := &cobra.Command{
		Use:   "import FILE|DIR",
		Short: "Put a model into the catalog",
		Long: `Copy a GGUF file, or convert a Hugging Face folder (safetensors, GPTQ and AWQ too) or
a llama2.c folder (*.bin and tok*.bin), into the data folder, under its SHA-256.
A conversion that was cut off is resumed. Importing the same again changes nothing.`,
		Example: `  rxedge model import stories260K/
  rxedge model import model.gguf --name qwen`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			paths, err := absolute(given)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			if err != nil {
				return err
			}
			return on(a, c, func(s station) (catalog.Entry, error) {
				bar := a.progress()
				defer bar.finish()
				return s.ImportModel(c.Context(), paths[0], opt, func(done, total int64) { bar.set("importing", done, total) })
			}, func(e catalog.Entry) {
				a.printf("%s: %s, %s, %s, %s\n  sha256 %s\n", e.Name, e.Kind, e.Architecture, e.Quantisation, size(e.Size), e.SHA256)
				for _, n := range e.Notes {
					a.printf("  %s\n", n)
				}
				switch e.Kind {
				case catalog.Generator:
					a.printf("To let it write answers, set in rxedge.toml and restart rxedged:\n  [model]\n  generator = %q\n", e.Name)
				case catalog.Embedder:
					a.printf("To search by its vectors, set in rxedge.toml, restart rxedged, and run 'rxedge index rebuild':\n  [model]\n  embedder = %q\n", e.Name)
				}
			})
		},
	}
	c.Flags().StringVar(&opt.Type, "type", "", "of a Hugging Face folder's weights: f16, q8_0, q4_0; f32 for BERT (default: as they are)")
	c.Flags().StringVar(&opt.Name, "name", "", "name in the catalog (default: of the file)")
	return c
}

func (a *app) modelList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the models", Example: `  rxedge model list --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) ([]catalog.Entry, error) {
				es, err := s.ListModels(c.Context())
				if es == nil {
					es = []catalog.Entry{}
				}
				return es, err
			}, func(es []catalog.Entry) {
				if len(es) == 0 {
					a.printf("The catalog is empty; 'rxedge model import FILE' adds a model.\n")
					return
				}
				var rows []table.Row
				for _, e := range es {
					rows = append(rows, table.Row{e.Name, e.Kind, e.Architecture, e.Quantisation, e.ContextLength, size(e.Size), e.SHA256[:12]})
				}
				a.table(table.Row{"name", "kind", "architecture", "quantisation", "context", "size", "sha256"}, rows)
			})
		}}
}

func (a *app) modelRemove() *cobra.Command {
	return &cobra.Command{Use: "remove NAME", Short: "Take a model out of the catalog", Example: `  rxedge model remove stories260K`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return on(a, c, func(s station) (map[string]string, error) {
				return map[string]string{"removed": given[0]}, s.RemoveModel(c.Context(), given[0])
			}, func(map[string]string) { a.printf("%s was removed.\n", given[0]) })
		}}
}
