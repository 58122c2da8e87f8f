package box

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/clients"
	"rxedge/daemon/config"
	"rxedge/daemon/health"
	"rxedge/daemon/schema"
	"rxedge/daemon/suite"
	"rxedge/daemon/telemetry"
)

// folder of an earlier commit, unpacked.
func earlierFolder(t *testing.T, name string) config.Config {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			b, rerr := io.ReadAll(r)
			err = errors.Join(rerr, os.WriteFile(path, b, h.FileInfo().Mode().Perm()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.Default()
	cfg.Data, cfg.Sample = dir, false
	return cfg
}

// Folders that earlier commits left, each with three documents of which one was replaced,
// a question and feedback on its answer: opened by this program all of it is there.
//
// folder-index3.tgz is of 1a86bf9 (index format 3, feedback), folder-telemetry1.tgz of
// e7ec0a2 (index format 4, windows of schema 1, explanations, a run of the suite, a
// client's token, the rollout's journal).
func TestEarlierFolders(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		correction       string
		runs, tokens     int
		indexed, counted bool
	}{
		"folder-index3.tgz":     {"the label says more about zorvexine", 0, 0, true, false},
		"folder-telemetry1.tgz": {"as the label says", 1, 1, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := earlierFolder(t, name)
			log := slog.New(slog.DiscardHandler)
			if want.counted { // by the clock of those days: windows are folded as they age
				r, err := telemetry.Open(filepath.Join(cfg.Data, "telemetry"), telemetry.Options{Now: func() time.Time { return time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC) }})
				if err != nil {
					t.Fatal(err)
				}
				ws, err := r.Hours(time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
				if err != nil || len(ws) != 1 || ws[0].Questions != 12 || ws[0].Slices[telemetry.Cohort]["18-64"].N != 12 {
					t.Errorf("%d windows, %v", len(ws), err)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			for start := range 3 {
				b, err := Open(t.Context(), cfg, log)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.MarkRunning(); err != nil {
					t.Fatal(err)
				}
				if err := b.ConfirmSchema(); err != nil {
					t.Fatal(err)
				}
				if n := b.Index.Stats().Generation.Documents; n != 3 {
					t.Errorf("%d documents: %v", n, b.Index.Notes())
				}
				for q, text := range map[string]string{"What is the starting dose of zorvexine?": "50 mg", "Can kelmaprol be taken with grapefruit juice?": "grapefruit"} {
					a, err := b.Ask(t.Context(), answer.Question{Text: q, Fresh: true}, answer.Events{})
					if err != nil || len(a.Claims) == 0 || !strings.Contains(a.Claims[0].Text, text) {
						t.Errorf("%s: %+v %v", q, a, err)
					}
				}
				rs, err := b.Feedback.Records()
				if err != nil || len(rs) != 1 || rs[0].Correction != want.correction {
					t.Errorf("feedback: %+v %v", rs, err)
				}
				runs, damaged, err := suite.OpenStore(filepath.Join(cfg.Data, "suite")).Runs()
				if err != nil || len(damaged) > 0 || len(runs) != want.runs {
					t.Errorf("suite: %d %v %v", len(runs), damaged, err)
				}
				if names, err := clients.List(cfg.Data); err != nil || len(names) != want.tokens {
					t.Errorf("tokens: %v %v", names, err)
				}
				h := b.Health()
				if kept := len(h.Layout.Kept) > 0; kept != (want.indexed && start < 2-1) {
					t.Errorf("start %d: %+v", start, h.Layout)
				}
				if h.Layout.Version != schema.Version || slices.ContainsFunc(h.Conditions, func(f health.Finding) bool { return f.Severity >= health.Error }) {
					t.Errorf("%+v", h.Conditions)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
