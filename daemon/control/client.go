package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/feedback"
	"rxedge/daemon/rollout"
	"rxedge/daemon/store"
	"rxedge/daemon/suite"
	"rxedge/daemon/telemetry"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/catalog"
	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
	"rxedge/sync/local"
)

// ErrUnreachable: no daemon answers on the socket.
var ErrUnreachable = errors.New("rxedged does not answer")

// Client speaks to a running daemon. Its methods are those of box.Box.
type Client struct {
	http *http.Client
	done func()
}

// Dial finds the daemon of the data folder. The error is ErrUnreachable where
// none answers.
func Dial(dir string) (*Client, error) {
	path, done, err := local.Address(dir, SocketName)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	c, err := dial(context.Background(), "", "")
	if err != nil {
		done()
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	_ = c.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}, done: done}, nil
}

// Close lets go of the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	c.done()
	return nil
}

// remote is an error that the daemon reported.
type remote struct {
	failure
	is error
}

func (e *remote) Error() string { return e.Detail }
func (e *remote) Unwrap() error { return e.is }

func fromFailure(f *failure) error {
	e := &remote{failure: *f}
	switch f.Code {
	case codeNotFound:
		e.is = index.ErrNotFound
	case codeNoEarlier:
		e.is = index.ErrNoEarlier
	case codeClear:
		e.is = box.ErrClear
	case codeClosed:
		e.is = ErrUnreachable
	case codeNoRoom:
		e.is = index.ErrNoRoom
	case codeDiskFull:
		e.is = store.ErrNoRoom
	case codeEmbedder:
		e.is = index.ErrNoEmbedder
	case codeEmbedding:
		e.is = index.ErrReembedding
	case codeUnknown:
		e.is = feedback.ErrUnknownAnswer
	case codeConflict:
		e.is = feedback.ErrConflict
	case codeFull:
		e.is = feedback.ErrFull
	case codeRollout:
		e.is = rollout.ErrRefused
	case codeNotEnrolled:
		e.is = enroll.ErrNotEnrolled
	case codeCancelled:
		e.is = context.Canceled
	case codeRefused:
		return &bundle.Error{Code: bundle.Code(f.Refusal), Reason: f.Reason}
	case codeNotAdmitted:
		return &enroll.RefusedError{Code: f.Refusal, Reason: f.Reason}
	case codeInvalid:
		return &answer.InvalidError{Field: "request", Detail: f.Detail}
	}
	return e
}

// do calls name and hands each progress line to progress.
func do[Res, Prog any](ctx context.Context, c *Client, name string, req any, progress func(Prog)) (Res, error) {
	var zero Res
	body, err := json.Marshal(req)
	if err != nil {
		return zero, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://rxedge/control/"+name, bytes.NewReader(body))
	if err != nil {
		return zero, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return zero, ctx.Err()
		}
		return zero, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return zero, fmt.Errorf("rxedged answered %q; is it of the same version as this tool?", resp.Status)
	}
	in := bufio.NewReader(resp.Body)
	for {
		b, err := in.ReadBytes('\n')
		if err != nil {
			if ctx.Err() != nil {
				return zero, ctx.Err()
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("it stopped while it was at work; nothing was half applied")
			}
			return zero, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		var l struct {
			Progress json.RawMessage `json:"progress"`
			Result   json.RawMessage `json:"result"`
			Error    *failure        `json:"error"`
		}
		if err := json.Unmarshal(b, &l); err != nil {
			return zero, fmt.Errorf("rxedged answered something that can't be read: %w", err)
		}
		switch {
		case l.Error != nil:
			return zero, fromFailure(l.Error)
		case l.Progress != nil:
			var p Prog
			if progress != nil && json.Unmarshal(l.Progress, &p) == nil {
				progress(p)
			}
		default:
			var res Res
			if len(l.Result) > 0 {
				err = json.Unmarshal(l.Result, &res)
			}
			return res, err
		}
	}
}

func plain[Res any](ctx context.Context, c *Client, name string, req any) (Res, error) {
	return do[Res, none](ctx, c, name, req, nil)
}

// Ask answers a question.
func (c *Client) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	return do[*answer.Answer, answer.Claim](ctx, c, "ask", q, ev.Claim)
}

// Examine answers a question that no person asked, and that is not counted. Events of
// it do not come over the socket.
func (c *Client) Examine(ctx context.Context, q answer.Question, _ answer.Events) (*answer.Answer, error) {
	return plain[*answer.Answer](ctx, c, "examine", q)
}

// Search finds passages.
func (c *Client) Search(ctx context.Context, q index.Query) (index.Result, error) {
	return plain[index.Result](ctx, c, "search", q)
}

// Document returns a document, whole.
func (c *Client) Document(ctx context.Context, id string) (*document.Document, error) {
	return plain[*document.Document](ctx, c, "document", id)
}

// Documents lists what is indexed.
func (c *Client) Documents(ctx context.Context) ([]index.DocumentSummary, error) {
	return plain[[]index.DocumentSummary](ctx, c, "documents", none{})
}

// Section by its id or an alias.
func (c *Client) Section(ctx context.Context, id string) (index.SectionRef, error) {
	return plain[index.SectionRef](ctx, c, "section", id)
}

// Stats of the index.
func (c *Client) Stats(ctx context.Context) (index.Stats, error) {
	return plain[index.Stats](ctx, c, "stats", none{})
}

// Generations of the index.
func (c *Client) Generations(ctx context.Context) ([]index.GenerationInfo, error) {
	return plain[[]index.GenerationInfo](ctx, c, "generations", none{})
}

// Verify reads the index again.
func (c *Client) Verify(ctx context.Context, progress func(index.Progress)) (index.Report, error) {
	return do[index.Report](ctx, c, "verify", none{}, progress)
}

// Rebuild makes the index again.
func (c *Client) Rebuild(ctx context.Context, progress func(index.Progress)) (index.ApplyResult, error) {
	return do[index.ApplyResult](ctx, c, "rebuild", none{}, progress)
}

// Reembed makes the vectors anew.
func (c *Client) Reembed(ctx context.Context, progress func(index.Progress)) (index.ApplyResult, error) {
	return do[index.ApplyResult](ctx, c, "reembed", none{}, progress)
}

// Compact packs the index anew.
func (c *Client) Compact(ctx context.Context, progress func(index.Progress)) (index.ApplyResult, error) {
	return do[index.ApplyResult](ctx, c, "compact", none{}, progress)
}

// Disk says what takes room in the data folder.
func (c *Client) Disk(ctx context.Context) (box.DiskReport, error) {
	return plain[box.DiskReport](ctx, c, "disk", none{})
}

// CollectDisk removes what nothing needs.
func (c *Client) CollectDisk(ctx context.Context, r box.CollectRequest) (box.CollectReport, error) {
	return plain[box.CollectReport](ctx, c, "disk-collect", r)
}

// Rollback takes back the latest batch.
func (c *Client) Rollback(ctx context.Context) (index.GenerationInfo, error) {
	return plain[index.GenerationInfo](ctx, c, "rollback", none{})
}

// Quarantined lists what could not be read.
func (c *Client) Quarantined(ctx context.Context) ([]document.Quarantined, error) {
	return plain[[]document.Quarantined](ctx, c, "quarantine", none{})
}

// ForgetQuarantined takes an entry out of the quarantine; id "": all.
func (c *Client) ForgetQuarantined(ctx context.Context, id string) (int, error) {
	return plain[int](ctx, c, "quarantine-forget", id)
}

// IngestMapped reads documents, tables by the file of a mapping ("" for none).
func (c *Client) IngestMapped(ctx context.Context, paths []string, mapping string, progress func(box.IngestProgress)) (box.IngestReport, error) {
	return do[box.IngestReport](ctx, c, "ingest", IngestRequest{Paths: paths, Mapping: mapping}, progress)
}

// Ingest reads documents.
func (c *Client) Ingest(ctx context.Context, paths []string, progress func(box.IngestProgress)) (box.IngestReport, error) {
	return c.IngestMapped(ctx, paths, "", progress)
}

// Withdraw takes documents out.
func (c *Client) Withdraw(ctx context.Context, ids []string, progress func(box.IngestProgress)) (box.IngestReport, error) {
	return do[box.IngestReport](ctx, c, "withdraw", ids, progress)
}

// ImportModel puts a model into the catalog.
func (c *Client) ImportModel(ctx context.Context, path string, opt catalog.ImportOptions, progress func(done, total int64)) (catalog.Entry, error) {
	return do[catalog.Entry](ctx, c, "model-import", ImportRequest{Path: path, ImportOptions: opt}, func(b Bytes) {
		if progress != nil {
			progress(b.Done, b.Total)
		}
	})
}

// ListModels of the catalog.
func (c *Client) ListModels(ctx context.Context) ([]catalog.Entry, error) {
	return plain[[]catalog.Entry](ctx, c, "models", none{})
}

// RemoveModel takes a model out of the catalog.
func (c *Client) RemoveModel(ctx context.Context, name string) error {
	_, err := plain[none](ctx, c, "model-remove", name)
	return err
}

// Bench measures the box.
func (c *Client) Bench(ctx context.Context, r box.BenchRequest, progress func(box.BenchProgress)) (box.BenchReport, error) {
	return do[box.BenchReport](ctx, c, "bench", r, progress)
}

// AddFeedback keeps what somebody said of an answer.
func (c *Client) AddFeedback(ctx context.Context, i feedback.Item) (feedback.Record, error) {
	return plain[feedback.Record](ctx, c, "feedback-add", i)
}

// FeedbackSummary counts feedback.
func (c *Client) FeedbackSummary(ctx context.Context) (feedback.Summary, error) {
	return plain[feedback.Summary](ctx, c, "feedback-summary", none{})
}

// FeedbackRecords are all records.
func (c *Client) FeedbackRecords(ctx context.Context, text bool) ([]feedback.Record, error) {
	return plain[[]feedback.Record](ctx, c, "feedback-records", text)
}

// RemoveFeedback takes out records.
func (c *Client) RemoveFeedback(ctx context.Context, before time.Time) (int, error) {
	return plain[int](ctx, c, "feedback-remove", before)
}

// Suite asks the box golden questions.
func (c *Client) Suite(ctx context.Context, r box.SuiteRequest, progress func(box.SuiteProgress)) (suite.Run, error) {
	return do[suite.Run](ctx, c, "suite", r, progress)
}

// SuiteHistory of the runs that were kept.
func (c *Client) SuiteHistory(ctx context.Context) (box.SuiteHistory, error) {
	return plain[box.SuiteHistory](ctx, c, "suite-history", none{})
}

// SuiteLedger of the test sets.
func (c *Client) SuiteLedger(ctx context.Context) (box.SuiteLedger, error) {
	return plain[box.SuiteLedger](ctx, c, "suite-ledger", none{})
}

// SuiteTouch writes into the ledger that a set was looked at.
func (c *Client) SuiteTouch(ctx context.Context, t suite.Touch) error {
	_, err := plain[none](ctx, c, "suite-touch", t)
	return err
}

// Slow are the traces of slow questions of the last hours.
func (c *Client) Slow(ctx context.Context, hours int) ([]telemetry.Trace, error) {
	return plain[[]telemetry.Trace](ctx, c, "telemetry-slow", hours)
}

// Telemetry of the last hours.
func (c *Client) Telemetry(ctx context.Context, hours int) (box.Telemetry, error) {
	return plain[box.Telemetry](ctx, c, "telemetry", hours)
}

// Enroll makes the box a site.
func (c *Client) Enroll(ctx context.Context, file []byte) (string, error) {
	return plain[string](ctx, c, "enroll", file)
}

// SyncStatus says how the site stands with its centre.
func (c *Client) SyncStatus(ctx context.Context) (box.SyncStatus, error) {
	return plain[box.SyncStatus](ctx, c, "sync-status", none{})
}

// SyncPull fetches what there is.
func (c *Client) SyncPull(ctx context.Context, retry bool, progress func(box.IngestProgress)) (bundle.Result, error) {
	return do[bundle.Result](ctx, c, "sync-pull", retry, progress)
}

// SyncHistory of the site's bundles.
func (c *Client) SyncHistory(ctx context.Context) ([]bundle.Event, error) {
	return plain[[]bundle.Event](ctx, c, "sync-history", none{})
}

// SyncReport keeps reports for the centre.
func (c *Client) SyncReport(ctx context.Context, r box.Reports) (int, error) {
	return plain[int](ctx, c, "sync-report", r)
}

// ImportBundle from a medium.
func (c *Client) ImportBundle(ctx context.Context, path string, progress func(box.IngestProgress)) (bundle.Result, error) {
	return do[bundle.Result](ctx, c, "bundle-import", path, progress)
}

// Status of the daemon.
func (c *Client) Status(ctx context.Context) (api.Health, error) {
	return plain[api.Health](ctx, c, "health", none{})
}

// Live says what the daemon does now.
func (c *Client) Live(ctx context.Context) (box.Live, error) {
	return plain[box.Live](ctx, c, "live", none{})
}

// Settings that the daemon has; secrets are comparable under key.
func (c *Client) Settings(ctx context.Context, key []byte) (box.Settings, error) {
	return plain[box.Settings](ctx, c, "settings", key)
}

// RolloutStatus says what serves and what is on its way.
func (c *Client) RolloutStatus(ctx context.Context) (box.RolloutStatus, error) {
	return plain[box.RolloutStatus](ctx, c, "rollout-status", none{})
}

// RolloutHistory is the journal of rollouts, the oldest first.
func (c *Client) RolloutHistory(ctx context.Context) ([]rollout.Record, error) {
	return plain[[]rollout.Record](ctx, c, "rollout-history", none{})
}

// RolloutDo does what a technician says.
func (c *Client) RolloutDo(ctx context.Context, q box.RolloutRequest) (rollout.Entry, error) {
	return plain[rollout.Entry](ctx, c, "rollout-do", q)
}
