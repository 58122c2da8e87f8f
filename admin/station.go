package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/daemon/feedback"
	"rxedge/daemon/keyring"
	"rxedge/daemon/rollout"
	"rxedge/daemon/suite"
	"rxedge/daemon/telemetry"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/catalog"
	"rxedge/sync/bundle"
)

// station is a box, reached through the daemon or opened here.
type station interface {
	Ask(context.Context, answer.Question, answer.Events) (*answer.Answer, error)
	Examine(context.Context, answer.Question, answer.Events) (*answer.Answer, error)
	Bench(context.Context, box.BenchRequest, func(box.BenchProgress)) (box.BenchReport, error)
	Search(context.Context, index.Query) (index.Result, error)
	Document(ctx context.Context, id string) (*document.Document, error)
	Documents(context.Context) ([]index.DocumentSummary, error)
	Section(ctx context.Context, id string) (index.SectionRef, error)
	Stats(context.Context) (index.Stats, error)
	Generations(context.Context) ([]index.GenerationInfo, error)
	Verify(context.Context, func(index.Progress)) (index.Report, error)
	Rebuild(context.Context, func(index.Progress)) (index.ApplyResult, error)
	Reembed(context.Context, func(index.Progress)) (index.ApplyResult, error)
	Compact(context.Context, func(index.Progress)) (index.ApplyResult, error)
	Disk(context.Context) (box.DiskReport, error)
	CollectDisk(context.Context, box.CollectRequest) (box.CollectReport, error)
	Rollback(context.Context) (index.GenerationInfo, error)
	IngestMapped(context.Context, []string, string, func(box.IngestProgress)) (box.IngestReport, error)
	Withdraw(context.Context, []string, func(box.IngestProgress)) (box.IngestReport, error)
	Quarantined(context.Context) ([]document.Quarantined, error)
	ForgetQuarantined(ctx context.Context, id string) (int, error)
	ImportModel(context.Context, string, catalog.ImportOptions, func(done, total int64)) (catalog.Entry, error)
	ListModels(context.Context) ([]catalog.Entry, error)
	RemoveModel(ctx context.Context, name string) error
	AddFeedback(context.Context, feedback.Item) (feedback.Record, error)
	FeedbackSummary(context.Context) (feedback.Summary, error)
	FeedbackRecords(ctx context.Context, text bool) ([]feedback.Record, error)
	RemoveFeedback(ctx context.Context, before time.Time) (int, error)
	Telemetry(ctx context.Context, hours int) (box.Telemetry, error)
	Slow(ctx context.Context, hours int) ([]telemetry.Trace, error)
	Suite(context.Context, box.SuiteRequest, func(box.SuiteProgress)) (suite.Run, error)
	SuiteHistory(context.Context) (box.SuiteHistory, error)
	SuiteLedger(context.Context) (box.SuiteLedger, error)
	SuiteTouch(context.Context, suite.Touch) error
	Enroll(ctx context.Context, file []byte) (string, error)
	SyncStatus(context.Context) (box.SyncStatus, error)
	SyncPull(ctx context.Context, retry bool, progress func(box.IngestProgress)) (bundle.Result, error)
	SyncHistory(context.Context) ([]bundle.Event, error)
	RolloutStatus(context.Context) (box.RolloutStatus, error)
	RolloutHistory(context.Context) ([]rollout.Record, error)
	RolloutDo(context.Context, box.RolloutRequest) (rollout.Entry, error)
	ImportBundle(ctx context.Context, path string, progress func(box.IngestProgress)) (bundle.Result, error)
	Status(context.Context) (api.Health, error)
	io.Closer
}

var (
	_ station = (*box.Box)(nil)
	_ station = (*control.Client)(nil)
)

// open reaches the daemon where one answers, and opens the folder otherwise.
func (a *app) open(ctx context.Context) (station, error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	if c, err := control.Dial(cfg.Data); err == nil {
		return c, nil
	}
	// As root, while this process is: the key may be root's.
	if cfg.Key, err = keyring.ReadKey(cfg.KeyFile); err != nil {
		return nil, err
	}
	if err := asOwner(cfg.Data); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return box.Open(ctx, cfg, log)
}

// absolute paths, as the daemon's working folder is not the caller's.
func absolute(paths []string) ([]string, error) {
	out := make([]string, len(paths))
	for i, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return nil, err
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		out[i] = abs
	}
	return out, nil
}
