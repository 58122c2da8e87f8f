package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/centre/library"
	"rxedge/centre/survey"
	"rxedge/sync/central"
)

// lineageOf is a version with the sites that serve it.
type lineageOf struct {
	*library.Lineage
	// Sites that told that they serve a bundle with it.
	Sites []string `json:"sites"`
}

func (a *app) centralLineage(dir *string) *cobra.Command {
	var source, channel string
	var number int64
	var hubs []string
	var local, every bool
	c := &cobra.Command{Use: "lineage [ID[@HASH]]", Short: "Where a document came from and went: file, version, passages, bundle, sites",
		Long: `Where a document came from and went: the files it was read from, by SHA-256 and place in an
archive, who decided about it under which signed record, the bundles that have it, and the
sites that told the hub that they serve one of those. --source asks what came of a file,
--bundle what a bundle has. Without a hub (--local) the sites are left out.`,
		Example: `  rxedge central lineage 5f2a-…
  rxedge central lineage --source labels.zip
  rxedge central lineage --bundle 12 --channel stable`, Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			n := len(given)
			if source != "" {
				n++
			}
			if number != 0 {
				n++
			}
			if n != 1 {
				return usage("name one document, or --source, or --bundle")
			}
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			ctx := c.Context()
			switch {
			case source != "":
				seen, err := d.Library.FromSource(ctx, source)
				if err != nil {
					return err
				}
				if len(seen) == 0 {
					return fmt.Errorf("%w: no document came from %s", errNotFound, source)
				}
				if a.json {
					return a.print(seen)
				}
				var rows []table.Row
				for _, s := range seen {
					rows = append(rows, table.Row{printableText(s.Name), s.SHA256[:12], orDash(s.Place), printableText(s.Run), nameOf(s.Ref)})
				}
				a.table(table.Row{"file", "sha256", "place", "run", "version"}, rows)
				return nil
			case number != 0:
				// What the library published last holds on in later bundles, but not in
				// those that do not exist.
				if last, err := lastBundle(d.Folder, channel); err != nil {
					return err
				} else if number < 1 || number > last {
					return fmt.Errorf("%w: the last bundle of %s is %d", errNotFound, channel, last)
				}
				vs, err := d.Library.InBundle(ctx, channel, number)
				if err != nil {
					return err
				}
				if len(vs) == 0 {
					return fmt.Errorf("%w: the library published nothing in bundle %d of %s", errNotFound, number, channel)
				}
				if a.json {
					return a.print(vs)
				}
				var rows []table.Row
				for _, v := range vs {
					rows = append(rows, table.Row{nameOf(v.Ref), printableText(v.Title), orDash(v.Version), orDash(v.Effective), v.State})
				}
				a.table(table.Row{"version", "title", "stated", "effective", "state"}, rows)
				return nil
			}
			v, err := versionNamed(ctx, d.Library, given[0])
			if err != nil {
				return err
			}
			vs := []library.Version{*v}
			if every {
				if vs, err = d.Library.Versions(ctx, library.Filter{ID: v.ID}); err != nil {
					return err
				}
			}
			var standings []survey.Standing
			if !local {
				if standings, err = a.standings(ctx, d.Folder, hubs); err != nil {
					return fmt.Errorf("%w; --local leaves the sites out", err)
				}
			}
			out := []lineageOf{}
			for _, v := range vs {
				l, err := d.Library.Lineage(ctx, v.Ref)
				if err != nil {
					return err
				}
				out = append(out, lineageOf{l, servedBy(l, standings)})
			}
			if a.json {
				if !every {
					return a.print(out[0])
				}
				return a.print(out)
			}
			for i := range out {
				a.showLineage(&out[i], local)
			}
			return nil
		}}
	fl := c.Flags()
	fl.StringVar(&source, "source", "", "`name` of a file, or its SHA-256 (eight digits will do)")
	fl.Int64Var(&number, "bundle", 0, "`number` of a bundle")
	fl.StringVar(&channel, "channel", "stable", "`name` of the channel of the bundle")
	fl.BoolVar(&every, "all", false, "every version of the document")
	fl.BoolVar(&local, "local", false, "do not ask the hub what sites serve")
	fl.StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

// lastBundle is the number of the newest bundle of a channel; 0: there is none.
func lastBundle(f *central.Folder, channel string) (last int64, err error) {
	all, err := f.Manifests()
	for _, m := range all {
		if m.Channel == channel {
			last = max(last, m.Number)
		}
	}
	return last, err
}

// servedBy are the sites whose last word is a bundle that has the version.
func servedBy(l *library.Lineage, all []survey.Standing) []string {
	out := []string{}
	for _, s := range all {
		if l.In(s.Channel, s.Active) {
			out = append(out, s.Site)
		}
	}
	return out
}

func (a *app) showLineage(l *lineageOf, local bool) {
	a.printf("%s\n%s, version %s of %s; it is %s.\n", printableText(l.Title), nameOf(l.Ref), orDash(l.Version.Version), orDash(l.Effective), l.State)
	for _, s := range l.Sources {
		a.printf("  file      %s%s, sha256 %.12s, run %s\n", printableText(s.Name), printableText(placed(s.Place)), s.SHA256, printableText(s.Run))
	}
	a.printf("  passages  %d of %d sections\n", l.Passages, l.Sections)
	for _, x := range l.Decisions {
		a.printf("  decision  %s by %s%s%s\n", x.What, printableText(x.Who), printableText(prefixed(": ", x.Why)), prefixed(", record ", x.Record))
	}
	for _, b := range l.Bundles {
		until := "on"
		if b.Until > 0 {
			until = fmt.Sprintf("to %d", b.Until-1)
		}
		a.printf("  bundle    %s %d %s\n", b.Channel, b.Since, until)
	}
	switch {
	case local:
	case len(l.Sites) == 0:
		a.printf("  sites     none told that they serve it\n")
	default:
		for _, s := range l.Sites {
			a.printf("  site      %s\n", s)
		}
	}
}
