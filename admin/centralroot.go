package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rxedge/sync/central"
	"rxedge/sync/durable"
)

func (a *app) centralRoot(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "root", Short: "The root of trust: show it, renew it before it runs out",
		Long: `The root says whose signatures sites believe. It is good for a year and is renewed by
people: 'next' writes the next one, two of the three who keep root keys 'sign' it where
their keys are, 'publish' checks it and gives it to the hub. Sites follow by themselves,
also those that were away.`,
		Example: `  rxedge central root next root.json
  rxedge central root sign root.json --key /media/usb/root-1.key
  rxedge central root sign root.json --key /media/usb/root-3.key
  rxedge central root publish root.json`, RunE: group}
	c.AddCommand(a.rootShow(dir), a.rootNext(dir), a.rootSign(), a.rootKey(), a.rootPublish(dir))
	return c
}

func (a *app) showRoot(r central.RootFacts) error {
	if a.json {
		return a.print(r)
	}
	a.printf("Root %d, good until %s (%s), signed by %d of %d root keys; %d are needed.\n", r.Version, r.Expires.Local().Format(time.DateOnly), in(r.Expires), len(r.Signed), len(r.Keys["root"]), r.Threshold)
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		for _, id := range r.Keys[role] {
			a.printf("  %-10s %s\n", role, id)
		}
	}
	return nil
}

func in(t time.Time) string {
	if d := time.Until(t); d > 0 {
		return fmt.Sprintf("%d days from now", int(d.Hours()/24))
	}
	return "it has run out"
}

func (a *app) rootShow(dir *string) *cobra.Command {
	return &cobra.Command{Use: "show", Short: "The root that sites follow now", Example: `  rxedge central root show --json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			r, err := f.Root()
			if err != nil {
				return err
			}
			return a.showRoot(r)
		}}
}

func (a *app) rootNext(dir *string) *cobra.Command {
	var change central.RootChange
	var add string
	c := &cobra.Command{Use: "next FILE", Short: "Write the next root, to be signed",
		Long: `Write the next root to a file, unsigned. It is as the one now, good for a year from now,
with what is asked for changed: --rotate gives a role a new key, made here; --drop and
--add put another root key in the place of one that was lost.`,
		Example: `  rxedge central root next root.json --rotate targets`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if (change.Drop == "") != (add == "") {
				return usage("--drop and --add go together: there are always three root keys")
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if add != "" {
				b, err := os.ReadFile(add)
				if err != nil {
					return fmt.Errorf("%w: %w", errNotFound, err)
				}
				change.Add = string(b)
			}
			b, err := f.NextRoot(change)
			if err != nil {
				return err
			}
			if err := durable.Write(filepath.Clean(given[0]), b); err != nil {
				return err
			}
			r, err := central.ReadRoot(b)
			if err != nil {
				return err
			}
			return a.showRoot(r)
		}}
	c.Flags().StringArrayVar(&change.Rotate, "rotate", nil, "`role` that gets a new key: targets, snapshot, timestamp")
	c.Flags().StringVar(&change.Drop, "drop", "", "`id` of a root key that was lost or stolen")
	c.Flags().StringVar(&add, "add", "", "`file` of the public key in its place ('root key' makes one)")
	return c
}

func (a *app) rootSign() *cobra.Command {
	var key string
	c := &cobra.Command{Use: "sign FILE", Short: "Sign a root with a root key (needs no centre)", Example: `  rxedge central root sign root.json --key /media/usb/root-1.key`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if key == "" {
				return usage("--key: name the file of the root key")
			}
			b, err := os.ReadFile(given[0])
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			k, err := os.ReadFile(key)
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			if b, err = central.SignRoot(b, k); err != nil {
				return err
			}
			if err := durable.Write(filepath.Clean(given[0]), b); err != nil {
				return err
			}
			r, err := central.ReadRoot(b)
			if err != nil {
				return err
			}
			return a.showRoot(r)
		}}
	c.Flags().StringVar(&key, "key", "", "`file` of the root key")
	return c
}

func (a *app) rootKey() *cobra.Command {
	return &cobra.Command{Use: "key FILE", Short: "Make a root key, for one who is to keep it (needs no centre)",
		Long:    "Make a root key: FILE.key stays with its keeper, FILE.pub goes to the centre.",
		Example: `  rxedge central root key /media/usb/root-4`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			base := filepath.Clean(strings.TrimSuffix(given[0], ".key"))
			if _, err := os.Stat(base + ".key"); err == nil {
				return &refusedError{base + ".key is there already; nothing was changed"}
			}
			private, public, err := central.MakeRootKey()
			if err != nil {
				return err
			}
			if err := durable.Write(base+".key", private); err != nil {
				return err
			}
			if err := durable.Write(base+".pub", public); err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]string{"private": base + ".key", "public": base + ".pub"})
			}
			a.printf("%s.key stays with its keeper; %s.pub goes to the centre.\n", base, base)
			return nil
		}}
}

func (a *app) rootPublish(dir *string) *cobra.Command {
	var hubs []string
	var here bool
	c := &cobra.Command{Use: "publish FILE", Short: "Take a signed root into use, and give it to the hub", Example: `  rxedge central root publish root.json`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(given[0])
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			r, err := f.PublishRoot(b)
			if err != nil {
				return err
			}
			if err := a.showRoot(r); err != nil || here {
				return err
			}
			if err := a.push(c.Context(), f, hubs); err != nil {
				return fmt.Errorf("it is in use here, and the hub does not have it yet; 'rxedge central push' gives it to the hub: %w", err)
			}
			return nil
		}}
	c.Flags().BoolVar(&here, "local", false, "do not give it to the hub")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}
