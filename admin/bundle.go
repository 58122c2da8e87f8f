package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/sync/bundle"
)

func (a *app) bundle() *cobra.Command {
	c := &cobra.Command{Use: "bundle", Short: "Carry what the centre published on a medium", Example: `  rxedge bundle import /media/usb/stable-12.rxb`, RunE: group}
	c.AddCommand(a.bundleExport(), a.bundleImport())
	return c
}

func (a *app) bundleExport() *cobra.Command {
	var dir, channel string
	c := &cobra.Command{Use: "export FILE", Short: "Write the newest bundle of a channel to a file (at the centre)",
		Long:    "Write the newest bundle of a channel, whole, with its signatures, to a file. A site takes it\nas long as the signatures are fresh: a week, and 'rxedge central hub' renews them.",
		Example: `  rxedge bundle export --channel stable /media/usb/stable.rxb`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(dir)
			if err != nil {
				return err
			}
			n, bytes, err := f.Export(channel, given[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"channel": channel, "number": n, "bytes": bytes, "file": given[0]})
			}
			a.printf("Bundle %d of %s: %s in %s.\n", n, channel, size(bytes), given[0])
			return nil
		}}
	c.Flags().StringVar(&dir, "dir", "", centreFlag)
	c.Flags().StringVar(&channel, "channel", "stable", "`name` of the channel")
	return c
}

func (a *app) bundleImport() *cobra.Command {
	return &cobra.Command{Use: "import FILE", Short: "Take a bundle from a file, checked as if it came from the hub (at a site)",
		Example: `  rxedge bundle import /media/usb/stable.rxb`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			paths, err := absolute(given)
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			bar := a.progress()
			defer bar.finish()
			return on(a, c, func(s station) (bundle.Result, error) {
				return s.ImportBundle(c.Context(), filepath.Clean(paths[0]), func(p box.IngestProgress) { bar.set(p.Stage, p.Done, p.Total) })
			}, a.showPull)
		}}
}
