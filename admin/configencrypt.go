package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/keyring"
	"rxedge/sync/durable"
)

func (a *app) configEncrypt() *cobra.Command {
	c := &cobra.Command{Use: "encrypt", Short: "Encrypt what the box keeps of questions, and the site's keys",
		Long: `Encrypt feedback, telemetry, kept answers, what waits for the centre and the site's keys
with a key that does not lie in the data folder. Documents and models are not encrypted:
for those encrypt the disk.

The key is a credential of the service named data_key (systemd can seal it to the
machine's TPM), or the file that key_file names, of mode 0600. Keep a copy of it elsewhere:
without it nothing of this can be read again.

The service has to be stopped for enable, rotate and disable. Killed at any moment the
folder is as it was or as it becomes.`,
		Example: `  rxedge config encrypt new-key /root/data_key
  rxedge config encrypt enable --key-file /root/data_key
  rxedge config encrypt status`, RunE: group}
	c.AddCommand(a.encryptNewKey(), a.encryptStatus(), a.encryptChange(box.EncryptEnable), a.encryptChange(box.EncryptRotate), a.encryptChange(box.EncryptDisable))
	return c
}

func (a *app) encryptNewKey() *cobra.Command {
	return &cobra.Command{Use: "new-key FILE", Short: "Make a key, in a new file of mode 0600",
		Long:    `Make a key of 256 random bits, in a new file that its owner alone may read. With - it is printed, for systemd-creds.`,
		Example: "  rxedge config encrypt new-key /root/data_key\n  rxedge config encrypt new-key - | systemd-creds encrypt --name=data_key - /etc/rxedge/data_key.cred",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if given[0] == "-" {
				a.printf("%s", keyring.NewKey())
				return nil
			}
			if _, err := os.Lstat(given[0]); err == nil {
				return &refusedError{given[0] + " is there already; a key that may be in use is not written over"}
			}
			if err := durable.Write(given[0], []byte(keyring.NewKey())); err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]string{"file": given[0]})
			}
			a.printf("The key is in %s. Keep a copy where the box is not.\n", given[0])
			return nil
		}}
}

// key of the flag, where it was given, or of the settings. "-" is standard input.
func (a *app) key(flag, setting string) ([]byte, error) {
	if flag == "-" {
		b, err := io.ReadAll(io.LimitReader(a.in, 1<<16))
		if err != nil {
			return nil, err
		}
		return keyring.Parse(b, "standard input")
	}
	if flag != "" && !strings.Contains(flag, "/") {
		flag = "./" + flag // a file, and no credential
	}
	if flag == "" {
		flag = setting
	}
	k, err := keyring.ReadKey(flag)
	if err == nil && k == nil {
		err = usage("name the key with --key-file; 'rxedge config encrypt new-key FILE' makes one")
	}
	return k, err
}

func (a *app) encryptChange(do box.EncryptionChange) *cobra.Command {
	var file, next string
	var anew bool
	c := &cobra.Command{Args: args(cobra.NoArgs)}
	c.Flags().StringVar(&file, "key-file", "", "`file` of the key, - for standard input (default: the setting key_file)")
	done := ""
	switch do {
	case box.EncryptEnable:
		c.Use, c.Short, done = "enable", "Encrypt a data folder", "The data folder is encrypted"
		c.Example = "  rxedge config encrypt enable --key-file /root/data_key"
	case box.EncryptDisable:
		c.Use, c.Short, done = "disable", "Decrypt a data folder", "The data folder is no longer encrypted"
		c.Example = "  rxedge config encrypt disable --key-file /root/data_key"
	case box.EncryptRotate:
		c.Use, c.Short, done = "rotate", "Give an encrypted folder another key", "The data folder has the new key; the one before opens it no more"
		c.Long = `Wrap the data key with another key, at once: what is encrypted stays as it is. With --anew
the data key is another too, and all is encrypted with it: for when somebody may have copied
the folder together with the key.`
		c.Example = "  rxedge config encrypt rotate --key-file /root/data_key --new-key-file /root/data_key.2"
		c.Flags().StringVar(&next, "new-key-file", "", "`file` of the new key")
		c.Flags().BoolVar(&anew, "anew", false, "another data key too, and encrypt everything with it")
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.settings()
		if err != nil {
			return err
		}
		req := box.EncryptionRequest{Do: do, Anew: anew}
		if req.Key, err = a.key(file, cfg.KeyFile); err != nil {
			return err
		}
		if do == box.EncryptRotate {
			if next == "" {
				return usage("name the new key with --new-key-file; 'rxedge config encrypt new-key FILE' makes one")
			}
			if req.New, err = a.key(next, ""); err != nil {
				return err
			}
		}
		if err := asOwner(cfg.Data); err != nil { // the keys are read: they may be root's
			return err
		}
		cfg.Log.Level = "warn"
		bar := a.progress()
		res, err := box.ChangeEncryption(c.Context(), cfg, req, cfg.Log.Logger(), func(p box.EncryptionProgress) { bar.set(p.Part, int64(p.Done), int64(p.Total)) })
		bar.finish()
		var held *box.HeldError
		if errors.As(err, &held) {
			return fmt.Errorf("%w; stop the service first", err)
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.print(res)
		}
		a.printf("%s", done)
		if res.Records > 0 {
			a.printf(": %d records, %s", res.Records, size(res.Bytes))
		}
		a.printf(".\n")
		for _, p := range res.Clear {
			a.note("%s was moved aside before, and is in the clear: remove it when it is not needed any more\n", p)
		}
		if do == box.EncryptEnable && cfg.KeyFile == "" && file != "" {
			a.printf("The service needs the key too: as its credential data_key, or with 'rxedge config set key_file FILE'.\n")
		}
		return nil
	}
	return c
}

func (a *app) encryptStatus() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Whether the data folder is encrypted", Example: "  rxedge config encrypt status", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]bool{"encrypted": keyring.Is(cfg.Data)})
			}
			if !keyring.Is(cfg.Data) {
				a.printf("Not encrypted.\n")
				return nil
			}
			a.printf("Encrypted: feedback, telemetry, kept answers, what waits for the centre, the site's keys.\nNot encrypted: documents, models, bundles, figures of the suite, settings.\n")
			return nil
		}}
}
