package box

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/daemon/feedback"
	"rxedge/daemon/health"
	"rxedge/daemon/keyring"
	"rxedge/daemon/schema"
	"rxedge/sync/durable"
	"rxedge/sync/enroll"
	"rxedge/sync/spool"
)

// Canaries of what a folder keeps: what somebody wrote, a message that waits, a key.
const (
	canaryWords = "Quixotrimab correction of a pharmacist"
	canaryWaits = "Quixotrimab waits for the centre"
	canarySite  = "SUQUIXOTRIMABSEED"
	answersGave = 12
)

// spokenFolder is a data folder in which somebody said something, and which is a site
// with a message that waits.
func spokenFolder(t *testing.T, keyFile string) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Data, cfg.KeyFile = filepath.Join(t.TempDir(), "data"), keyFile
	b, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	var id string
	for i := range answersGave {
		a, err := b.Ask(t.Context(), answer.Question{Text: "Can metformin be started with an eGFR of 40?", Fresh: i > 0}, answer.Events{})
		if err != nil {
			t.Fatal(err)
		}
		id = a.ID
	}
	if _, _, err := b.Feedback.Add(feedback.Item{AnswerID: id, Thumb: feedback.Down, Correction: canaryWords}); err != nil {
		t.Fatal(err)
	}
	site := enroll.Identity{Site: "north-1", Channel: "stable"}
	site.Seed = canarySite
	if err := site.Save(b.syncDir(), b.keys.Files()); err != nil {
		t.Fatal(err)
	}
	sp, err := spool.Open(filepath.Join(b.syncDir(), "spool"), spool.Options{Key: b.keys.Spool()})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := sp.Put(t.Context(), spool.High, "alarm", []byte(canaryWaits)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(sp.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// holds what spokenFolder said, all of it.
func holds(t *testing.T, cfg config.Config, where string) {
	t.Helper()
	b, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer b.Close()
	rs, err := b.Feedback.Records()
	if err != nil || len(rs) != 1 || rs[0].Correction != canaryWords {
		t.Errorf("%s: feedback %+v %v", where, rs, err)
	}
	if _, given := b.Feedback.Counts(); given != answersGave {
		t.Errorf("%s: %d answers are remembered", where, given)
	}
	if tel, err := b.Telemetry(t.Context(), 24); err != nil || tel.Questions != answersGave {
		t.Errorf("%s: %d questions, %v", where, tel.Questions, err)
	}
	if n := b.cache.Stats().Answers; n != 1 {
		t.Errorf("%s: %d answers are kept", where, n)
	}
	for _, n := range []string{b.Feedback.Note(), b.telemetry.recorder.Note(), b.cache.Note()} {
		if n != "" {
			t.Errorf("%s: %s", where, n)
		}
	}
	if id, err := enroll.Load(b.syncDir(), b.keys.Files()); err != nil || id.Seed != canarySite {
		t.Errorf("%s: the site: %v", where, err)
	}
	sp, err := spool.Open(filepath.Join(b.syncDir(), "spool"), spool.Options{Key: b.keys.Spool()})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ms, err := sp.Fetch(ctx, 10)
	if err != nil || len(ms) != 3 || string(ms[2].Data) != canaryWaits {
		t.Errorf("%s: %d messages wait, %v", where, len(ms), err)
	}
}

// inClear are the files of a folder in which a canary can be read. The index is left out:
// documents are not encrypted.
func inClear(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, c := range []string{canaryWords, canaryWaits, canarySite, "Quixotrimab"} {
			if bytes.Contains(b, []byte(c)) {
				found = append(found, strings.TrimPrefix(path, dir))
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func keyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data_key")
	if err := os.WriteFile(path, []byte(keyring.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keyOf(t *testing.T, path string) []byte {
	t.Helper()
	k, err := keyring.ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A folder is encrypted, its key is rotated, the data key too, and it is decrypted again:
// each time all that was acknowledged is there, and encrypted nothing of it can be read
// in the bytes of any file.
func TestEncryption(t *testing.T) {
	t.Parallel()
	plain, first, second := "", keyFile(t), keyFile(t)
	cfg := spokenFolder(t, plain)
	if found := inClear(t, cfg.Data); len(found) < 3 {
		t.Fatalf("in the clear the canaries are in %v alone: the test looks for nothing", found)
	}
	log := slog.New(slog.DiscardHandler)
	change := func(req EncryptionRequest) EncryptionResult {
		t.Helper()
		res, err := ChangeEncryption(t.Context(), cfg, req, log, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	refused := func(file string, want *health.Condition) {
		t.Helper()
		cfg := cfg
		cfg.KeyFile = file
		before := sums(t, cfg.Data)
		b, err := Open(t.Context(), cfg, log)
		if err == nil {
			_ = b.Close()
			t.Fatal("it was opened")
		}
		if f, is := Refusal(err); !is || f.Code != want.Code {
			t.Errorf("%v, want %s", err, want.Code)
		}
		if !maps.Equal(before, sums(t, cfg.Data)) {
			t.Error("what was refused was changed")
		}
	}
	if res := change(EncryptionRequest{Do: EncryptEnable, Key: keyOf(t, first)}); res.Records < answersGave+4 || len(res.Clear) > 0 {
		t.Errorf("%+v", res)
	}
	if found := inClear(t, cfg.Data); len(found) > 0 {
		t.Fatalf("in the clear: %v", found)
	}
	refused(plain, health.KeyMissing)
	refused(second, health.KeyWrong)
	cfg.KeyFile = first
	holds(t, cfg, "encrypted")
	if _, err := ChangeEncryption(t.Context(), cfg, EncryptionRequest{Do: EncryptEnable, Key: keyOf(t, first)}, log, nil); !errors.Is(err, ErrEncryption) {
		t.Errorf("encrypted twice: %v", err)
	}
	change(EncryptionRequest{Do: EncryptRotate, Key: keyOf(t, first), New: keyOf(t, second)})
	refused(first, health.KeyWrong)
	cfg.KeyFile = second
	holds(t, cfg, "the key rotated")
	id := change(EncryptionRequest{Do: EncryptRotate, Key: keyOf(t, second), New: keyOf(t, first), Anew: true}).Keys.ID
	refused(second, health.KeyWrong)
	cfg.KeyFile = first
	holds(t, cfg, "encrypted anew")
	if found := inClear(t, cfg.Data); len(found) > 0 {
		t.Fatalf("in the clear: %v", found)
	}
	change(EncryptionRequest{Do: EncryptDisable, Key: keyOf(t, first)})
	holds(t, cfg, "decrypted, with a key") // and says so
	cfg.KeyFile = plain
	holds(t, cfg, "decrypted")
	if id == "" || keyring.Is(cfg.Data) {
		t.Error(id, "the wrapped key is still there")
	}
}

// sums of a folder's files but its lock.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == lockName {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = fmt.Sprint(len(b), string(b[:min(64, len(b))]))
		return err
	})
	return out
}

// A folder that gets a key before it keeps anything is encrypted from the beginning, and
// nothing of it is ever in the clear.
func TestEncryptedFromTheBeginning(t *testing.T) {
	t.Parallel()
	cfg := spokenFolder(t, keyFile(t))
	if found := inClear(t, cfg.Data); len(found) > 0 {
		t.Errorf("in the clear: %v", found)
	}
	holds(t, cfg, "encrypted")
	// The wrapped key goes: the stores do not pass for damaged, and nothing is begun over
	// them.
	for _, f := range keyring.Files {
		if err := os.Remove(filepath.Join(cfg.Data, f)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"", cfg.KeyFile} {
		c := cfg
		c.KeyFile = file
		_, err := Open(t.Context(), c, slog.New(slog.DiscardHandler))
		if f, is := Refusal(err); !is || f.Code != health.KeyWrong.Code {
			t.Errorf("%v", err)
		}
	}
	if es, _ := filepath.Glob(filepath.Join(cfg.Data, "*"+asideInfix+"*")); len(es) > 0 {
		t.Errorf("moved aside: %v", es)
	}
}

// A folder that is older than its key says so.
func TestKeyUnused(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Data = t.TempDir()
	for _, file := range []string{"", keyFile(t)} {
		cfg.KeyFile = file
		b, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if is := slices.ContainsFunc(b.Health().Conditions, func(f health.Finding) bool { return f.Code == health.KeyUnused.Code }); is != (file != "") {
			t.Errorf("with key %q: %v", file, is)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Killed at each step of being encrypted, decrypted, or encrypted anew: the folder opens
// with the key before or with the one after, all is there, and once it is encrypted
// nothing is left in the clear.
func TestEncryptionKilled(t *testing.T) {
	first, second := keyFile(t), keyFile(t)
	log := slog.New(slog.DiscardHandler)
	type killed struct{}
	do := func(cfg config.Config, req EncryptionRequest, at int) (steps int) {
		count := func(string) {
			if steps++; steps == at {
				panic(killed{})
			}
		}
		schema.Step, durable.Step = count, count
		defer func() {
			schema.Step, durable.Step = func(string) {}, func(string) {}
			if p := recover(); p != nil {
				if _, is := p.(killed); !is {
					panic(p)
				}
			}
		}()
		if _, err := ChangeEncryption(t.Context(), cfg, req, log, nil); err != nil {
			t.Fatal(err)
		}
		return steps
	}
	base := spokenFolder(t, "")
	encrypted := base
	encrypted.Data = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(encrypted.Data, os.DirFS(base.Data)); err != nil {
		t.Fatal(err)
	}
	do(encrypted, EncryptionRequest{Do: EncryptEnable, Key: keyOf(t, first)}, 0)
	kills := 0
	for _, c := range []struct {
		from          config.Config
		req           EncryptionRequest
		before, after string
	}{
		{base, EncryptionRequest{Do: EncryptEnable, Key: keyOf(t, first)}, "", first},
		{encrypted, EncryptionRequest{Do: EncryptRotate, Key: keyOf(t, first), New: keyOf(t, second)}, first, second},
		{encrypted, EncryptionRequest{Do: EncryptDisable, Key: keyOf(t, first)}, first, ""},
	} {
		copied := func() config.Config {
			cfg := c.from
			cfg.Data = memory(t)
			if err := os.CopyFS(cfg.Data, os.DirFS(c.from.Data)); err != nil {
				t.Fatal(err)
			}
			return cfg
		}
		steps := do(copied(), c.req, 0)
		every := max(1, steps/killsEach)
		for at := 1; at <= steps; at += every {
			cfg := copied()
			do(cfg, c.req, at)
			kills++
			where := fmt.Sprintf("%s, killed at step %d of %d", c.req.Do, at, steps)
			cfg.KeyFile = c.after
			b, err := Open(t.Context(), cfg, log)
			if err == nil {
				err = b.Close()
			} else {
				cfg.KeyFile = c.before
			}
			if err != nil {
				if _, is := Refusal(err); !is {
					t.Fatalf("%s: %v", where, err)
				}
			}
			holds(t, cfg, where)
			if found := inClear(t, cfg.Data); keyring.Is(cfg.Data) && len(found) > 0 {
				t.Errorf("%s: in the clear: %v", where, found)
			}
			_ = os.RemoveAll(cfg.Data)
		}
	}
	t.Logf("killed %d times", kills)
}

// killsEach of an operation's steps are ended at, evenly over it; all of them in
// daemon/schema, where they cost nothing.
const killsEach = 5

func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rxedge-keys-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
