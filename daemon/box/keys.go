package box

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"rxedge/daemon/backup"
	"rxedge/daemon/config"
	"rxedge/daemon/health"
	"rxedge/daemon/keyring"
	"rxedge/daemon/schema"
	"rxedge/daemon/store"
	"rxedge/sync/enroll"
	"rxedge/sync/spool"
)

// openKeys of the data folder. One in which nothing was ever kept is encrypted from the
// beginning where there is a key.
func (b *Box) openKeys() error {
	key, err := keyOfConfig(b.Config)
	if err != nil {
		return err
	}
	if b.keys, err = keyring.Load(b.Config.Data, key); err != nil || b.keys != nil || key == nil {
		return err
	}
	for _, part := range append(storeNames(), filepath.Join("sync", enroll.Secrets[0])) {
		if _, err := os.Lstat(filepath.Join(b.Config.Data, part)); err == nil {
			b.keyUnused = true
			return nil
		}
	}
	now := time.Now()
	k := keyring.Make(now)
	if err := k.Write(b.Config.Data, key, now); err != nil {
		return err
	}
	b.keys = k
	return nil
}

func keyOfConfig(cfg config.Config) ([]byte, error) {
	if cfg.Key != nil {
		return cfg.Key, nil
	}
	return keyring.ReadKey(cfg.KeyFile)
}

func (b *Box) keyConditions() []health.Finding {
	if !b.keyUnused {
		return nil
	}
	return []health.Finding{health.KeyUnused.Found("a key was given, and what the folder keeps of questions and the site's keys are not encrypted")}
}

// Site that the box is, of a folder that need not be open. The error is
// enroll.ErrNotEnrolled where it is none.
func Site(cfg config.Config) (*enroll.Identity, error) {
	key, err := keyOfConfig(cfg)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.Load(cfg.Data, key)
	if err != nil {
		return nil, err
	}
	return enroll.Load(filepath.Join(cfg.Data, "sync"), keys.Files())
}

// Operations on a folder's encryption.
type EncryptionChange string

// They need the folder for themselves: no daemon runs.
const (
	EncryptEnable  EncryptionChange = "enable"
	EncryptRotate  EncryptionChange = "rotate"
	EncryptDisable EncryptionChange = "disable"
)

// EncryptionRequest asks for one.
type EncryptionRequest struct {
	Do EncryptionChange
	// Key that the folder has, or gets with enable; New is what it gets with rotate.
	Key, New []byte
	// Anew: rotate makes another data key as well, and encrypts everything with it.
	Anew bool
}

// EncryptionProgress tells how far it is.
type EncryptionProgress struct {
	Part  string
	Bytes int64
	Done  int // parts
	Total int
}

// EncryptionResult says what was done.
type EncryptionResult struct {
	Do      EncryptionChange `json:"do"`
	Records int              `json:"records"`
	Bytes   int64            `json:"bytes"`
	Took    float64          `json:"seconds"`
	// Clear are entries of the folder that hold copies in the clear.
	Clear []string        `json:"in_the_clear,omitempty"`
	Keys  *keyring.Report `json:"encryption,omitempty"`
}

// ErrEncryption: the folder is not in the state that a change begins from.
var ErrEncryption = errors.New("nothing was changed")

// storeNames are the stores that are encrypted, by their paths in the data folder.
func storeNames() []string { return []string{"feedback", "telemetry", "cache"} }

// encrypted are the parts of a data folder that are: the small stores, the spool, and
// the files that hold secrets. See keyring/DESIGN.md for what is not, and why.
func encrypted() []string {
	parts := append(storeNames(), filepath.Join("sync", "spool"))
	for _, f := range enroll.Secrets {
		parts = append(parts, filepath.Join("sync", f))
	}
	return append(parts, keyring.Files...)
}

// ChangeEncryption of a data folder that nobody has open. All is made anew beside what
// there is and then changes places with it: killed at any moment the folder is as it was
// or as it becomes, and what is over is removed by the next who opens it.
func ChangeEncryption(ctx context.Context, cfg config.Config, req EncryptionRequest, log *slog.Logger, progress func(EncryptionProgress)) (res EncryptionResult, err error) {
	began := time.Now()
	res.Do = req.Do
	if _, err := os.Stat(cfg.Data); err != nil {
		return res, err
	}
	lock, err := hold(cfg.Data)
	if err != nil {
		return res, err
	}
	defer lock.Close()
	if err := finishReset(cfg.Data, log); err != nil {
		return res, err
	}
	s, err := schema.Prepare(ctx, cfg.Data, schema.Options{Program: Version, Stores: Stores, Free: DiskFree, Log: log})
	if err != nil {
		return res, err
	}
	var old, fresh *keyring.Keys
	if req.Do != EncryptEnable || keyring.Is(cfg.Data) {
		if old, err = keyring.Load(cfg.Data, req.Key); err != nil {
			return res, err
		}
	}
	now := time.Now()
	switch {
	case req.Do == EncryptEnable && old != nil:
		return res, fmt.Errorf("the data folder is encrypted already; %w", ErrEncryption)
	case req.Do != EncryptEnable && old == nil:
		return res, fmt.Errorf("the data folder is not encrypted; %w", ErrEncryption)
	case req.Do == EncryptRotate && !req.Anew:
		// What is encrypted stays as it is: the data key alone is wrapped anew.
		if err := old.Write(cfg.Data, req.New, now); err != nil {
			return res, err
		}
		res.Keys, res.Took = old.Report(), time.Since(began).Seconds()
		return res, nil
	case req.Do == EncryptRotate:
		fresh = keyring.Make(now)
	case req.Do == EncryptEnable:
		fresh, req.New = keyring.Make(now), req.Key
	}
	parts := encrypted()
	what := map[EncryptionChange]string{EncryptEnable: "the data folder is encrypted", EncryptRotate: "the data folder is encrypted with another key", EncryptDisable: "the data folder is no longer encrypted"}[req.Do]
	err = s.Replace(ctx, what, parts, func(ctx context.Context, dir, to string) error {
		c := conversion{dir: dir, to: to, old: old, fresh: fresh}
		for i, part := range parts {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := schema.Size(filepath.Join(dir, part))
			if progress != nil {
				progress(EncryptionProgress{part, res.Bytes, i, len(parts)})
			}
			records, err := c.convert(ctx, part)
			if err != nil {
				return fmt.Errorf("%s: %w", part, err)
			}
			res.Records += records
			res.Bytes += n
		}
		if fresh != nil {
			return fresh.Write(to, req.New, now)
		}
		return nil
	})
	if err != nil {
		return res, err
	}
	if fresh != nil {
		res.Clear = inTheClear(cfg.Data)
	}
	res.Keys, res.Took = fresh.Report(), time.Since(began).Seconds()
	return res, nil
}

// inTheClear are copies that were made before the folder was encrypted.
func inTheClear(data string) (found []string) {
	for _, pattern := range []string{"*" + asideInfix + "*", "taken-back", "rollout/*" + asideInfix + "*"} {
		names, _ := filepath.Glob(filepath.Join(data, pattern))
		for _, n := range names {
			rel, _ := filepath.Rel(data, n)
			found = append(found, rel)
		}
	}
	if aside := filepath.Join(data, backup.AsideName); !keyring.Is(aside) {
		if _, err := os.Lstat(aside); err == nil {
			found = append(found, backup.AsideName)
		}
	}
	return found
}

// conversion of the parts of a folder from old keys to fresh ones.
type conversion struct {
	dir, to    string
	old, fresh *keyring.Keys
}

func (c *conversion) convert(ctx context.Context, part string) (records int, err error) {
	from, to := filepath.Join(c.dir, part), filepath.Join(c.to, part)
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return 0, err
	}
	// A store is changed by being opened, so a copy of it is.
	scratch := filepath.Join(c.to, "..", "scratch")
	if err := os.RemoveAll(scratch); err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	switch name := filepath.Base(part); part {
	case "feedback", "telemetry", "cache":
		if err := schema.Copy(from, scratch); err != nil {
			return 0, err
		}
		if records, err = store.Convert(ctx, scratch, to, c.old.Store(name), c.fresh.Store(name)); err != nil {
			return records, err
		}
		if part == "telemetry" {
			err = c.telemetryFiles(from, to)
		}
		return records, err
	case filepath.Join("sync", "spool"):
		if err := schema.Copy(from, scratch); err != nil {
			return 0, err
		}
		return spool.Convert(ctx, scratch, to, c.old.Spool(), c.fresh.Spool())
	case keyring.Files[0], keyring.Files[1]:
		return 0, nil // written at the end, where there are keys
	}
	return 1, c.file(from, to)
}

func (c *conversion) file(from, to string) error {
	b, err := c.old.Files().Read(from)
	if err != nil {
		return err
	}
	return c.fresh.Files().Write(to, b)
}

// telemetryFiles are those beside the store: the key under which questions are hashed,
// and sums of the guard's doubts, which are numbers by group.
func (c *conversion) telemetryFiles(from, to string) error {
	if _, err := os.Lstat(filepath.Join(from, "question.key")); err == nil {
		if err := c.file(filepath.Join(from, "question.key"), filepath.Join(to, "question.key")); err != nil {
			return err
		}
	}
	return schema.Copy(filepath.Join(from, "explain"), filepath.Join(to, "explain"))
}
