package control

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/feedback"
	"rxedge/daemon/rollout"
	"rxedge/daemon/store"
	"rxedge/daemon/suite"
	"rxedge/daemon/supportbundle"
	"rxedge/index"
	"rxedge/inference"
	"rxedge/inference/catalog"
	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
)

// line is one line of long work's answer.
type line struct {
	Progress any      `json:"progress,omitempty"`
	Result   any      `json:"result,omitempty"`
	Error    *failure `json:"error,omitempty"`
}

// failure carries an error over the socket; Code lets the client decide on it.
type failure struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	// Refusal and Reason of what sync refuses.
	Refusal string `json:"refusal,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

const (
	codeNotFound  = "not_found"
	codeNoEarlier = "no_earlier"
	codeInvalid   = "invalid"
	codeCancelled = "cancelled"
	codeUnknown   = "unknown_answer"
	codeConflict  = "conflict"
	codeFull      = "feedback_full"
	codeNoRoom    = "no_room"
	codeDiskFull  = "disk_full"
	codeEmbedder  = "no_embedder"
	codeEmbedding = "reembedding"

	codeRollout     = "rollout_refused"
	codeNotEnrolled = "not_enrolled"
	codeRefused     = "refused"      // a bundle or metadata
	codeNotAdmitted = "not_admitted" // an enrolment
	codeClosed      = "closed"       // the daemon is stopping
	codeClear       = "backup_clear"
)

func toFailure(err error) *failure {
	f := &failure{Detail: err.Error()}
	var invalid *answer.InvalidError
	var item *feedback.InvalidError
	var filter *index.FilterError
	var refused *bundle.Error
	var notAdmitted *enroll.RefusedError
	switch {
	case errors.As(err, &refused):
		f.Code, f.Refusal, f.Reason = codeRefused, string(refused.Code), refused.Reason
	case errors.As(err, &notAdmitted):
		f.Code, f.Refusal, f.Reason = codeNotAdmitted, notAdmitted.Code, notAdmitted.Reason
	case rollout.Refused(err):
		f.Code = codeRollout
	case errors.Is(err, enroll.ErrNotEnrolled):
		f.Code = codeNotEnrolled
	case errors.As(err, &item):
		f.Code = codeInvalid
	case errors.Is(err, feedback.ErrUnknownAnswer):
		f.Code = codeUnknown
	case errors.Is(err, feedback.ErrConflict):
		f.Code = codeConflict
	case errors.Is(err, feedback.ErrFull):
		f.Code = codeFull
	case errors.Is(err, index.ErrNotFound), errors.Is(err, inference.ErrModelNotFound):
		f.Code = codeNotFound
	case errors.Is(err, index.ErrNoEarlier):
		f.Code = codeNoEarlier
	case errors.Is(err, box.ErrClear):
		f.Code = codeClear
	case errors.Is(err, index.ErrClosed):
		f.Code = codeClosed
	case errors.Is(err, index.ErrNoRoom):
		f.Code = codeNoRoom
	case errors.Is(err, store.ErrNoRoom):
		f.Code = codeDiskFull
	case errors.Is(err, index.ErrNoEmbedder):
		f.Code = codeEmbedder
	case errors.Is(err, index.ErrReembedding):
		f.Code = codeEmbedding
	case errors.As(err, &invalid), errors.As(err, &filter):
		f.Code = codeInvalid
	case errors.Is(err, context.Canceled):
		f.Code = codeCancelled
	case errors.Is(err, fs.ErrPermission):
		// Who types the command may read what the service may not.
		f.Detail += " for the service, which reads as a user of its own and sees neither /home nor /root: put the file under /srv or /media, readable for all"
	}
	return f
}

// IngestRequest names files and folders by absolute path.
type IngestRequest struct {
	Paths []string `json:"paths"`
	// Mapping is a file that says what the columns of tables are; "" is none.
	Mapping string `json:"mapping,omitempty"`
}

// ImportRequest names a model file by absolute path.
type ImportRequest struct {
	Path string `json:"path"`
	catalog.ImportOptions
}

// Bytes is the progress of a copy.
type Bytes struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// Handler serves the socket: the public interface and, under /control/, the
// technician's calls. lines are the log's last, as they may leave the box; nil: there are none.
func Handler(b *box.Box, public http.Handler, lines func() []supportbundle.Line) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", public)
	call(mux, "ingest", func(ctx context.Context, r IngestRequest, p func(any)) (any, error) {
		return b.IngestMapped(ctx, r.Paths, r.Mapping, func(v box.IngestProgress) { p(v) })
	})
	call(mux, "withdraw", func(ctx context.Context, ids []string, p func(any)) (any, error) {
		return b.Withdraw(ctx, ids, func(v box.IngestProgress) { p(v) })
	})
	call(mux, "documents", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.Documents(ctx) })
	call(mux, "section", func(ctx context.Context, id string, _ func(any)) (any, error) { return b.Section(ctx, id) })
	call(mux, "stats", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.Stats(ctx) })
	call(mux, "generations", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.Generations(ctx) })
	call(mux, "verify", func(ctx context.Context, _ none, p func(any)) (any, error) {
		return b.Verify(ctx, func(v index.Progress) { p(v) })
	})
	call(mux, "rebuild", func(ctx context.Context, _ none, p func(any)) (any, error) {
		return b.Rebuild(ctx, func(v index.Progress) { p(v) })
	})
	call(mux, "reembed", func(ctx context.Context, _ none, p func(any)) (any, error) {
		return b.Reembed(ctx, func(v index.Progress) { p(v) })
	})
	call(mux, "compact", func(ctx context.Context, _ none, p func(any)) (any, error) {
		return b.Compact(ctx, func(v index.Progress) { p(v) })
	})
	call(mux, "disk", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.Disk(ctx) })
	call(mux, "disk-collect", func(ctx context.Context, r box.CollectRequest, _ func(any)) (any, error) {
		return b.CollectDisk(ctx, r)
	})
	call(mux, "rollback", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.Rollback(ctx) })
	call(mux, "quarantine", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.Quarantined(ctx) })
	call(mux, "quarantine-forget", func(ctx context.Context, id string, _ func(any)) (any, error) {
		return b.ForgetQuarantined(ctx, id)
	})
	call(mux, "models", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.ListModels(ctx) })
	call(mux, "model-import", func(ctx context.Context, r ImportRequest, p func(any)) (any, error) {
		return b.ImportModel(ctx, r.Path, r.ImportOptions, func(done, total int64) { p(Bytes{done, total}) })
	})
	call(mux, "model-remove", func(ctx context.Context, name string, _ func(any)) (any, error) {
		return none{}, b.RemoveModel(ctx, name)
	})
	call(mux, "search", func(ctx context.Context, q index.Query, _ func(any)) (any, error) { return b.Search(ctx, q) })
	call(mux, "document", func(ctx context.Context, id string, _ func(any)) (any, error) { return b.Document(ctx, id) })
	call(mux, "ask", func(ctx context.Context, q answer.Question, p func(any)) (any, error) {
		return b.Ask(ctx, q, answer.Events{Claim: func(c answer.Claim) { p(c) }})
	})
	call(mux, "examine", func(ctx context.Context, q answer.Question, _ func(any)) (any, error) {
		return b.Examine(ctx, q, answer.Events{})
	})
	call(mux, "bench", func(ctx context.Context, r box.BenchRequest, p func(any)) (any, error) {
		return b.Bench(ctx, r, func(v box.BenchProgress) { p(v) })
	})
	call(mux, "feedback-add", func(ctx context.Context, i feedback.Item, _ func(any)) (any, error) { return b.AddFeedback(ctx, i) })
	call(mux, "feedback-summary", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.FeedbackSummary(ctx) })
	call(mux, "feedback-records", func(ctx context.Context, text bool, _ func(any)) (any, error) { return b.FeedbackRecords(ctx, text) })
	call(mux, "feedback-remove", func(ctx context.Context, before time.Time, _ func(any)) (any, error) {
		return b.RemoveFeedback(ctx, before)
	})
	call(mux, "suite", func(ctx context.Context, r box.SuiteRequest, p func(any)) (any, error) {
		return b.Suite(ctx, r, func(x box.SuiteProgress) { p(x) })
	})
	call(mux, "suite-history", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.SuiteHistory(ctx) })
	call(mux, "suite-ledger", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.SuiteLedger(ctx) })
	call(mux, "suite-touch", func(ctx context.Context, t suite.Touch, _ func(any)) (any, error) {
		return none{}, b.SuiteTouch(ctx, t)
	})
	call(mux, "telemetry-slow", func(ctx context.Context, hours int, _ func(any)) (any, error) { return b.Slow(ctx, hours) })
	call(mux, "telemetry", func(ctx context.Context, hours int, _ func(any)) (any, error) { return b.Telemetry(ctx, hours) })
	call(mux, "enroll", func(ctx context.Context, file []byte, _ func(any)) (any, error) { return b.Enroll(ctx, file) })
	call(mux, "sync-status", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.SyncStatus(ctx) })
	call(mux, "sync-pull", func(ctx context.Context, retry bool, p func(any)) (any, error) {
		return b.SyncPull(ctx, retry, func(v box.IngestProgress) { p(v) })
	})
	call(mux, "sync-history", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.SyncHistory(ctx) })
	call(mux, "sync-report", func(ctx context.Context, r box.Reports, _ func(any)) (any, error) { return b.SyncReport(ctx, r) })
	call(mux, "bundle-import", func(ctx context.Context, path string, p func(any)) (any, error) {
		return b.ImportBundle(ctx, path, func(v box.IngestProgress) { p(v) })
	})
	call(mux, "rollout-status", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.RolloutStatus(ctx) })
	call(mux, "rollout-history", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.RolloutHistory(ctx) })
	call(mux, "rollout-do", func(ctx context.Context, q box.RolloutRequest, _ func(any)) (any, error) { return b.RolloutDo(ctx, q) })
	call(mux, "live", func(ctx context.Context, _ none, _ func(any)) (any, error) { return b.Live(ctx) })
	call(mux, "settings", func(ctx context.Context, key []byte, _ func(any)) (any, error) { return b.Settings(ctx, key) })
	serveBackup(mux, b)
	call(mux, "process", func(context.Context, none, func(any)) (any, error) {
		p := supportbundle.Look()
		if lines != nil {
			p.Lines = lines()
		}
		return p, nil
	})
	call(mux, "health", func(context.Context, none, func(any)) (any, error) { return b.Health(), nil })
	return mux
}

type none struct{}

// call serves one technician's call: a JSON request, an answer in lines.
func call[Req any](mux *http.ServeMux, name string, do func(context.Context, Req, func(any)) (any, error)) {
	mux.HandleFunc("POST /control/"+name, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		var mu sync.Mutex
		enc := json.NewEncoder(w)
		flush := http.NewResponseController(w).Flush
		send := func(l line) {
			mu.Lock()
			defer mu.Unlock()
			_ = enc.Encode(l)
			_ = flush()
		}
		var req Req
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<20)).Decode(&req); err != nil {
			send(line{Error: &failure{Code: codeInvalid, Detail: "the request can't be read: " + err.Error()}})
			return
		}
		res, err := do(r.Context(), req, func(v any) { send(line{Progress: v}) })
		if err != nil {
			send(line{Error: toFailure(err)})
			return
		}
		send(line{Result: res})
	})
}
