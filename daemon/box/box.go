// Package box opens a data folder and holds what lives in it: the index, the
// catalog of models, the engines and the answering service. rxedged runs one,
// and rxedge opens one itself where no daemon holds the folder.
package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/answer"
	"rxedge/daemon/backup"
	"rxedge/daemon/cache"
	"rxedge/daemon/clock"
	"rxedge/daemon/config"
	"rxedge/daemon/feedback"
	"rxedge/daemon/health"
	"rxedge/daemon/keyring"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/catalog"
	"rxedge/inference/support"
)

// Version of rxedge; a release is built with -ldflags "-X rxedge/daemon/box.Version=…".
var Version = "0.1.0"

// HeldError says that another process holds the data folder.
type HeldError struct {
	Data string
	PID  int
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the data folder %s is held by process %d", e.Data, e.PID)
}

// Box is one open data folder. Safe for concurrent use.
type Box struct {
	Config     config.Config
	Index      *index.Index
	Catalog    *catalog.Catalog
	Models     *Models
	Answers    *answer.Service
	Quarantine *document.Quarantine
	Feedback   *feedback.Store

	log     *slog.Logger
	lock    *os.File
	started time.Time
	ingest  sync.Mutex   // one ingest at a time
	aside   string       // where an index lies that was damaged beyond use; "": there is none
	unclean string       // how the stop before was not clean; "": it was
	held    health.Watch // since when conditions hold
	kills   int64        // of the kernel for want of memory, before this start; -1: not told
	newest  newest       // label
	marked  bool         // the marker of a running daemon is ours

	schema    schemaOf
	keys      *keyring.Keys // nil: the folder is not encrypted
	keyUnused bool          // a key was given, and the folder is not encrypted

	clock *clock.Clock
	room  room

	cache               *cache.Cache // nil: none
	generator, embedder string       // the configured models; "": none
	reembedding         atomic.Pointer[index.Progress]
	cards               cards
	metrics             *metrics
	sync                syncing
	telemetry           *watching
	rollout             rolling
	full                fullPrecision
	static              static
	copying             copying
	restored            *backup.Restored // which backup the folder is from; nil: none
}

// Open takes the data folder for this process and opens what is in it. The
// error is a *HeldError where another process has it.
func Open(ctx context.Context, cfg config.Config, log *slog.Logger) (b *Box, err error) {
	b = &Box{Config: cfg, log: log, started: time.Now(), kills: memoryKills("/"), clock: clock.Open("", builtAt(), nil, log)}
	b.sync.news = make(chan struct{}, 1)
	defer func() {
		if err != nil {
			_ = b.Close()
		}
	}()
	if err := os.MkdirAll(cfg.Data, 0o750); err != nil {
		return b, fmt.Errorf("making the data folder: %w", err)
	}
	if b.lock, err = hold(cfg.Data); err != nil {
		return b, err
	}
	b.giveUpReserve() // where there is too little room to open what follows
	if err := b.finishRestore(); err != nil {
		return b, err
	}
	if err := finishReset(cfg.Data, log); err != nil {
		return b, err
	}
	b.clock = clock.Open(filepath.Join(cfg.Data, clockName), builtAt(), Clocks, log)
	b.unclean = readMarker(cfg.Data, bootID())
	if err := b.openSchema(ctx); err != nil {
		return b, err
	}
	if err := b.openKeys(); err != nil {
		return b, err
	}
	if b.Catalog, err = catalog.Open(filepath.Join(cfg.Data, "models")); err != nil {
		return b, fmt.Errorf("opening the catalog of models: %w", err)
	}
	if b.Quarantine, err = document.OpenQuarantine(cfg.Data, 0); err != nil {
		return b, err
	}
	if err := b.openTelemetry(); err != nil {
		return b, err
	}
	if b.Feedback, err = feedback.Open(filepath.Join(cfg.Data, "feedback"), feedback.Options{Now: b.clock.Now, Log: log, Key: b.keys.Store("feedback"), Said: func(i feedback.Item) {
		b.said(i)
		b.triedFeedback(i)
	}}); err != nil {
		return b, err
	}
	if n := b.Feedback.Note(); n != "" {
		log.Warn("feedback", "note", n)
	}
	b.Models = newModels(b.Catalog, cfg.Model, cfg.Data, log)
	b.Models.files = b.filePath
	b.Catalog.Room = b.roomForModel
	b.generator, b.embedder = b.Models.use[catalog.Generator], b.Models.use[catalog.Embedder]
	b.cache = openCache(cfg, b.clock.Now, b.keys.Store("cache"), log)
	opt := index.Options{Logger: log}
	if b.embedder != "" {
		if opt, err = b.Models.embedding(ctx, b.embedder); err != nil {
			// Search by words goes on; status says what is missing.
			log.Warn("searching without vectors", "embedder", b.embedder, "error", err)
		}
		opt.Logger = log
		if opt.Embedder != nil && b.cache != nil && b.embedder != config.Builtin { // which is as quick as the cache
			opt.Embedder = remembering{opt.Embedder, b.cache, opt.EmbedderInfo.SHA256}
		}
	}
	if b.embedder == config.Builtin {
		opt.Others = b.static.of(cfg.Data)
	}
	opt.DiskFloor, opt.DiskBudget, opt.MakeRoom, opt.Now = b.diskFloor, b.indexBudget, b.makeRoom, b.clock.Now
	if err := b.openIndex(opt); err != nil {
		return b, err
	}
	for _, n := range b.Index.Notes() {
		log.Warn("index", "note", n)
	}
	b.Answers = &answer.Service{Index: b.Index, ShortPath: cfg.Answer.ShortPath, Passages: cfg.Answer.Passages, MaxTokens: cfg.Answer.MaxTokens, Log: log,
		StaleAfter: time.Duration(cfg.Answer.StaleAfter), StaleAbstains: cfg.Answer.Stale == "abstain", GuardAbstains: cfg.Answer.Guard == "abstain", Cohorts: cfg.Telemetry.Cohorts}
	b.Answers.Reranker, b.Answers.Entailer, b.Answers.Relevance = b.Models.Order, b.Models.Judge, support.Builtin()
	b.Answers.Embedder, b.Answers.Vectors = opt.EmbedderInfo, b.embedder != ""
	b.Answers.Retreat, b.Answers.Retreated, b.Answers.Lost = b.retreat, b.Index.Retreated, b.lost
	if b.cache != nil {
		b.Answers.Cache = b.cache
	}
	b.openFullPrecision()
	b.metrics = newMetrics(b)
	b.Answers.Observe, b.Answers.Now = b.observe, b.clock.Now
	b.Answers.Serving = b.serving
	if err := b.openSync(); err != nil {
		// Questions are answered all the same.
		b.sync.note = "the link to the centre is off: " + err.Error()
		log.Error("sync is off", "error", err)
	}
	if err := b.openRollout(ctx); err != nil {
		return b, err
	}
	b.telemetry.recorder.Start()
	return b, nil
}

// observe counts an answer and remembers its id, so that feedback on it is taken.
func (b *Box) observe(ctx context.Context, q answer.Question, a *answer.Answer, err error) {
	b.metrics.observe(a, err)
	b.observeNumbers(a, err)
	if by, ok := answer.ServingOf(ctx).(*question); !ok || by.challenge == nil { // a challenger's is its trial's alone
		b.watched(by, a, err)
	}
	b.tried(ctx, q, a, err)
	b.sample(ctx, q, a, err)
	if err == nil {
		b.Feedback.Gave(feedback.GivenOf(a, b.clock.Now()))
	}
}

// Close stops the engines and closes the folder, in reverse order of Open.
func (b *Box) Close() error {
	b.copying.close()
	errs := []error{b.closeSync()}
	if b.Answers != nil {
		b.Answers.Wait() // for those whose askers went away
	}
	errs = append(errs, b.closeRollout())
	if b.telemetry != nil {
		b.telemetry.anchors.made.Wait()
	}
	if b.Index != nil {
		errs = append(errs, b.Index.Close())
	}
	if b.Models != nil {
		errs = append(errs, b.Models.Close())
	}
	if b.cache != nil {
		errs = append(errs, b.cache.Close())
	}
	if b.Feedback != nil {
		errs = append(errs, b.Feedback.Close())
	}
	if b.telemetry != nil {
		b.telemetry.why.Close()
		errs = append(errs, b.telemetry.recorder.Close())
	}
	if errors.Join(errs...) == nil {
		errs = append(errs, b.unmark())
	}
	if b.lock != nil {
		errs = append(errs, b.lock.Close()) // the lock goes with the descriptor
	}
	return errors.Join(errs...)
}

// diskFloor in bytes, of the configuration or else of the profile.
func (b *Box) diskFloor() int64 {
	if f := b.Config.Index.DiskFloorMB; f != nil {
		return int64(*f) * 1e6
	}
	return int64(b.Models.chosen().profile.Disk.FloorGB) * 1e9
}

// hold takes the folder's lock and writes who holds it.
func hold(data string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(data, lockName), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("taking the data folder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	// A child that is being forked holds a copy of a lock that was just given
	// up, until it runs its own program; so does a command that is ending.
	for wait := 5 * time.Millisecond; errors.Is(err, unix.EWOULDBLOCK) && wait < 300*time.Millisecond; wait *= 2 {
		time.Sleep(wait)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		b, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			return nil, &HeldError{Data: data, PID: pid}
		}
		return nil, fmt.Errorf("taking the data folder: %w", err)
	}
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("taking the data folder: %w", err)
	}
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, nil
}
