// Command answers measures what a client of rxedged gets: from a question to the
// whole extractive answer over HTTP, on an index of a hundred thousand passages,
// made anew and from the cache, and fifty questions a second for five minutes,
// while memory, goroutines and open files of the process are watched. The load
// comes from vegeta, of the Go module proxy, in a process of its own.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"rxedge/bench/labels"
	"rxedge/bench/process"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
)

// vegeta's version; it is run from its module and is none of ours.
const vegeta = "github.com/tsenart/vegeta/v12@v12.13.0"

var (
	passages = flag.Int("passages", 100_000, "of the index")
	rate     = flag.Int("rate", 50, "questions a second")
	lasting  = flag.Duration("for", 5*time.Minute, "how long they are sent")
	single   = flag.Int("questions", 2000, "that one client asks, one after another")
	embedder = flag.String("embedder", "builtin", "builtin or none")
	data     = flag.String("data", filepath.Join("..", "shared", "data", "labels"), "folder of real labels; without it the sample's sentences do")
	warm     = flag.Int("warm", 8000, "questions before the load, so that the cache in memory is as full as it gets")
	keep     = flag.String("dir", "", "folder that the index is kept in, for another run; \"\": a temporary one")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/answers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir := *keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "rxedge-answers-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	bin, err := process.Build(ctx, dir, "./daemon", "rxedged")
	if err != nil {
		return err
	}
	real, texts, err := labels.Read(*data)
	if err != nil {
		return err
	}
	m := labels.NewMaker(texts, *passages/labels.PassagesPerLabel)
	// Each kind of question has its own, so that the cache knows none of them.
	asked := labels.Questions(m, real, *data, *single+*warm+int(lasting.Seconds()+1)**rate)

	if *keep != "" { // what was answered in an earlier run is not made anew
		if err := os.RemoveAll(filepath.Join(dir, "var", "cache")); err != nil {
			return err
		}
	}
	s, err := start(ctx, bin, dir)
	if err != nil {
		return err
	}
	defer func() {
		if s != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := s.ingest(ctx, m, dir, *data); err != nil {
		return err
	}
	// As a box is on the days after: nothing of the ingest is in its memory.
	if err := s.Stop(); err != nil {
		return err
	}
	if s, err = start(ctx, bin, dir); err != nil {
		return err
	}
	anew, err := s.one(ctx, asked[:*single], false)
	if err != nil {
		return err
	}
	cached, err := s.one(ctx, asked[:*single], true)
	if err != nil {
		return err
	}
	fmt.Printf("\none client, %d questions one after another, from sending to the last byte (ms)\n", *single)
	anew.print("made anew", 60)
	cached.print("from the cache", 2)
	if *lasting < time.Second {
		return nil
	}
	var g errgroup.Group
	for half := range 2 {
		g.Go(func() error {
			for i := *single + half; i < *single+*warm; i += 2 {
				if _, err := s.one(ctx, asked[i:i+1], false); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return s.load(ctx, dir, asked[*single+*warm:])
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	return c
}

// service is a rxedged of its own process.
type service struct{ *process.Daemon }

func start(ctx context.Context, bin, dir string) (*service, error) {
	data := filepath.Join(dir, "var")
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, err
	}
	cfg := fmt.Sprintf("sample = false\n[log]\nlevel = \"warn\"\n[model]\nembedder = %q\n", *embedder)
	if err := os.WriteFile(filepath.Join(data, "rxedge.toml"), []byte(cfg), 0o600); err != nil {
		return nil, err
	}
	d, err := process.Start(ctx, bin, data, process.Options{})
	if err != nil {
		return nil, err
	}
	return &service{d}, nil
}

// ingest the made-up labels and the real ones, unless they are there.
func (s *service) ingest(ctx context.Context, m *labels.Maker, dir, real string) error {
	c, err := control.Dial(s.Data)
	if err != nil {
		return err
	}
	defer c.Close()
	h, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if h.Documents <= len(m.Names) {
		paths, err := m.Write(dir)
		if err != nil {
			return err
		}
		made := len(paths)
		for _, n := range []string{"openfda_20drugs.jsonl", "spl_adr_train.jsonl"} {
			if p := filepath.Join(real, n); exists(p) {
				p, _ = filepath.Abs(p)
				paths = append(paths, p)
			}
		}
		began := time.Now()
		rep, err := c.Ingest(ctx, paths, func(p box.IngestProgress) {
			fmt.Fprintf(os.Stderr, "\r%-60s", fmt.Sprint(p.Stage, " ", p.Done, " of ", p.Total, " ", p.Unit))
		})
		if err != nil {
			return err
		}
		if len(rep.Problems) > 0 {
			return rep.Problems[0]
		}
		fmt.Fprintln(os.Stderr)
		fmt.Printf("ingested in %.0f s\n", time.Since(began).Seconds())
		for _, p := range paths[:made] {
			if err := os.Remove(p); err != nil {
				return err
			}
		}
	}
	if h, err = c.Status(ctx); err != nil {
		return err
	}
	fmt.Printf("%d passages of %d documents, vectors searched: %v\n", h.Passages, h.Documents, h.Dense)
	return nil
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// times of answers, in milliseconds.
type times struct {
	all                 []float64
	answered, abstained int
}

func (t *times) print(what string, bar float64) {
	slices.Sort(t.all)
	at := func(p float64) float64 { return t.all[min(len(t.all)-1, int(p*float64(len(t.all))/100))] }
	verdict := "met"
	if at(95) > bar {
		verdict = "not met"
	}
	fmt.Printf("  %-15s p50 %7.2f  p95 %7.2f  p99 %7.2f  most %7.2f   (p95 wanted: %g, %s; %d answered, %d abstained)\n",
		what, at(50), at(95), at(99), t.all[len(t.all)-1], bar, verdict, t.answered, t.abstained)
}

// one client asks one question after another. With cached those that did not
// come from the cache are an error.
func (s *service) one(ctx context.Context, questions []string, cached bool) (*times, error) {
	t := &times{}
	for _, q := range questions {
		body, err := json.Marshal(map[string]string{"question": q})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/ask", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(resp.Body)
		took := time.Since(began)
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		var a struct {
			Status   string
			Cached   bool
			Fallback string
		}
		if err := json.Unmarshal(b, &a); err != nil || resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %.200s", resp.Status, b)
		}
		if a.Cached != cached || a.Fallback != "" {
			return nil, fmt.Errorf("cached %v where %v was wanted; fallback %q", a.Cached, cached, a.Fallback)
		}
		if a.Status == "answered" {
			t.answered++
		} else {
			t.abstained++
		}
		t.all = append(t.all, float64(took)/float64(time.Millisecond))
	}
	return t, nil
}

// sample of the process.
type sample struct {
	at                        time.Duration
	rss, live, goroutines, fd float64
}

func (s *service) sample(ctx context.Context, began time.Time) (out sample, err error) {
	out.at = time.Since(began)
	u, err := process.Read(s.PID, s.Data)
	if err != nil {
		return out, err
	}
	out.rss, out.fd = float64(u.Anon)/(1<<20), float64(u.Open())
	m, err := s.Metrics(ctx)
	out.live, out.goroutines = m.Live()/(1<<20), m.Goroutines()
	return out, err
}

// load sends questions at a steady rate, all different, by vegeta.
func (s *service) load(ctx context.Context, dir string, questions []string) error {
	targets, results := filepath.Join(dir, "targets.json"), filepath.Join(dir, "results.bin")
	f, err := os.Create(targets)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for _, q := range questions {
		body, _ := json.Marshal(map[string]string{"question": q})
		if err := enc.Encode(map[string]any{"method": "POST", "url": s.URL + "/v1/ask", "body": body, "header": map[string][]string{"Content-Type": {"application/json"}}}); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	attack := command(ctx, "go", "run", vegeta, "attack", "-format=json", "-targets="+targets, "-rate="+strconv.Itoa(*rate), "-duration="+lasting.String(), "-timeout=10s", "-output="+results)
	fmt.Printf("\n%d different questions a second for %v\n", *rate, *lasting)
	began := time.Now()
	if err := attack.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- attack.Wait() }()
	var samples []sample
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("vegeta: %w", err)
			}
			ended = true
		case <-tick.C:
			got, err := s.sample(ctx, began)
			if err != nil {
				return err
			}
			samples = append(samples, got)
		}
	}
	report := exec.CommandContext(ctx, "go", "run", vegeta, "report", "-type=json", results)
	report.Stderr = os.Stderr
	b, err := report.Output()
	if err != nil {
		return fmt.Errorf("vegeta: %w", err)
	}
	var r struct {
		Latencies struct {
			P50 float64 `json:"50th"`
			P95 float64 `json:"95th"`
			P99 float64 `json:"99th"`
			Max float64 `json:"max"`
		}
		Requests   int
		Throughput float64
		Success    float64
		Errors     []string
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	fmt.Printf("  %d questions, %.4g answered a second, %.5g %% of them well, p50 %.2f  p95 %.2f  p99 %.2f  most %.1f ms\n",
		r.Requests, r.Throughput, 100*r.Success, r.Latencies.P50/1e6, r.Latencies.P95/1e6, r.Latencies.P99/1e6, r.Latencies.Max/1e6)
	for _, e := range r.Errors {
		fmt.Println("  error:", e)
	}
	if len(samples) < 3 {
		return nil
	}
	fmt.Printf("  %-8s %14s %16s %12s %12s\n", "at", "memory, MiB", "live heap, MiB", "goroutines", "open files")
	for _, i := range []int{0, len(samples) / 4, len(samples) / 2, 3 * len(samples) / 4, len(samples) - 1} {
		p := samples[i]
		fmt.Printf("  %-8s %14.1f %16.1f %12.0f %12.0f\n", p.at.Round(time.Second), p.rss, p.live, p.goroutines, p.fd)
	}
	return nil
}
