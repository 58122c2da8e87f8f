// Command soak lets a box live for hours: a rxedged of its own process over a real
// index, with a language model where there is an engine, is asked by every interface,
// is updated by hand and from a centre, and is made to suffer: engines killed, the
// hub gone, a generation damaged, the disk full, clients that vanish, a stop, a kill.
// Every half minute it is looked at from outside. In the end each series (memory,
// goroutines, descriptors, threads, disk by folder, p95) is judged by its slope, each
// failed request stands there with its reason, and all of it is in a file of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/bench/labels"
	"rxedge/bench/process"
	"rxedge/daemon/control"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
)

func main() {
	var o options
	flag.DurationVar(&o.lasting, "for", 2*time.Hour, "how long")
	flag.Float64Var(&o.rate, "rate", 2.5, "requests a second")
	flag.DurationVar(&o.each, "each", 30*time.Second, "between two looks at the box")
	flag.IntVar(&o.passages, "passages", 3000, "of made-up labels; the real ones come on top")
	flag.StringVar(&o.real, "data", filepath.Join("..", "shared", "data"), "folder of real labels and models; without it the sample's sentences do, and no model writes")
	flag.StringVar(&o.out, "out", "", "file for the series and the verdicts, as JSON")
	flag.StringVar(&o.bin, "bin", "", "rxedged to run; \"\": built from here")
	flag.StringVar(&o.dir, "dir", "", "folder to work in, which is kept; \"\": a temporary one")
	flag.Int64Var(&o.disk, "disk-mb", 1500, "size of the data folder's own disk, which is filled now and then; 0, or not as root: none")
	flag.IntVar(&o.warm, "warm", 9000, "answers before it begins: a box remembers its last 8,192 for what is said of them, and what fills up once is no leak")
	flag.BoolVar(&o.whole, "whole", false, "neither stop nor kill the daemon under way: one phase")
	judgeFile := flag.String("judge", "", "judge the series in this `file` of an earlier run, and do nothing else")
	flag.Parse()
	if *judgeFile != "" {
		if err := judgeAgain(*judgeFile, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench/soak:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx, o, os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench/soak:", err)
		os.Exit(1)
	case !r.OK:
		os.Exit(1)
	}
}

type options struct {
	lasting, each  time.Duration
	rate           float64
	passages       int
	real, out, bin string
	dir            string
	disk           int64
	warm           int
	whole          bool
}

const modelName = "stories260K"

// soak is one run.
type soak struct {
	options
	commit    string
	profiles  string // folder of what is live after a collection; "" where none is asked for
	data      string
	filler    string // a file that fills the disk
	ownDisk   bool
	withModel bool
	log       io.Writer

	centre    *centre
	client    *http.Client
	questions []string
	medicines []string
	times     times
	tally     *tally
	hubIsAway atomic.Bool  // the site does not reach it
	hubIsDown atomic.Bool  // nor does the centre
	killed    atomic.Int64 // when an engine last was, Unix nanoseconds
	full      atomic.Bool  // the disk, on purpose
	over      chan struct{}
	later     sync.WaitGroup // what mends a fault after a while

	version, bundles int // of the labels that change; the events' alone

	mu       sync.Mutex
	d        *process.Daemon
	phase    int
	away     []span // when the daemon was down on purpose
	ids      []string
	happened map[string]*happening
	samples  []sample
	missed   []string
}

// span of time; to is zero while it lasts.
type span struct{ from, to time.Time }

func (s *soak) logf(format string, a ...any) {
	fmt.Fprintf(s.log, time.Now().Format(time.TimeOnly)+" "+format+"\n", a...)
}

func (s *soak) daemon() (*process.Daemon, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.d, s.phase
}

// wasAway says whether the daemon was down on purpose at any time since began.
func (s *soak) wasAway(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaySince(began)
}

// awaySince is wasAway for who holds the lock.
func (s *soak) awaySince(began time.Time) bool {
	for _, a := range s.away {
		if a.to.IsZero() || a.to.After(began) {
			return true
		}
	}
	return false
}

func run(ctx context.Context, o options, stdout io.Writer) (r *report, err error) {
	s := &soak{options: o, commit: commit(), log: stdout, tally: newTally(), happened: map[string]*happening{}, over: make(chan struct{})}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 20 * time.Second}}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "rxedge-soak-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	}
	if s.bin == "" { // one of ours knows the signal; another would end of it
		if s.profiles, err = filepath.Abs(filepath.Join(s.dir, "profiles")); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(s.profiles, 0o750); err != nil {
			return nil, err
		}
		if s.bin, err = process.Build(ctx, s.dir, "./daemon", "rxedged", "-tags", "profiles"); err != nil {
			return nil, err
		}
	}
	undo, err := s.prepare(ctx)
	defer undo()
	if err != nil {
		return nil, err
	}
	if err := s.warmUp(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	s.logf("begins: %v, %.3g requests a second, a look each %v, data in %s, disk of its own: %v, language model: %v", s.lasting, s.rate, s.each, s.data, s.ownDisk, s.withModel)
	s.live(ctx, began)
	return s.report(began, stdout)
}

// prepare the disk, the documents, the model, the centre, and start the daemon for
// the first phase. undo is to be called in any case.
func (s *soak) prepare(ctx context.Context) (undo func(), err error) {
	var undos []func()
	undo = func() {
		for i := len(undos) - 1; i >= 0; i-- {
			undos[i]()
		}
	}
	disk := filepath.Join(s.dir, "disk")
	s.data, s.filler = filepath.Join(disk, "var"), filepath.Join(disk, "filler")
	if err := os.MkdirAll(disk, 0o750); err != nil {
		return undo, err
	}
	if s.disk > 0 && os.Geteuid() == 0 {
		if err := s.mount(ctx, disk); err != nil {
			s.logf("the data folder has no disk of its own, so none is filled: %v", err)
		} else {
			s.ownDisk = true
			undos = append(undos, func() {
				if err := unix.Unmount(disk, 0); err != nil {
					s.logf("unmounting %s: %v", disk, err)
				}
			})
		}
	}
	if err := os.MkdirAll(s.data, 0o750); err != nil {
		return undo, err
	}
	_, engine := llama.Find()
	stories := filepath.Join(s.real, "models", modelName)
	s.withModel = engine == nil && exists(stories)
	if err := s.configure(); err != nil {
		return undo, err
	}
	if s.centre, err = newCentre(s.dir); err != nil {
		return undo, fmt.Errorf("the centre: %w", err)
	}
	undos = append(undos, s.centre.close)
	if err := s.centre.enroll(ctx, s.data); err != nil {
		return undo, err
	}
	if err := s.start(ctx); err != nil {
		return undo, err
	}
	undos = append(undos, func() {
		d, _ := s.daemon()
		if err := d.Stop(); err != nil {
			s.logf("the daemon ended with %v", err)
		}
	})
	return undo, s.fill(ctx, stories)
}

// mount a file as the disk that the data folder lies on.
func (s *soak) mount(ctx context.Context, at string) error {
	image := filepath.Join(s.dir, "disk.img")
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(s.disk*1e6), f.Close()); err != nil {
		return err
	}
	for _, c := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, at}} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c[0], err, out)
		}
	}
	return nil
}

// configure the box: its caches are small, so that they are full soon and what
// grows after that is no cache.
func (s *soak) configure() error {
	generator := ""
	if s.withModel {
		generator = fmt.Sprintf("generator = %q\nmemory_mb = 2000\nthreads = 1\ncontext = 512\nslots = 2\n", modelName)
	}
	return os.WriteFile(filepath.Join(s.data, "rxedge.toml"), []byte(`sample = false
[log]
level = "info"
[model]
embedder = "builtin"
`+generator+`
[api]
rate = 0
[answer]
max_tokens = 24
passages = 4
[cache]
memory_mb = 4
disk_mb = 4
[index]
disk_floor_mb = 64
[sync]
spool_mb = 8
[rollout]
watch = "20s"
defer = "5s"
warm = "30s"
questions = 40
latency = "5s"
`), 0o600)
}

// fill the box with documents, and the model.
func (s *soak) fill(ctx context.Context, stories string) error {
	real, texts, err := labels.Read(filepath.Join(s.real, "labels"))
	if err != nil {
		return err
	}
	m := labels.NewMaker(texts, max(1, s.passages/labels.PassagesPerLabel))
	s.questions = labels.Questions(m, real, filepath.Join(s.real, "labels"), 1200)
	s.medicines = m.Names
	for _, r := range real {
		if n := s.medicines[len(s.medicines)-1]; n != r.Drug {
			s.medicines = append(s.medicines, r.Drug)
		}
	}
	made := filepath.Join(s.dir, "labels")
	if err := os.MkdirAll(made, 0o750); err != nil {
		return err
	}
	paths, err := m.Write(made)
	if err != nil {
		return err
	}
	if p := filepath.Join(s.real, "labels", "openfda_20drugs.jsonl"); exists(p) {
		p, _ = filepath.Abs(p)
		paths = append(paths, p)
	}
	return s.control(func(c *control.Client) error {
		if s.withModel {
			if _, err := c.ImportModel(ctx, abs(stories), catalog.ImportOptions{}, nil); err != nil {
				return err
			}
		}
		rep, err := c.Ingest(ctx, paths, nil)
		if err == nil && len(rep.Problems) > 0 {
			err = rep.Problems[0]
		}
		if err != nil {
			return err
		}
		if err := s.putAll(ctx, c); err != nil {
			return err
		}
		return s.bundle(ctx)
	})
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func abs(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}

func itoa(n int) string { return strconv.Itoa(n) }

// start the daemon for the next phase.
func (s *soak) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "rxedged.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d, err := process.Start(ctx, s.bin, s.data, process.Options{Log: log, Env: []string{"RXEDGE_PROFILES=" + s.profiles}})
	if err != nil {
		b, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, b[max(0, len(b)-2000):])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.d = d
	s.phase++
	return nil
}

// warmUp asks until the box remembers as many answers as it will.
func (s *soak) warmUp(ctx context.Context) error {
	began := time.Now()
	work := make(chan string)
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 4 {
		a := &asker{soak: s}
		wg.Go(func() {
			for q := range work {
				if _, err := a.send(ctx, http.MethodPost, "/v1/ask", map[string]any{"question": q, "mode": "extractive"}); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	for n := 0; n < s.warm && ctx.Err() == nil && failed.Load() == nil; n++ {
		work <- s.questions[n%len(s.questions)]
	}
	close(work)
	wg.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("warming up: %w", *err)
	}
	if s.warm > 0 {
		s.logf("%d answers to begin with, in %.0f s", s.warm, time.Since(began).Seconds())
	}
	return ctx.Err()
}

// restarts are the moments, as shares of the run, at which the daemon is stopped in
// good order and killed: what comes between is a phase, and judged by itself.
var restarts = []struct {
	at   float64
	kill bool
}{{0.70, false}, {0.85, true}}

// live through the run.
func (s *soak) live(ctx context.Context, began time.Time) {
	ctx, stop := context.WithDeadline(ctx, began.Add(s.lasting))
	defer stop()
	var wg sync.WaitGroup
	rnd := rand.New(rand.NewPCG(1, 7))
	wg.Go(func() { s.traffic(ctx, rnd) })
	wg.Go(func() { s.befall(ctx) })
	wg.Go(func() { s.watch(ctx) })
	for _, r := range restarts {
		if s.whole {
			break
		}
		pause(ctx, time.Until(began.Add(time.Duration(r.at*float64(s.lasting)))))
		if ctx.Err() != nil {
			break
		}
		if err := s.restart(ctx, r.kill); err != nil {
			s.logf("the daemon did not start again: %v", err)
			s.happening("restart").note("%v", err)
			stop()
		}
	}
	<-ctx.Done()
	close(s.over)
	wg.Wait()
	s.later.Wait()
}

func (s *soak) restart(ctx context.Context, kill bool) error {
	d, _ := s.daemon()
	began := time.Now()
	s.mu.Lock()
	s.away = append(s.away, span{from: began})
	s.mu.Unlock()
	how := "stopped"
	if kill {
		how = "killed"
		d.Kill()
	} else if err := d.Stop(); err != nil {
		return err
	}
	down := time.Now()
	err := s.start(ctx)
	s.mu.Lock()
	s.away[len(s.away)-1].to = time.Now()
	s.mu.Unlock()
	h := s.happening("restart")
	h.Times++
	h.Took = max(h.Took, time.Since(began).Seconds())
	h.note("%s: it took %.2f s to end, and answered %.2f s after that", how, down.Sub(began).Seconds(), time.Since(down).Seconds())
	s.logf("%s", h.Notes[len(h.Notes)-1])
	return err
}

// watch takes the samples. A daemon that ended by itself is the end.
func (s *soak) watch(ctx context.Context) {
	tick := time.NewTicker(s.each)
	defer tick.Stop()
	collected := map[int]int{} // times, by process
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		got, err := s.take(ctx)
		if err != nil {
			if ctx.Err() == nil && !s.wasAway(began.Add(-time.Second)) {
				s.missed = append(s.missed, fmt.Sprintf("%s: %v", began.Format(time.TimeOnly), err))
				s.logf("not looked at: %v", err)
			}
			continue
		}
		if n%10 == 9 && s.profiles != "" {
			collected[got.PID]++
			if got.Kept, err = s.collect(got.PID, collected[got.PID]); err != nil {
				s.logf("after a collection: %v", err)
			}
		}
		s.samples = append(s.samples, got)
		if n%10 == 0 {
			disk := int64(0)
			for _, v := range got.Disk {
				disk += v
			}
			s.logf("anon %.1f  PSS %.1f  heap %.1f MiB  goroutines %.0f  threads %d  descriptors %d  disk %.1f MiB  p95 %.1f ms  failed %d",
				float64(got.Daemon.Anon)/mib, float64(got.Daemon.PSS)/mib, got.Live/mib, got.Goroutines, got.Daemon.Threads, got.Daemon.Open(), float64(disk)/mib, got.P95, s.tally.failed())
		}
		if s.out != "" && n%10 == 9 { // what was seen outlives this process
			_ = writeJSON(s.out+".part", s.samples)
		}
	}
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// commit that the run was made of, where git knows.
func commit() string {
	b, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
