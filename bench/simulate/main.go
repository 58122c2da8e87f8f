// Command simulate reads reports of 'rxedge central simulate --json' of fleets of several
// sizes, prints them side by side, fits what grows with the sites, and reckons what larger
// fleets take. 'make bench-simulate' makes the reports.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"rxedge/centre/simulate"
)

func main() {
	sizes := flag.String("for", "10000,100000", "`fleets` to reckon, sites with commas between")
	flag.Parse()
	if err := run(flag.Args(), *sizes); err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

func run(paths []string, sizes string) error {
	var all []*simulate.Report
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		var r simulate.Report
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if r.Rest == nil || r.Rest.For == 0 {
			return fmt.Errorf("%s: the fleet was not measured at rest; let it run longer", p)
		}
		all = append(all, &r)
	}
	if len(all) < 2 {
		return fmt.Errorf("name reports of two fleets at least; there are %d", len(all))
	}
	slices.SortFunc(all, func(a, b *simulate.Report) int { return cmp.Compare(a.Sites, b.Sites) })
	table(all)
	m := fitted(all)
	fmt.Printf("\nThe hub's memory is %.0f MB + %.1f kB a site (greatest deviation %.1f %%). CPU seconds an hour: %.0f, %.0f per 1,000 sites at rest, and %.0f per 1,000 for their looks.\n\n", m.base/1e6, m.perSite/1e3, 100*m.off, m.idle, m.rest, m.look)
	fmt.Println("| sites | memory of the hub | of one core, steady | of one core, all back in a minute | files | sent by a day | windows a day on disk, one copy |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, s := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("-for: %q is no number of sites", s)
		}
		f := float64(n)
		fmt.Printf("| %d | %.1f GB | %.0f %% | %.0f %% | %d | %.1f GB up, %.1f down | %.0f MB |\n", n, (m.base+m.perSite*f)/1e9, 100*(m.idle+(m.rest+m.look)*f/1000)/3600, 100*m.back*f/60, n+m.files, m.up*f/1e9, m.down*f/1e9, m.disk*f/1e6)
	}
	return nil
}

// table of the reports, a column each.
func table(all []*simulate.Report) {
	row := func(what string, of func(*simulate.Report) string) {
		fmt.Printf("| %s |", what)
		for _, r := range all {
			fmt.Printf(" %s |", of(r))
		}
		fmt.Println()
	}
	row("sites", func(r *simulate.Report) string { return strconv.Itoa(r.Sites) })
	fmt.Println(strings.Repeat("|---", len(all)+1) + "|")
	row("hub's nodes", func(r *simulate.Report) string { return strconv.Itoa(r.Nodes) })
	row("hub's memory at rest, all nodes", func(r *simulate.Report) string { return fmt.Sprintf("%.0f MB", float64(r.Rest.Hub.RSS)/1e6) })
	row("the most, whenever", func(r *simulate.Report) string { return fmt.Sprintf("%.0f MB", float64(r.Most.RSS)/1e6) })
	row("above an empty one, a site", func(r *simulate.Report) string { return fmt.Sprintf("%.0f kB", r.Rest.PerSite/1e3) })
	row("files", func(r *simulate.Report) string { return strconv.Itoa(r.Rest.Hub.Files) })
	row("CPU at rest, per 1,000 sites and hour", func(r *simulate.Report) string { return fmt.Sprintf("%.0f s", r.Rest.PerHour) })
	row("of a look", maybe(func(r *simulate.Report) *simulate.Looks { return r.Looks }, func(x *simulate.Looks) string { return fmt.Sprintf("%.2f ms", x.CPU*1e3) }))
	row("update at half, 99 %, all", maybe(func(r *simulate.Report) *simulate.Spread { return r.Update }, func(x *simulate.Spread) string {
		return fmt.Sprintf("%.1f, %.1f, %.1f s", x.Half, x.P99, x.All)
	}))
	row("acknowledged p50, p95, p99", maybe(func(r *simulate.Report) *simulate.Days { return r.Days }, func(x *simulate.Days) string {
		return fmt.Sprintf("%.0f, %.0f, %.0f ms", x.P50, x.P95, x.P99)
	}))
	row("messages a second, at most", maybe(func(r *simulate.Report) *simulate.Days { return r.Days }, func(x *simulate.Days) string { return fmt.Sprintf("%.0f", x.Busiest) }))
	row("back at half, 99 %, all", maybe(func(r *simulate.Report) *simulate.Return { return r.Return }, func(x *simulate.Return) string {
		return fmt.Sprintf("%.1f, %.1f, %.1f s", x.Half, x.P99, x.All)
	}))
	row("reports taken again after", maybe(func(r *simulate.Report) *simulate.Return { return r.Return }, func(x *simulate.Return) string { return fmt.Sprintf("%.1f s", x.Taking) }))
	row("CPU of one that comes back", maybe(func(r *simulate.Report) *simulate.Return { return r.Return }, func(x *simulate.Return) string { return fmt.Sprintf("%.1f ms", x.PerSite*1e3) }))
	row("windows taken up a second", maybe(func(r *simulate.Report) *simulate.TakeUp { return r.TakeUp }, func(x *simulate.TakeUp) string { return fmt.Sprintf("%.0f", x.PerSecond) }))
	row("messages put, lost, twice", maybe(func(r *simulate.Report) *simulate.Counted { return r.Counted }, func(x *simulate.Counted) string {
		return fmt.Sprintf("%d, %d, %d", x.Put, x.Lost, x.Twice)
	}))
	row("load average", func(r *simulate.Report) string { return fmt.Sprintf("%.0f to %.0f", r.LoadLeast, r.LoadMost) })
}

// maybe is what a report says of a phase; "–": it did not come to it.
func maybe[T any](of func(*simulate.Report) *T, say func(*T) string) func(*simulate.Report) string {
	return func(r *simulate.Report) string {
		if x := of(r); x != nil {
			return say(x)
		}
		return "–"
	}
}

// model of what a fleet takes, by its sites.
type model struct {
	base, perSite, off float64 // memory: bytes, bytes a site, greatest relative deviation
	files              int     // beside one a connection
	idle, rest, look   float64 // CPU seconds of an hour: without sites, and per 1,000
	back               float64 // CPU seconds of one site that comes back
	up, down, disk     float64 // bytes of a site and day
}

// fitted memory by least squares; what is per site already is that of the largest fleet
// that came to it.
func fitted(all []*simulate.Report) (m model) {
	var xs, ys, cpu []float64
	for _, r := range all {
		xs, ys = append(xs, float64(r.Sites)), append(ys, float64(r.Rest.Hub.RSS))
		m.files = r.Rest.Base.Files
		cpu = append(cpu, r.Rest.PerHour*float64(r.Sites)/1000)
		if r.Looks != nil {
			m.look = 4000 * r.Looks.CPU
		}
		if r.Return != nil {
			m.back = r.Return.PerSite
		}
		if d := r.PerDay; d != nil {
			m.up, m.down, m.disk = d.Up, d.Down, d.Disk/float64(r.Sites*r.Nodes)
		}
	}
	m.base, m.perSite = line(xs, ys)
	m.idle, m.rest = line(xs, cpu)
	m.rest *= 1000
	for i, x := range xs {
		m.off = max(m.off, abs(ys[i]/(m.base+m.perSite*x)-1))
	}
	return m
}

// line through points with the least squares of relative errors.
func line(xs, ys []float64) (a, b float64) {
	var w, x, y, xx, xy float64
	for i := range xs {
		k := 1 / (ys[i] * ys[i])
		w, x, y, xx, xy = w+k, x+k*xs[i], y+k*ys[i], xx+k*xs[i]*xs[i], xy+k*xs[i]*ys[i]
	}
	b = (w*xy - x*y) / (w*xx - x*x)
	return (y - b*x) / w, b
}

func abs(x float64) float64 { return max(x, -x) }
