package main

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/health"
	"rxedge/daemon/supportbundle"
)

func (a *app) supportBundle() *cobra.Command {
	var dry, force bool
	c := &cobra.Command{
		Use:   "support-bundle [FILE]",
		Short: "Gather what helps to find a fault, and nothing that people typed",
		Long: `Gather what helps to find a fault into one file: versions, conditions by code,
settings, the journal of rollouts, the link, disk use, numbers, the log's lines by their
own words, what the daemon is doing. What may leave the box is named field by field;
questions, answers, feedback, documents, names that people gave and secrets are not.
The first file in it, manifest.json, lists what is in it, what each is for, what was
left out on purpose, and what could not be had.

It works beside a running daemon, with a stopped one, and with a data folder that can't
be opened. FILE is rxedge-support-TIME.tar.gz where it is not named; mode 0600.`,
		Example: `  rxedge support-bundle
  rxedge support-bundle /media/usb/support.tar.gz
  rxedge support-bundle --dry-run`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			name := "rxedge-support-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
			if len(given) == 1 {
				name = given[0]
			}
			return a.support(c.Context(), name, dry, force)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "print the manifest and write nothing")
	c.Flags().BoolVar(&force, "force", false, "replace FILE where it is there")
	return c
}

func (a *app) support(ctx context.Context, name string, dry, force bool) error {
	b, err := a.gather(ctx)
	if err != nil {
		return err
	}
	m := b.Manifest()
	if !dry {
		out, err := a.sink(name, force)
		if err != nil {
			return err
		}
		defer out.abandon()
		err = b.Write(out)
		if err == nil && out.file != nil {
			if err = out.sync(); err == nil {
				err = out.place()
			}
		}
		if err != nil {
			return out.explain(err)
		}
		if name == "-" {
			return nil
		}
		name = out.path
	}
	if a.json {
		return a.print(struct {
			File string `json:"file,omitempty"`
			supportbundle.Manifest
		}{map[bool]string{false: name}[dry], m})
	}
	rows := make([]table.Row, len(m.Files))
	for i, f := range m.Files {
		rows[i] = table.Row{f.Name, f.Size, f.What}
	}
	a.table(table.Row{"File", "Bytes", "What"}, rows)
	a.printf("\nLeft out on purpose:\n")
	for _, l := range m.LeftOut {
		a.printf("  %s: %s\n", l.What, l.Why)
	}
	if len(m.Missing) > 0 {
		a.printf("\nNot to be had from this box, which is %s:\n", m.Box)
		for _, l := range m.Missing {
			a.printf("  %s: %s\n", l.What, l.Why)
		}
	}
	if !dry {
		a.printf("\n%s is written. It holds numbers and words of rxedge's own; look into it before it leaves.\n", name)
	}
	return nil
}

// gather all that can be had.
func (a *app) gather(ctx context.Context) (*supportbundle.Bundle, error) {
	b := supportbundle.New(box.Version, "unusable", time.Now())
	p := &patient{app: a, quick: true}
	defer func() { _ = p.close() }()
	found := a.diagnoses(ctx, p)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.Add("doctor.json", supportbundle.Doctor, found)
	if p.cfgErr != nil {
		b.Missing("configuration.json", "it is not sound; its finding is in doctor.json")
	} else {
		b.AddConfiguration(p.cfg.Values(nil))
	}
	b.Add("disk.json", supportbundle.Disk, diskUse(p.cfg.Data))
	if snap, none, err := box.ReadGPU(ctx); err == nil && snap != nil {
		b.Add("cards.json", supportbundle.Cards, snap)
	} else if none != nil {
		b.Missing("cards.json", "there is no card, or no driver")
	} else {
		b.Missing("cards.json", "they can't be read")
	}
	about := aboutMachine()
	switch st := p.st.(type) {
	case *control.Client:
		b.Box("running")
		a.fromBox(ctx, b, st, about)
		if pr, err := st.Process(ctx); err == nil {
			b.AddProcess(pr)
		}
		if text, err := st.Metrics(ctx); err == nil {
			b.AddMetrics(text)
			_ = text.Close()
		}
		if page, err := st.Station(ctx); err == nil {
			b.AddTelemetry(supportbundle.TelemetryOf(page, b.Names))
		}
	case *box.Box:
		b.Box("stopped")
		a.fromBox(ctx, b, st, about)
		if page, err := st.Station(ctx); err == nil {
			b.AddTelemetry(supportbundle.TelemetryOf(page, b.Names))
		}
		for _, f := range []string{"metrics.txt", "goroutines.json", "heap.json"} {
			b.Missing(f, "no daemon runs")
		}
		a.keptLog(ctx, b)
	default:
		b.Missing("status.json", "the box can't be opened; doctor.json says why, by code")
		a.keptLog(ctx, b)
	}
	b.Add("about.json", supportbundle.About, about)
	return b, ctx.Err()
}

// diagnoses are what 'rxedge doctor --quick' finds.
func (a *app) diagnoses(ctx context.Context, p *patient) []diagnosis {
	if p.cfg, p.cfgErr = a.settings(); p.cfgErr != nil {
		data := p.cfg.Data
		p.cfg = config.Default()
		if data != "" {
			p.cfg.Data = data
		}
		if a.data != "" {
			p.cfg.Data = a.data
		}
	}
	var found []health.Finding
	by := map[string]*seen{}
	for i := range looks {
		l, s := &looks[i], &seen{}
		l.run(ctx, p, s)
		for _, f := range s.found {
			if !slices.ContainsFunc(found, func(g health.Finding) bool { return g.Code == f.Code }) {
				found = append(found, f)
			}
		}
		for _, c := range l.of {
			if by[c.Code] == nil || by[c.Code].skip != "" {
				by[c.Code] = s
			}
		}
	}
	return diagnose(p, health.Arrange(found), by, nil, func(string) bool { return true })
}

// fromBox is what a box says, open here or in its daemon.
func (a *app) fromBox(ctx context.Context, b *supportbundle.Bundle, st station, about map[string]any) {
	const failed = "the box could not say it"
	if h, err := st.Status(ctx); err == nil {
		about["profile"] = h.Profile
		b.Add("status.json", supportbundle.Status, h)
		b.Add("stops.json", supportbundle.Stops, lastStop(h))
	} else {
		b.Missing("status.json", failed)
	}
	if gs, err := st.Generations(ctx); err == nil {
		b.Add("index.json", supportbundle.Index, gs)
	} else {
		b.Missing("index.json", failed)
	}
	if rs, err := st.RolloutHistory(ctx); err == nil {
		b.Add("rollout.json", supportbundle.Rollout, rs)
	} else {
		b.Missing("rollout.json", failed)
	}
	if s, err := st.SyncStatus(ctx); err == nil {
		b.Add("sync.json", supportbundle.Sync, s)
	} else {
		b.Missing("sync.json", failed)
	}
	if es, err := st.SyncHistory(ctx); err == nil {
		b.Add("sync-history.json", supportbundle.SyncHistory, es)
	} else {
		b.Missing("sync-history.json", "this box is no site")
	}
}

// keptLog is of the daemon that ran before, as 'rxedge log' finds it.
func (a *app) keptLog(ctx context.Context, b *supportbundle.Bundle) {
	var lines []supportbundle.Line
	err := a.readLog(ctx, logQuery{level: "info", lines: supportbundle.LinesKept}, func(l logLine) error {
		attrs := map[string]string{}
		for _, x := range l.Attrs {
			attrs[x.Key] = x.Value
		}
		lines = append(lines, supportbundle.Cut(l.Time, l.Level, l.Message, attrs))
		return nil
	})
	if err != nil || len(lines) == 0 {
		b.Missing("log.jsonl", "no line of a daemon is kept")
		return
	}
	b.AddLog(lines)
}

var stopSince = regexp.MustCompile(`since ([0-9T:Z-]{20})[: ,]`)

// lastStop in fields.
func lastStop(h api.Health) map[string]any {
	out := map[string]any{"unclean": h.Unclean != ""}
	switch {
	case h.Unclean == "":
	case strings.HasPrefix(h.Unclean, "the machine went down"):
		out["kind"] = "power"
	case strings.HasPrefix(h.Unclean, "rxedged "):
		out["kind"] = "killed"
	default:
		out["kind"] = "unknown"
	}
	if m := stopSince.FindStringSubmatch(h.Unclean); m != nil {
		out["ran_since"] = m[1]
	}
	return out
}

// aboutMachine is what machine and program this is.
func aboutMachine() map[string]any {
	out := map[string]any{"rxedge": box.Version, "go": runtime.Version(), "arch": runtime.GOARCH, "cores": runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		out["kernel"] = unix.ByteSliceToString(u.Release[:])
	}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		out["memory_bytes"] = uint64(si.Totalram) * uint64(si.Unit)
	}
	if f, err := os.Open("/etc/os-release"); err == nil {
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			k, v, _ := strings.Cut(sc.Text(), "=")
			switch v = strings.Trim(v, `"`); k {
			case "ID":
				out["os"] = v
			case "VERSION_ID":
				out["os_version"] = v
			}
		}
	}
	return out
}

// diskUse of the data folder by its rooms.
func diskUse(data string) map[string]any {
	type room struct {
		Room  string `json:"room"`
		Bytes int64  `json:"bytes"`
		Files int    `json:"files"`
	}
	of := map[string]*room{}
	_ = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if d != nil && d.IsDir() && !errors.Is(err, fs.ErrNotExist) {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(data, path)
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		name, _, _ := strings.Cut(rel, string(filepath.Separator))
		if strings.Contains(name, ".damaged-") {
			name = "aside"
		}
		if !slices.Contains(supportbundle.Rooms, name) {
			name = "other"
		}
		if of[name] == nil {
			of[name] = &room{Room: name}
		}
		of[name].Files++
		if fi, err := d.Info(); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				of[name].Bytes += st.Blocks * 512
			}
		}
		return nil
	})
	rooms := []room{}
	for _, k := range sortedKeys(of) {
		rooms = append(rooms, *of[k])
	}
	return map[string]any{"free_bytes": box.DiskFree(data), "rooms": rooms}
}
