package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference/gpu"
	"rxedge/inference/llama"
)

// Outcomes of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn" // it works, worse than it could
	checkFail = "fail" // something does not work
)

// diagnosis is what one check found.
type diagnosis struct {
	Code    string `json:"code"`
	Outcome string `json:"outcome"`
	Finding string `json:"finding"`
	Fix     string `json:"fix,omitempty"`
}

// patient is what the checks look at. Each check may leave things for the next.
type patient struct {
	app *app
	cfg config.Config
	st  station
	err error // why st is nil
}

// shut is what a check says that could not look.
func (p *patient) shut() diagnosis {
	if p.err != nil {
		return fault(checkFail, "mend what it says; 'rxedge status' repeats it", "the data folder can't be opened: %v", p.err)
	}
	return fault(checkWarn, "start rxedged, or 'rxedge ingest PATH'", "there is no data folder yet")
}

// checks in the order in which a technician would look: what fails first is
// most often why the rest does.
var checks = []struct {
	code string
	run  func(context.Context, *patient) diagnosis
}{
	{"config", checkConfig},
	{"data-folder", checkData},
	{"disk", checkDisk},
	{"daemon", checkDaemon},
	{"index", checkIndex},
	{"index-current", checkIndexCurrent},
	{"quarantine", checkQuarantine},
	{"engine", checkEngine},
	{"backend", checkBackend},
	{"gpu", checkGPU},
	{"profile", checkProfile},
	{"catalog", checkCatalog},
	{"models", checkModels},
}

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, and how to mend it",
		Long: `Check the box in the order in which things depend on one another, and name for each
fault the command that mends it. Nothing is changed. Exit code 4 where a check fails.`,
		Example: `  rxedge doctor
  rxedge doctor --json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			p := &patient{app: a}
			defer func() {
				if p.st != nil {
					_ = p.st.Close()
				}
			}()
			all, failed := []diagnosis{}, 0
			for _, ch := range checks {
				d := ch.run(c.Context(), p)
				d.Code = ch.code
				all = append(all, d)
				if d.Outcome == checkFail {
					failed++
				}
				if !a.json {
					a.printf("%-5s %-14s %s\n", d.Outcome, d.Code, d.Finding)
					if d.Fix != "" {
						a.printf("%20s mend: %s\n", "", d.Fix)
					}
				}
				if err := c.Context().Err(); err != nil {
					return err
				}
			}
			if a.json {
				if err := a.print(all); err != nil {
					return err
				}
			}
			if failed > 0 {
				return &refusedError{fmt.Sprintf("%d of %d checks failed", failed, len(all))}
			}
			return nil
		},
	}
}

func ok(format string, args ...any) diagnosis {
	return diagnosis{Outcome: checkOK, Finding: fmt.Sprintf(format, args...)}
}

func fault(outcome, fix, format string, args ...any) diagnosis {
	return diagnosis{Outcome: outcome, Finding: fmt.Sprintf(format, args...), Fix: fix}
}

func checkConfig(_ context.Context, p *patient) diagnosis {
	cfg, err := p.app.settings()
	p.cfg = cfg
	if err != nil {
		p.cfg = config.Default()
		return fault(checkFail, "correct the file; 'rxedged --check' reads it again", "%v", err)
	}
	return ok("sound; answers on %s", cfg.Listen)
}

func checkData(_ context.Context, p *patient) diagnosis {
	info, err := os.Stat(p.cfg.Data)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault(checkWarn, "start rxedged, or 'rxedge ingest PATH'", "%s is not there yet", p.cfg.Data)
	case err != nil:
		return fault(checkFail, "check the path and who may read it", "%v", err)
	case !info.IsDir():
		return fault(checkFail, "name a folder with --data", "%s is no folder", p.cfg.Data)
	}
	probe, err := os.CreateTemp(p.cfg.Data, ".doctor-*")
	if err != nil {
		return fault(checkFail, "run it as root or as the service's user", "can't write to %s", p.cfg.Data)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	return ok("%s can be written", p.cfg.Data)
}

func checkDisk(ctx context.Context, p *patient) diagnosis {
	free := int64(box.DiskFree(p.cfg.Data))
	// A new generation is written beside the old one, so there must be room for
	// the index once more.
	needed := int64(folderSize(filepath.Join(p.cfg.Data, "index"))) + 64<<20
	floor, whose := int64(0), "index.disk_floor_mb"
	if f := p.cfg.Index.DiskFloorMB; f != nil {
		floor = int64(*f) * 1e6
	} else if prof, err := p.app.profileOf(ctx, p.cfg); err == nil {
		floor, whose = int64(prof.Disk.FloorGB)*1e9, "profile "+prof.Name
	}
	if free < floor+needed {
		return fault(checkFail, "make room on the disk of the data folder, or lower index.disk_floor_mb in rxedge.toml",
			"%s free; a new generation of the index needs about %s and %s are to stay free (%s)", size(free), size(needed), size(floor), whose)
	}
	return ok("%s free; a new generation of the index needs about %s, and %s are to stay free (%s)", size(free), size(needed), size(floor), whose)
}

// profileOf is the one that is configured, or that suits the machine.
func (a *app) profileOf(ctx context.Context, cfg config.Config) (profiles.Profile, error) {
	if cfg.Model.Profile != config.Auto && cfg.Model.Profile != "" {
		return profiles.Get(cfg.Model.Profile)
	}
	m, err := a.machine(ctx)
	if err != nil {
		return profiles.Profile{}, err
	}
	p, _ := profiles.Detect(m)
	return p, nil
}

func folderSize(dir string) uint64 {
	var sum uint64
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil {
				sum += uint64(i.Size())
			}
		}
		return nil
	})
	return sum
}

func checkDaemon(ctx context.Context, p *patient) diagnosis {
	if c, err := control.Dial(p.cfg.Data); err == nil {
		p.st = c
		h, err := c.Status(ctx)
		if err != nil {
			return fault(checkFail, "restart rxedged", "it does not answer: %v", err)
		}
		if h.Version != box.Version {
			return fault(checkWarn, "restart rxedged", "it runs version %s and this tool is %s", h.Version, box.Version)
		}
		return ok("answers, version %s", h.Version)
	}
	if _, err := os.Stat(p.cfg.Data); err == nil {
		st, err := p.app.open(ctx)
		var held *box.HeldError
		if errors.As(err, &held) {
			return fault(checkFail, "wait for it, or stop it", "%v, which does not answer", err)
		}
		p.st, p.err = st, err
		if err != nil {
			p.st = nil // an interface that holds nothing is not nil
		}
	}
	return fault(checkWarn, "'make run' in a checkout, 'systemctl start rxedged' where it is installed", "rxedged does not run; what follows is what the data folder holds")
}

func checkIndex(ctx context.Context, p *patient) diagnosis {
	if p.st == nil {
		return p.shut()
	}
	rep, err := p.st.Verify(ctx, nil)
	switch {
	case err != nil:
		return fault(checkFail, "'rxedge index verify' says more", "can't be verified: %v", err)
	case !rep.OK():
		return fault(checkFail, "'rxedge index rollback', or 'rxedge index rebuild'", "%s: %d faults, the first in %s: %s", rep.Generation, len(rep.Faults), rep.Faults[0].Where, rep.Faults[0].What)
	case rep.Documents == 0:
		return fault(checkWarn, "'rxedge ingest PATH'", "%s is clean and empty: every question is answered with \"not in my documents\"", rep.Generation)
	}
	return ok("%s is clean: %d documents, %d passages", rep.Generation, rep.Documents, rep.Passages)
}

func checkIndexCurrent(ctx context.Context, p *patient) diagnosis {
	if p.st == nil {
		return p.shut()
	}
	h, err := p.st.Status(ctx)
	if err != nil {
		return fault(checkFail, "restart rxedged", "%v", err)
	}
	if len(h.Degraded) > 0 {
		return fault(checkWarn, "'rxedge status' lists it all with what mends it; 'rxedge index rebuild' where the index was made otherwise", "%s", h.Degraded[0])
	}
	return ok("made as this version and these settings make it")
}

func checkQuarantine(ctx context.Context, p *patient) diagnosis {
	if p.st == nil {
		return p.shut()
	}
	q, err := p.st.Quarantined(ctx)
	if err != nil {
		return fault(checkWarn, "check the folder quarantine in the data folder", "%v", err)
	}
	if len(q) > 0 {
		return fault(checkWarn, "'rxedge index quarantine' says what is wrong with each", "%d files could not be read", len(q))
	}
	return ok("empty")
}

func checkEngine(context.Context, *patient) diagnosis {
	e, err := llama.Find()
	if err != nil {
		return fault(checkWarn, "'make engine' in a checkout, or install the package again", "llama.cpp is not installed; answers are sentences of the documents, and no model runs")
	}
	return ok("%s", e.Binary)
}

func checkBackend(ctx context.Context, _ *patient) diagnosis {
	e, err := llama.Find()
	if err != nil {
		return fault(checkWarn, "install the engine", "no engine, no backend")
	}
	_, noGPU, err := readGPU(ctx)
	if err != nil {
		noGPU = err
	}
	r, err := gpu.Engine(ctx, e.Dir, noGPU)
	if err != nil {
		return fault(checkFail, "'make engine' builds it again", "the engine does not start: %v", err)
	}
	uses := r.Uses
	if r.Variant != "" {
		uses += " (CPU code for " + r.Variant + ")"
	}
	if r.Fix != "" {
		return fault(checkWarn, r.Fix, "%s; no better one: %s", uses, r.Why)
	}
	if r.Why != "" {
		return ok("%s; no better one: %s", uses, r.Why)
	}
	return ok("%s", uses)
}

func checkGPU(ctx context.Context, _ *patient) diagnosis {
	r, _, err := readGPU(ctx)
	if err != nil {
		return fault(checkFail, "restart the machine; the driver hangs or lost its card", "%v", err)
	}
	if r.Snapshot == nil {
		return ok("none: %s", r.NoGPU) // a normal state
	}
	for _, c := range r.Cards {
		if c.Fault != "" {
			return fault(checkFail, "'rxedge gpu' says more; restart the machine", "card %d (%s): %s", c.Index, c.Name, c.Fault)
		}
	}
	return ok("%d cards, driver %s", len(r.Cards), r.Driver)
}

func checkProfile(ctx context.Context, p *patient) diagnosis {
	m, err := p.app.machine(ctx)
	if err != nil {
		return fault(checkWarn, "'rxedge gpu' says more", "the machine can't be read: %v", err)
	}
	prof, why := profiles.Detect(m)
	found := profiles.Check(prof, m)
	slices.SortStableFunc(found, func(a, b profiles.Finding) int { return strings.Compare(string(a.Level), string(b.Level)) })
	if len(found) > 0 { // "refuse" sorts before "warn"
		f, outcome := found[0], checkWarn
		if f.Level == profiles.Refuse {
			outcome = checkFail
		}
		return fault(outcome, f.Fix, "%s (%s): %s", prof.Name, why, f.What)
	}
	return ok("%s: %s", prof.Name, why)
}

func checkCatalog(ctx context.Context, p *patient) diagnosis {
	if p.st == nil {
		return p.shut()
	}
	es, err := p.st.ListModels(ctx)
	if err != nil {
		return fault(checkFail, "the message says which to remove and import again", "%v", err)
	}
	return ok("%d models", len(es))
}

func checkModels(ctx context.Context, p *patient) diagnosis {
	if p.st == nil {
		return p.shut()
	}
	es, err := p.st.ListModels(ctx)
	if err != nil {
		return fault(checkWarn, "mend the catalog", "can't be listed")
	}
	have := map[string]bool{}
	for _, e := range es {
		have[e.Name] = true
	}
	for i, ad := range p.cfg.Model.Adapters {
		if _, err := os.Stat(ad.Path); err != nil {
			return fault(checkFail, "correct its path, or take it out of rxedge.toml", "model.adapter number %d (%s): %v", i+1, ad.Name, err)
		}
	}
	for role, name := range map[string]string{"generator": p.cfg.Model.Generator, "embedder": p.cfg.Model.Embedder,
		"reranker": p.cfg.Model.Reranker, "entailer": p.cfg.Model.Entailer} {
		if role == "embedder" && (name == config.Builtin || name == config.None) {
			continue
		}
		if name != "" && name != config.Auto && !have[name] {
			return fault(checkFail, "'rxedge model import' or 'rxedge model pull "+name+"'", "model.%s names %s, which is not in the catalog", role, name)
		}
	}
	if p.cfg.Model.Generator == "" {
		return ok("no language model is configured; answers are sentences of the documents")
	}
	return ok("those configured are there")
}
