// Command rxedged is the appliance's service: it opens the data folder, starts
// the engines, and answers on loopback and on its unix socket.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/clients"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/logfile"
	"rxedge/daemon/notify"
	"rxedge/daemon/supportbundle"
	"rxedge/daemon/web"
	"rxedge/index"
	"rxedge/index/pace"
)

// Exit codes, as rxedge's.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(start(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, code, err := parse(args, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "rxedged:", err)
		return exitUsage
	}
	if code == selfTestCode {
		if err := selfTest(ctx, stdout); err != nil {
			fmt.Fprintln(stderr, "rxedged: the self-test failed:", err)
			return exitFailed
		}
		return 0
	}
	if code >= 0 {
		return code
	}
	handler := cfg.Log.Handler()
	var kept *logfile.Handler
	if cfg.Log.KeepMB > 0 && !logfile.Journalled(os.Stderr) {
		kept = logfile.New(handler, cfg.Log.Least(), int64(cfg.Log.KeepMB)<<20)
		defer kept.Close()
		handler = kept
	}
	log := slog.New(handler)
	if err := run(ctx, cfg, log, stdout, nil); err != nil {
		fmt.Fprintln(stderr, "rxedged:", err)
		if kept != nil {
			kept.Kept().Error("rxedged ended", "error", err)
		}
		if f, is := box.Refusal(err); is {
			fmt.Fprintln(stderr, "  Mend:", f.Fix)
		}
		var held *box.HeldError
		if errors.As(err, &held) {
			fmt.Fprintln(stderr, "  Another rxedged (or a running rxedge command) has it. Stop that one, or choose another folder with --data.")
		}
		return exitFailed
	}
	return 0
}

// parse reads the flags over the configuration file. A code of -1 means go on.
func parse(args []string, stdout, stderr io.Writer) (config.Config, int, error) {
	fs := flag.NewFlagSet("rxedged", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, `rxedged answers pharmacists' questions from the documents of this box.

  rxedged [--config rxedge.toml] [--data DIR] [--listen 127.0.0.1:8731]

Example:
  rxedged --data ./var

Flags:
`)
		fs.PrintDefaults()
	}
	file := fs.String("config", "", "configuration `file` (default DIR/rxedge.toml where there is one)")
	data := fs.String("data", "", "data `folder` (default $RXEDGE_DATA, ./var in a checkout, /var/lib/rxedge)")
	listen := fs.String("listen", "", "loopback `address` of the HTTP interface (default 127.0.0.1:8731)")
	check := fs.Bool("check", false, "check the configuration and exit")
	version := fs.Bool("version", false, "print the version and exit")
	self := fs.Bool("self-test", false, "answer a question in a folder of its own, and exit")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return config.Config{}, 0, nil
		}
		return config.Config{}, exitUsage, nil // the flag package has said what is wrong
	}
	if fs.NArg() > 0 {
		return config.Config{}, -1, fmt.Errorf("there is no argument %q; see rxedged --help", fs.Arg(0))
	}
	if *version {
		fmt.Fprintln(stdout, "rxedged", box.Version)
		return config.Config{}, 0, nil
	}
	if *self {
		return config.Config{}, selfTestCode, nil
	}
	if *data != "" && *file == "" {
		os.Setenv("RXEDGE_DATA", *data) // the file is looked for there
	}
	cfg, err := config.Load(*file)
	if err != nil {
		return cfg, -1, err
	}
	if *data != "" {
		cfg.Data = *data
		cfg.Given("data", config.FromFlag, "--data")
	}
	if *listen != "" {
		cfg.Listen = *listen
		cfg.Given("listen", config.FromFlag, "--listen")
	}
	if err := cfg.Check(); err != nil {
		return cfg, -1, err
	}
	if *check {
		fmt.Fprintln(stdout, "the configuration is sound")
		return cfg, 0, nil
	}
	return cfg, -1, nil
}

// run opens the box, serves until ctx ends, and closes in reverse order. ready,
// which may be nil, is called with the address once both interfaces listen.
func run(ctx context.Context, cfg config.Config, log *slog.Logger, stdout io.Writer, ready func(addr string)) error {
	began := time.Now()
	whole := log.Handler() // that keeps the log, where it is kept
	recent := supportbundle.NewRing(whole)
	log = slog.New(recent)
	pace.Process()
	manager := notify.New(log)
	manager.Patient = !onTrial()
	opened := manager.Starting("opening the data folder; what a power cut left is read again", openWithin)
	b, err := openBox(ctx, cfg, log)
	if err == nil {
		if err = b.MarkRunning(); err != nil {
			err = errors.Join(err, b.Close())
		}
	}
	opened()
	keepLog(whole, log, cfg.Data, err)
	if err != nil {
		return err
	}
	defer stop(log, "box", b.Close)
	if rep, err := b.IngestSample(ctx); errors.Is(err, index.ErrNoRoom) {
		log.Warn("the sample formulary was left out", "error", err)
	} else if err != nil {
		return fmt.Errorf("putting in the sample formulary: %w", err)
	} else if rep.Changed {
		log.Info("the sample formulary was put in; it is not for clinical use", "documents", rep.Generation.Documents)
	}

	watching, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(b.Models.ChooseProfile)
	watch.Go(func() { pace.Settle(watching) })
	watch.Go(func() { b.WatchCards(watching) })
	watch.Go(func() { b.KeepVectors(watching) })
	watch.Go(func() { b.RunRollout(watching) })
	watch.Go(func() { b.RunSuite(watching) })
	watch.Go(func() { b.RunFullPrecision(watching) })
	watch.Go(func() { b.WatchDisk(watching) })
	defer watch.Wait()
	defer unwatch()
	files := make([]clients.File, len(cfg.API.Clients))
	for i, c := range cfg.API.Clients {
		files[i] = clients.File(c)
	}
	known, err := clients.Open(cfg.Data, files, nil)
	if err != nil {
		return err
	}
	drain := &api.Drain{}
	public := api.New(api.Deps{
		Answers: b.Answers, Index: b.Index, Models: b.Models, Feedback: b.Feedback, RawCompletions: cfg.API.RawCompletions, Health: b.Health, Station: b.Station, Metrics: b.Metrics(),
		Page: web.Handler(), Timeout: time.Duration(cfg.Answer.Timeout), MaxRequestBytes: cfg.API.MaxRequestBytes, Log: log,
		Access: &api.Access{Required: cfg.API.RequireToken, Tokens: known, Rate: cfg.API.Rate, Burst: cfg.API.Burst}, Drain: drain,
	})
	tcp, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w; choose another with --listen", cfg.Listen, err)
	}
	sock, err := control.Listen(cfg.Data)
	if err != nil {
		_ = tcp.Close()
		return err
	}
	failed := make(chan error, 2)
	serve := func(name string, l net.Listener, h http.Handler) func() error {
		srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
		go func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s interface: %w", name, err)
			}
		}()
		return func() error {
			// Questions under way get ten seconds, then their connections end.
			drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := srv.Shutdown(drain); err != nil {
				return srv.Close()
			}
			return nil
		}
	}
	defer stop(log, "http", serve("http", tcp, public))
	defer stop(log, "socket", serve("socket", sock, control.Handler(b, api.Trusted(public), recent.Lines)))
	// First of all: new questions are refused, those under way get ten seconds.
	defer stop(log, "questions", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return drain.Stop(ctx)
	})

	if err := b.RunSync(ctx); err != nil {
		log.Error("the link to the centre is off until the next start", "error", err)
	}
	addr := tcp.Addr().String()
	log.Info("ready", "address", addr, "data", cfg.Data, "generation", b.Health().Generation, "took", time.Since(began).Round(time.Millisecond))
	if !manager.Enabled() { // else nobody sits before it
		greet(stdout, addr)
	}
	if ready != nil {
		ready(addr)
	}
	watch.Go(func() { manager.Watch(watching, selfProbe(cfg.Data, addr, b.Health)) })
	watch.Go(func() { confirmSchema(watching, b, log) })
	select {
	case <-ctx.Done():
		log.Info("stopping")
		manager.Stopping()
		return nil
	case err := <-failed:
		return err
	}
}

// heldFor is how long the data folder may be another's before that is an error.
const heldFor = 10 * time.Second

// openBox waits where the folder is held: a command of rxedge that found no daemon has it
// for a moment, and a script that asks 'rxedge status' until there is one has it again
// and again.
func openBox(ctx context.Context, cfg config.Config, log *slog.Logger) (*box.Box, error) {
	said := false
	for end := time.Now().Add(heldFor); ; {
		b, err := box.Open(ctx, cfg, log)
		var held *box.HeldError
		if !errors.As(err, &held) || ctx.Err() != nil || time.Now().After(end) {
			return b, err
		}
		if !said {
			said = true
			log.Info("waiting for the data folder, which another process holds", "process", held.PID, "at_most", heldFor)
		}
	}
}

// keepLog in the data folder, where nothing else does, unless that is another's.
func keepLog(whole slog.Handler, log *slog.Logger, data string, opening error) {
	h, ok := whole.(*logfile.Handler)
	var held *box.HeldError
	if !ok || errors.As(opening, &held) {
		return
	}
	if err := h.Keep(data); err != nil {
		log.Warn("no log is kept", "error", err)
	}
}

func greet(w io.Writer, addr string) {
	fmt.Fprintf(w, "\nrxedge answers on http://%s\n  Try:  bin/rxedge ask \"Can metformin be started with an eGFR of 40?\"\n  Stop with Ctrl-C.\n\n", addr)
}

func stop(log *slog.Logger, what string, f func() error) {
	began := time.Now()
	err := f()
	attrs := []any{"what", what, "took", time.Since(began).Round(time.Millisecond)}
	if err != nil {
		log.Warn("stopped with an error", append(attrs, "error", err)...)
		return
	}
	log.Info("stopped", attrs...)
}
