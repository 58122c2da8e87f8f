package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/rollout/trial"
	"rxedge/daemon/rollout/validate"
	"rxedge/index/document"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/record"
)

// publishing is the result of publish.
type publishing struct {
	*central.Published
	Pushed bool `json:"pushed"` // the hub has it
}

func (a *app) centralPublish(dir *string) *cobra.Command {
	var rel central.Release
	var models, adapters, profiles, golden, trials, approvals, thresholds, hubs []string
	var version, vectors string
	var here, fromLibrary bool
	c := &cobra.Command{Use: "publish [PATH...]", Short: "Publish documents and models to a channel",
		Long: `Publish what is under the paths (SPL XML, openFDA JSON, JSONL, Markdown, HTML, text) to a
channel, beside what is published there already: a document of the same id takes the
place of the older. Sites fetch what is new to them. A file that can't be read stops it.
With --library it is what the centre's library has approved and the channel lacks, and the
library notes which bundle has which version; it is refused (exit code 4) while over 1 % of
a run is in quarantine and nobody has approved the run.
With --hold no site has it until a rollout lets it: see 'rxedge central rollout'.
With --vectors the passages of all that is published are embedded here, where they are
not yet, by an embedder of this machine's catalog: sites with the same one need not do
it, the others fetch nothing of it. What 'rxedge central ingest --vectors' or an earlier
publish has made is taken.`,
		Example: `  rxedge central publish labels/ --note "June labels"
  rxedge central publish --library --hold
  rxedge central publish labels/ --golden questions.jsonl
  rxedge central publish labels/ --vectors all-MiniLM-L6-v2-Q8_0
  rxedge central publish --withdraw 5f2a-… --note recall`,
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			for kind, paths := range map[string][]string{bundle.KindModel: models, bundle.KindAdapter: adapters, bundle.KindProfile: profiles, bundle.KindGolden: golden,
				bundle.KindTrial: trials, bundle.KindApproval: approvals, bundle.KindThresholds: thresholds} {
				for _, p := range paths {
					if err := checkFile(kind, p); err != nil {
						return err
					}
					rel.Files = append(rel.Files, central.File{Name: filepath.Base(p), Kind: kind, Path: p, Version: version})
				}
			}
			if len(given)+len(rel.Files)+len(rel.Withdraw)+len(rel.Drop) == 0 && vectors == "" && !rel.DropVectors && !fromLibrary {
				return usage("name documents, --library, --model, --adapter, --profile, --golden, --trial, --approval, --thresholds, --vectors, --drop-vectors, --withdraw or --drop")
			}
			if rel.Replace && len(given) == 0 {
				return usage("--replace: name the documents that are all there is to be")
			}
			if fromLibrary && len(given) > 0 {
				return usage("--library: name no documents beside; 'rxedge central ingest' brings them into the library")
			}
			paths, err := absolute(given)
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			rel.Documents = publishable(c.Context(), paths)
			var lib *libraryRelease
			if fromLibrary {
				if lib, err = a.fromLibrary(c.Context(), *dir, &rel); err != nil {
					return err
				}
				defer lib.Close()
				if len(lib.pending)+len(rel.Files)+len(rel.Withdraw)+len(rel.Drop) == 0 && vectors == "" && !rel.DropVectors {
					a.note("the channel has all that the library has approved; nothing was published\n")
					if here {
						return nil
					}
					return a.push(c.Context(), f, hubs)
				}
			}
			if vectors != "" {
				stop, err := a.embedWith(c.Context(), f.Dir, vectors, &rel)
				if err != nil {
					return err
				}
				defer stop()
			}
			p, err := f.Publish(rel)
			if errors.Is(err, central.ErrNothingNew) {
				if err := lib.published(c.Context(), f, &rel, p.Number); err != nil {
					return err
				}
				a.note("%v\n", err)
				if here {
					return nil
				}
				return a.push(c.Context(), f, hubs)
			}
			if err != nil {
				return err
			}
			if err := lib.published(c.Context(), f, &rel, p.Number); err != nil {
				return err
			}
			out := publishing{Published: p}
			var perr error
			if !here {
				perr = a.push(c.Context(), f, hubs)
				out.Pushed = perr == nil
			}
			if a.json {
				if err := a.print(out); err != nil {
					return err
				}
			} else {
				if p.Held {
					defer a.printf("No site may have it yet: 'rxedge central rollout create --bundle %d' lets it out in waves.\n", p.Number)
				}
				if p.Vectors > 0 {
					defer a.printf("With vectors of %d passages, for sites with the same embedder.\n", p.Vectors)
				}
				a.printf("Bundle %d of %s: %d documents (%d new or changed, %d unchanged, %d taken out), %d files.\nA site in step fetches %s, a new one %s.\n", p.Number, p.Channel, p.Documents, p.Put, p.Unchanged, p.Removed, p.Artefacts, size(p.NewBytes+int64(p.Manifest)), size(p.SetBytes+int64(p.Manifest)))
			}
			if perr != nil {
				return fmt.Errorf("it is signed here, and the hub does not have it yet; 'rxedge central push' gives it to the hub: %w", perr)
			}
			return nil
		}}
	fl := c.Flags()
	fl.StringVar(&rel.Channel, "channel", "stable", "`name` of the channel")
	fl.StringVar(&rel.Note, "note", "", "`text` for the admins of sites")
	fl.StringArrayVar(&rel.Withdraw, "withdraw", nil, "`id` of a document that no site may have any more")
	fl.BoolVar(&fromLibrary, "library", false, "what the centre's library has approved and the channel lacks")
	fl.BoolVar(&rel.Replace, "replace", false, "these documents are all: what else is published goes")
	fl.StringArrayVar(&models, "model", nil, "`file` of a model (GGUF)")
	fl.StringArrayVar(&adapters, "adapter", nil, "`file` of an adapter (GGUF)")
	fl.StringArrayVar(&profiles, "profile", nil, "`file` of a firmware profile (TOML)")
	fl.StringArrayVar(&golden, "golden", nil, "`file` of questions with known answers (JSONL, as 'eval answers' reads): a site asks itself these first")
	fl.StringArrayVar(&trials, "trial", nil, "`file` of a trial's plan (JSON, see 'rxedge central trial'): sites try the bundle's model beside theirs")
	fl.StringArrayVar(&approvals, "approval", nil, "`file` that 'rxedge central trial approve' has written")
	fl.StringArrayVar(&thresholds, "thresholds", nil, "`file` that 'rxedge central fleet thresholds' has written; --drop withdraws it")
	fl.StringVar(&version, "file-version", "", "`text` that names the version of the files (default the number of the bundle)")
	fl.StringArrayVar(&rel.Drop, "drop", nil, "`name` of a file that is no longer part of it")
	fl.StringVar(&vectors, "vectors", "", "`name` of the embedder whose vectors go with it")
	fl.BoolVar(&rel.DropVectors, "drop-vectors", false, "no vectors that were published go with it any more")
	fl.StringVar(&rel.Requires.Rxedge, "min-rxedge", "", "`version` that a site needs at least")
	fl.StringArrayVar(&rel.Requires.Profiles, "for-profile", nil, "`name` of a firmware profile that it is for (default all)")
	fl.BoolVar(&rel.Hold, "hold", false, "no site may have it until a rollout lets it")
	fl.StringVar(&rel.Who, "as", whoami(), "`name` of who publishes, for the record of --hold")
	fl.BoolVar(&here, "local", false, "sign it and do not give it to the hub")
	fl.StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

// checkFile reads golden questions, a plan or an approval as a site will.
func checkFile(kind, path string) error {
	read := map[string]func(io.Reader) error{
		bundle.KindGolden: func(r io.Reader) error {
			_, err := validate.ReadGolden(path, r)
			return err
		},
		bundle.KindTrial: func(r io.Reader) error {
			b, err := io.ReadAll(r)
			if err == nil {
				_, err = trial.ParsePlan(b)
			}
			return err
		},
		bundle.KindApproval: func(r io.Reader) error {
			b, err := io.ReadAll(r)
			if err == nil {
				_, err = trial.ParseApproval(b)
			}
			return err
		},
		bundle.KindThresholds: func(r io.Reader) error {
			b, err := io.ReadAll(r)
			if err == nil {
				_, err = record.Parse(b)
			}
			return err
		},
	}[kind]
	if read == nil {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotFound, err)
	}
	defer f.Close()
	if err := read(f); err != nil {
		return &refusedError{"nothing was published: " + err.Error()}
	}
	return nil
}

// publishable reads documents; the first that can't be read ends it.
func publishable(ctx context.Context, paths []string) func(func(bundle.Document, error) bool) {
	return func(yield func(bundle.Document, error) bool) {
		stopped := errors.New("stopped")
		for _, p := range paths {
			problems, err := document.Read(ctx, p, document.Options{}, func(d *document.Document) error {
				x, err := box.Publishable(d)
				if !yield(x, err) {
					return stopped
				}
				return nil
			})
			switch {
			case errors.Is(err, stopped):
				return
			case err == nil && len(problems) > 0:
				var all []string
				for _, p := range problems {
					all = append(all, p.Error())
				}
				err = &refusedError{"nothing was published, for not all can be read:\n" + strings.Join(all, "\n")}
			}
			if err != nil {
				yield(bundle.Document{}, err)
				return
			}
		}
	}
}

func (a *app) push(ctx context.Context, f *central.Folder, hubs []string) error {
	nc, err := f.Connect(hubs, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, 12*time.Hour)
	defer cancel()
	bar := a.progress()
	defer bar.finish()
	return f.Push(ctx, nc, func(done, total int) { bar.set("chunks to the hub", int64(done), int64(total)) })
}

func (a *app) centralPush(dir *string) *cobra.Command {
	var hubs []string
	c := &cobra.Command{Use: "push", Short: "Give the hub all that is signed and that it lacks", Example: `  rxedge central push`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if err := a.push(c.Context(), f, hubs); err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]bool{"pushed": true})
			}
			a.printf("The hub has all that is signed.\n")
			return nil
		}}
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}
