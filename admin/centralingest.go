package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rxedge/centre/flow"
	"rxedge/centre/library"
)

// busFlags say where the bus is, where it is not in the command itself.
type busFlags struct {
	flow.Hub
	file string
}

func (b *busFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&b.file, "bus", "", "`file` of 'rxedge central ingest bus-config' that lets in to a bus of its own (default: one in this command)")
	fl.StringArrayVar(&b.Addresses, "hub", nil, "`address` of a NATS server with JetStream that is the bus, once for each of a cluster, where no --bus says it")
	fl.StringVar(&b.CA, "hub-ca", "", "`file` of the certificates that sign the bus's")
	fl.StringVar(&b.Cert, "hub-cert", "", "`file` of the certificate to show it")
	fl.StringVar(&b.Key, "hub-key", "", "`file` of that certificate's key")
	fl.StringVar(&b.Credentials, "hub-creds", "", "`file` of the NATS user to be there")
}

// hub is nil where the bus is in the command.
func (b *busFlags) hub() (*flow.Hub, error) {
	if b.file != "" {
		if len(b.Addresses) > 0 || b.CA+b.Cert+b.Key+b.Credentials != "" {
			return nil, usage("--bus says where the bus is and who may be there; leave out --hub and what goes with it")
		}
		access, err := flow.ReadAccess(b.file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: --bus: %w", errNotFound, err)
		}
		if err != nil {
			return nil, err
		}
		return &flow.Hub{Access: access}, nil
	}
	if len(b.Addresses) > 0 {
		if (b.Cert == "") != (b.Key == "") {
			return nil, usage("--hub-cert and --hub-key go together")
		}
		return &b.Hub, nil
	}
	if b.CA+b.Cert+b.Key+b.Credentials != "" {
		return nil, usage("--hub-ca, --hub-cert, --hub-key and --hub-creds are for --hub")
	}
	return nil, nil
}

// isIngest refuses a file that lets in workers alone.
func (b *busFlags) isIngest(h *flow.Hub) error {
	if h != nil && h.Access != nil && h.Access.Role != flow.RoleIngest {
		return usage("--bus: %s lets workers in; the ingest has a file of its own, ingest.bus", b.file)
	}
	return nil
}

// ingestChild is the command of a worker process, one of some.
func (a *app) ingestChild(b *busFlags, dir, vectors string, workers, tries int) (func() *exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"central", "ingest", "worker", "--child", "--dir", dir, "--workers", strconv.Itoa(workers), "--tries", strconv.Itoa(tries)}
	for _, f := range [][2]string{{"--vectors", vectors}, {"--data", a.data}, {"--config", a.config}} {
		if f[1] != "" {
			args = append(args, f[0], f[1])
		}
	}
	if b.file != "" {
		args = append(args, "--bus", b.file)
	}
	for _, a := range b.Addresses {
		args = append(args, "--hub", a)
	}
	for _, f := range [][2]string{{"--hub-ca", b.CA}, {"--hub-cert", b.Cert}, {"--hub-key", b.Key}, {"--hub-creds", b.Credentials}} {
		if f[1] != "" {
			args = append(args, f[0], f[1])
		}
	}
	return func() *exec.Cmd { return exec.Command(self, args...) }, nil
}

func (a *app) flowLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

const defaultTries = 5

// forever is how long a worker waits for the bus: its machine may be up before the others.
const forever = 100 * 365 * 24 * time.Hour

func (a *app) centralIngest(dir *string) *cobra.Command {
	var bus busFlags
	var o flow.Options
	var tries int
	var who, vectors string
	c := &cobra.Command{Use: "ingest [PATH...]", Short: "Take files into the centre's library",
		Long: `Take files and folders into the centre's library: whatever 'rxedge ingest' reads, archives
among them. Each document is checked; what can't be read or looks wrong is in quarantine.

Killed at any moment, the same command goes on where it was, and without a path it goes on
with what was left: nothing is lost, and nothing comes in twice. Files that are known cost
a look at each. What fails again and again is given up: 'rxedge central ingest dead' lists it.

The work is done by processes of this machine, and by those of others that run 'rxedge
central ingest worker' where --bus names a bus that all reach ('bus-config' writes one). Exit code 4: something was
refused, quarantined or given up.`,
		Example: `  rxedge central ingest labels/ dailymed.zip
  rxedge central ingest interactions.xlsx --mapping columns.toml
  rxedge central ingest                      # go on after a stop
  rxedge central ingest labels/ --bus ingest.bus   # workers of other machines join`,
		Args: args(cobra.ArbitraryArgs),
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if o.Hub, err = bus.hub(); err != nil {
				return err
			}
			switch {
			case o.Workers < 0 || o.Workers > 1024:
				return usage("--workers: %d is outside 0 to 1024", o.Workers)
			case tries < 1 || tries > 100:
				return usage("--tries: %d is outside 1 to 100", tries)
			case !slices.Contains([]int{0, 1, 3, 5}, o.Queue.Replicas):
				return usage("--replicas: 1, 3 or 5")
			case o.Queue.Replicas > 1 && o.Hub == nil:
				return usage("--replicas is for a cluster that --bus or --hub names")
			case o.Queue.Replicas == 0 && o.Hub != nil && o.Hub.Access != nil:
				o.Queue.Replicas = min(len(o.Hub.Access.Addresses), 3)
			}
			if err := bus.isIngest(o.Hub); err != nil {
				return err
			}
			if o.Paths, err = absolute(given); err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			if o.Mapping != "" {
				of, err := absolute([]string{o.Mapping})
				if err != nil {
					return fmt.Errorf("%w: %w", errNotFound, err)
				}
				if o.Mapping = of[0]; len(o.Paths) == 0 {
					return usage("--mapping goes with the tables that it is for; name them")
				}
				if _, err := flow.GivenMapping(o.Mapping); err != nil {
					return usage("--mapping: %w", err)
				}
			}
			o.Centre, o.By, o.Log, o.Worker.MaxTries = f.Dir, library.By{Who: who}, a.flowLog(), tries
			if o.Workers == 0 {
				o.Workers = runtime.GOMAXPROCS(0)
			}
			if vectors != "" {
				if o.Vectors, err = a.ingestEmbedder(c.Context(), vectors); err != nil {
					return err
				}
			}
			if o.Command, err = a.ingestChild(&bus, f.Dir, vectors, o.Workers, tries); err != nil {
				return err
			}
			show := a.ingestProgress()
			o.Progress = show.set
			sum, err := flow.Run(c.Context(), o)
			show.finish()
			if err != nil {
				if sum != nil {
					a.note("Stopped. %d documents are in the library from this run; what was begun lies on disk, and 'rxedge central ingest' goes on.\n", sum.Documents)
				}
				if errors.Is(err, flow.ErrNothing) {
					return usage("%w", err)
				}
				return err
			}
			return a.showSummary(sum)
		}}
	fl := c.Flags()
	fl.IntVar(&o.Workers, "workers", 0, "`number` of worker processes here (default: one for each processor)")
	fl.BoolVar(&o.NoWork, "no-workers", false, "start none here: there are others")
	fl.BoolVar(&o.Again, "again", false, "read also what the library has")
	fl.StringVar(&o.Mapping, "mapping", "", "`file` that says what the columns of tables are that have no FILE.map.toml beside them")
	fl.IntVar(&tries, "tries", defaultTries, "`number` of times that what fails is tried")
	fl.IntVar(&o.Queue.Replicas, "replicas", 0, "`number` of the bus's servers that keep each message (default 3 where --bus has as many, else 1)")
	fl.StringVar(&vectors, "vectors", "", "`name` of an embedder of this machine's catalog: workers that have it make the vectors that publish --vectors takes")
	fl.StringVar(&who, "as", whoami(), "`name` of who does it, for the record")
	bus.register(c)
	c.AddCommand(a.ingestWorker(dir), a.ingestDead(dir), a.ingestRetry(dir), a.ingestBusConfig(dir), a.ingestBus())
	return c
}

// showSummary prints what came of a run.
func (a *app) showSummary(s *flow.Summary) error {
	if a.json {
		if err := a.print(s); err != nil {
			return err
		}
	} else {
		a.printf("Run %s: %s of %s: %d new, %d unchanged, %d quarantined; %d refused, %d given up.\n", s.ID, amount(s.Documents, "document"), amount(s.Sources, "file"), s.New, s.Unchanged, s.Quarantined, s.Refused, s.Dead)
		if s.Known > 0 {
			a.printf("Known, and as before: %s.\n", amount(s.Known, "file"))
		}
		if s.Vectors > 0 {
			a.printf("Vectors of %s were made.\n", amount(s.Vectors, "passage"))
		}
		if s.Bare > 0 {
			a.printf("Without vectors: %s; no worker had the embedder, or it failed. Publish makes them.\n", amount(s.Bare, "document"))
		}
		for _, why := range sortedKeys(s.Why) {
			a.printf("  %5d  %s\n", s.Why[why], why)
		}
		if s.Alert {
			a.printf("Over one in a hundred was held back: nothing of this run is published until a person approves the run.\n")
		}
		took := time.Duration(s.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
		if s.PerSecond >= 1 {
			a.printf("It took %s: %.0f documents a second.\n", took, s.PerSecond)
		} else {
			a.printf("It took %s.\n", took)
		}
		if s.Quarantined+s.Refused > 0 {
			a.printf("'rxedge central quarantine list' shows what is held back, and why.\n")
		}
	}
	if n := s.Quarantined + s.Refused + s.Dead; n > 0 {
		return &refusedError{amount(n, "document") + " held back"}
	}
	return nil
}

// ingestShow shows how far a run is: as a bar, or, where nobody looks, as a line now and then.
type ingestShow struct {
	a    *app
	bar  *progress
	next time.Time
	live bool
}

// betweenLines of progress, where output is no terminal.
const betweenLines = 30 * time.Second

func (a *app) ingestProgress() *ingestShow {
	f, ok := a.err.(*os.File)
	return &ingestShow{a: a, bar: a.progress(), next: time.Now().Add(betweenLines), live: ok && term.IsTerminal(int(f.Fd()))}
}

func (s *ingestShow) set(p flow.Progress) {
	left := "time left not known yet"
	if p.SecondsFor >= 0 {
		left = "about " + (time.Duration(p.SecondsFor) * time.Second).String() + " left"
	}
	text := fmt.Sprintf("%d of %d files fetched, %d units to read, %d documents in, %d/s, %s", p.FilesDone, p.Files, p.ToRead, p.Documents, p.PerSecond, left)
	if s.live {
		s.bar.setBytes("ingest", p.BytesDone, max(p.Bytes, 1))
		if s.bar.bar != nil {
			s.bar.bar.Describe(text)
		}
		return
	}
	if now := time.Now(); !s.a.json && now.After(s.next) {
		s.next = now.Add(betweenLines)
		s.a.note("%s\n", text)
	}
}

func (s *ingestShow) finish() { s.bar.finish() }

func (a *app) ingestWorker(dir *string) *cobra.Command {
	var bus busFlags
	var child bool
	var workers, tries int
	var vectors string
	c := &cobra.Command{Use: "worker", Short: "Work for a run that is under way, here or on another machine",
		Long:    "Work for a run that is under way: in the folder of this centre, or on the bus that --bus names,\nfor which nothing but that file is needed. It waits where there is nothing to do. Ctrl-C ends it.",
		Example: `  rxedge central ingest worker --bus worker.bus --workers 16`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			hub, err := bus.hub()
			if err != nil {
				return err
			}
			connect := func() (*nats.Conn, error) {
				if hub != nil && child {
					// Whoever started it has reached the bus: it will come back.
					return hub.Connect("worker", nats.RetryOnFailedConnect(true))
				}
				if hub != nil {
					told := false
					return hub.Reach(c.Context(), "worker", forever, func(err error) {
						if !told {
							a.note("%v; it is tried again until it answers.\n", err)
						}
						told = true
					})
				}
				return flow.Dial(flow.Folder(centreDir(*dir)), "worker")
			}
			if workers <= 0 {
				workers = runtime.GOMAXPROCS(0)
			}
			if child {
				o := flow.WorkerOptions{MaxTries: tries, Log: a.flowLog()}
				if vectors != "" {
					var stop func()
					if o.Vectors, stop, err = a.ingestEmbedding(c.Context(), vectors, workers); err != nil {
						return err
					}
					defer stop()
				}
				return flow.ServeWorker(c.Context(), connect, o, a.in, a.out)
			}
			if vectors != "" {
				if _, err := a.ingestEmbedder(c.Context(), vectors); err != nil {
					return err // before the workers say it again and again
				}
			}
			nc, err := connect()
			if err != nil {
				return err
			}
			defer nc.Close()
			command, err := a.ingestChild(&bus, centreDir(*dir), vectors, workers, tries)
			if err != nil {
				return err
			}
			a.note("%d workers wait for work; Ctrl-C ends them.\n", workers)
			return flow.Work(c.Context(), nc, workers, command, a.flowLog())
		}}
	fl := c.Flags()
	fl.BoolVar(&child, "child", false, "be one of the workers")
	_ = fl.MarkHidden("child")
	fl.IntVar(&workers, "workers", 0, "`number` of processes (default: one for each processor)")
	fl.IntVar(&tries, "tries", defaultTries, "`number` of times that what fails is tried")
	fl.StringVar(&vectors, "vectors", "", "`name` of an embedder of this machine's catalog: make vectors where the run wants those of it")
	bus.register(c)
	return c
}

// deadLetter is one as 'dead --json' prints it.
type deadLetter struct {
	Key    string    `json:"key"`
	Run    string    `json:"run"`
	File   string    `json:"file"`
	Place  string    `json:"place,omitempty"`
	SHA256 string    `json:"sha256,omitempty"`
	Stage  string    `json:"stage"`
	Reason string    `json:"reason"`
	Tries  int       `json:"tries"`
	At     time.Time `json:"at"`
	Kept   bool      `json:"kept"`
}

func (a *app) ingestDead(dir *string) *cobra.Command {
	var bus busFlags
	c := &cobra.Command{Use: "dead", Short: "List what was given up",
		Long:    "List what was given up after it failed again and again: at which stage, why, and whether its\ncontent was kept, so that 'retry' can send it again.",
		Example: `  rxedge central ingest dead --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withQueue(c, dir, &bus, func(q *flow.Queue) error {
				dead, err := q.DeadLetters(c.Context())
				if err != nil {
					return err
				}
				list, rows := []deadLetter{}, []table.Row{}
				for _, d := range dead {
					l := deadLetter{d.Key, d.Run, d.Source.Name, d.Source.Place, d.Source.SHA256, string(d.Stage), d.Reason, d.Tries, d.At, d.Kept}
					list = append(list, l)
					name := l.File
					if l.Place != "" {
						name += " " + l.Place
					}
					rows = append(rows, table.Row{l.Key[:12], name, l.Stage, l.Reason, l.Tries, l.At.Local().Format(time.DateTime)})
				}
				if a.json {
					return a.print(list)
				}
				if len(rows) == 0 {
					a.printf("Nothing was given up.\n")
					return nil
				}
				a.table(table.Row{"key", "file", "stage", "reason", "tries", "when"}, rows)
				return nil
			})
		}}
	bus.register(c)
	return c
}

func (a *app) ingestRetry(dir *string) *cobra.Command {
	var bus busFlags
	var all, forget bool
	c := &cobra.Command{Use: "retry [KEY...]", Short: "Send again what was given up",
		Long:    "Send again what was given up, by the keys that 'dead' lists, or their beginnings. The run that is\nunder way takes it up, else 'rxedge central ingest' does. With --forget it is thrown away.",
		Example: "  rxedge central ingest retry --all && rxedge central ingest",
		RunE: func(c *cobra.Command, given []string) error {
			if all == (len(given) > 0) {
				return usage("name keys, or --all")
			}
			return a.withQueue(c, dir, &bus, func(q *flow.Queue) error {
				dead, err := q.DeadLetters(c.Context())
				if err != nil {
					return err
				}
				keys, err := letters(dead, given)
				if err != nil {
					return err
				}
				do, did := q.Retry, "sent again; where no run is under way, 'rxedge central ingest' takes it up"
				if forget {
					do, did = q.Forget, "thrown away"
				}
				for _, k := range keys {
					if err := do(c.Context(), k); err != nil {
						return err
					}
				}
				if a.json {
					return a.print(map[string]any{"keys": keys, "forgotten": forget})
				}
				a.printf("%d %s.\n", len(keys), did)
				return nil
			})
		}}
	fl := c.Flags()
	fl.BoolVar(&all, "all", false, "all of it")
	fl.BoolVar(&forget, "forget", false, "throw it away instead")
	bus.register(c)
	return c
}

// letters are the keys of the letters that given names; all where it names none.
func letters(dead []flow.Dead, given []string) ([]string, error) {
	keys := []string{}
	for _, d := range dead {
		if len(given) == 0 {
			keys = append(keys, d.Key)
		}
	}
	for _, g := range given {
		var found []string
		for _, d := range dead {
			if len(g) >= 4 && len(g) <= len(d.Key) && d.Key[:len(g)] == g {
				found = append(found, d.Key)
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("%s: %w", g, flow.ErrNoLetter)
		case 1:
			keys = append(keys, found[0])
		default:
			return nil, usage("%s is the beginning of %d keys; give more of it", g, len(found))
		}
	}
	return keys, nil
}

func (a *app) withQueue(c *cobra.Command, dir *string, bus *busFlags, do func(*flow.Queue) error) error {
	hub, err := bus.hub()
	if err == nil {
		err = bus.isIngest(hub)
	}
	if err != nil {
		return err
	}
	f, err := a.centre(*dir)
	if err != nil {
		return err
	}
	q, stop, err := flow.Open(c.Context(), f.Dir, hub)
	if err != nil {
		return err
	}
	defer stop()
	return do(q)
}
