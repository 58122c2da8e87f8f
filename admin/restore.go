package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rxedge/daemon/backup"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
)

func (a *app) restore() *cobra.Command {
	var replace, withoutSecrets bool
	var passphrase string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the data folder",
		Long: `Put a backup in the place of the data folder, whole or not at all: it is read,
checked and brought to the disk beside what is there, and then swapped in; cut off at
any moment, the box has its old state or the new one. The daemon has to be stopped.
A folder that is not empty is replaced with --replace alone; what was in it is kept
until 'rxedge restore confirm', and 'rxedge restore undo' puts it back.`,
		Example: `  systemctl stop rxedged
  rxedge restore /media/usb/box.rxbackup
  systemctl start rxedged && rxedge status`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if passphrase != "" && withoutSecrets {
				return usage("--passphrase-file and --without-secrets exclude one another")
			}
			data, err := a.dataFolder()
			if err != nil {
				return err
			}
			f, total, err := a.openBackup(given[0])
			if err != nil {
				return err
			}
			defer f.Close()
			q := box.RestoreRequest{Replace: replace}
			if passphrase != "" {
				if q.Passphrase, err = a.passphrase(passphrase, false); err != nil {
					return err
				}
			}
			var head backup.Header
			q.Header = func(h backup.Header) error {
				head = h
				if h.Holds.Secrets && q.Passphrase == "" && !withoutSecrets {
					return &refusedError{"the backup has secrets: name the file with their passphrase by --passphrase-file, or leave them sealed with --without-secrets"}
				}
				if !h.Holds.Secrets && q.Passphrase != "" {
					return usage("the backup has no secrets")
				}
				return nil
			}
			bar := a.progress()
			q.Report = func(done, total int64) { bar.setBytes("restoring", done, total) }
			_ = total
			if err := asOwner(data); err != nil {
				return err
			}
			res, err := box.Restore(c.Context(), data, f, q)
			bar.finish()
			if err != nil {
				return stopFirst(err)
			}
			if a.json {
				return a.print(res)
			}
			a.printf("%s is restored from backup %s, taken %s: %s, %d documents.\n", data, res.Backup, res.Created.Local().Format(time.DateTime), printableText(res.Generation), head.Documents)
			a.showLeft(res.LeftOut)
			if head.Holds.Secrets && !res.Secrets {
				a.printf("  its secrets stayed sealed: the box is no site, and programs have no tokens\n")
				if head.Holds.Sealed {
					a.printf("  so did its feedback and its telemetry\n")
				}
			}
			if res.Config {
				a.printf("%s\n", wrap(fmt.Sprintf("The configuration of then did not lie in the data folder. It is in %s/%s: compare it with what this box has, and put it where this box reads it.", data, backup.ConfigBeside), "", lineWidth))
			}
			if res.Aside {
				a.printf("What was there is kept: 'rxedge restore confirm' removes it, 'rxedge restore undo' puts it back.\n")
			}
			a.printf("Start the daemon ('systemctl start rxedged'), then see 'rxedge status'.\n")
			return nil
		},
	}
	c.Flags().BoolVar(&replace, "replace", false, "replace what is in the data folder, and keep it aside")
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "`file` with the passphrase of the secrets, mode 0600; '-' for standard input")
	c.Flags().BoolVar(&withoutSecrets, "without-secrets", false, "leave the secrets sealed")
	c.AddCommand(a.restoreSettle("confirm", "Remove what the restore took the place of", box.ConfirmRestore, "What was there before the restore is removed."),
		a.restoreSettle("undo", "Put back what the restore took the place of", box.UndoRestore, "What was there before the restore is back; what was restored is removed."))
	return c
}

func (a *app) restoreSettle(name, short string, do func(data string) error, said string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Example: "  rxedge restore " + name, Args: args(cobra.NoArgs),
		Long: short + ". The daemon has to be stopped.",
		RunE: func(*cobra.Command, []string) error {
			data, err := a.dataFolder()
			if err != nil {
				return err
			}
			if err := asOwner(data); err != nil {
				return err
			}
			if err := do(data); err != nil {
				return stopFirst(err)
			}
			if a.json {
				return a.print(map[string]string{"done": name})
			}
			a.printf("%s\n", said)
			return nil
		}}
}

// dataFolder is where the data lies, though its configuration may be damaged.
func (a *app) dataFolder() (string, error) {
	if a.config != "" {
		cfg, err := a.settings()
		return cfg.Data, err
	}
	if a.data != "" {
		return a.data, nil
	}
	return config.DefaultData(), nil
}

// stopFirst says how to stop what holds the folder.
func stopFirst(err error) error {
	var held *box.HeldError
	if errors.As(err, &held) {
		return &refusedError{fmt.Sprintf("%v: stop it first, 'systemctl stop rxedged' where it is the service; for the time of it no question is answered", err)}
	}
	return err
}
