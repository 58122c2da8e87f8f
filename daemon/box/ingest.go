package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"rxedge/daemon/formulary"
	"rxedge/index"
	"rxedge/index/document"
)

// IngestProgress is how far an ingest has come.
type IngestProgress struct {
	Stage string `json:"stage"` // read, then the index's stages
	File  string `json:"file,omitempty"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit"` // bytes, documents, passages
}

// IngestReport says what came of it.
type IngestReport struct {
	index.ApplyResult
	Documents int `json:"documents"` // read
	// Problems are what could not be read. They lie in quarantine, of an archive the
	// first of each reason with the number of the others.
	Problems []document.Problem `json:"problems"`
	// SampleRemoved: the sample formulary gave way to real documents.
	SampleRemoved bool `json:"sample_removed,omitempty"`
}

// samplePrefix begins the ids of the embedded sample's documents.
const samplePrefix = "sample-"

// Ingest reads the documents under paths into a new generation, whole or not
// at all. What can't be read goes to quarantine and into the report.
func (b *Box) Ingest(ctx context.Context, paths []string, progress func(IngestProgress)) (IngestReport, error) {
	return b.IngestMapped(ctx, paths, "", progress)
}

// IngestMapped is Ingest with the file of a mapping for the tables that have none
// beside them; "" is none.
func (b *Box) IngestMapped(ctx context.Context, paths []string, mapping string, progress func(IngestProgress)) (IngestReport, error) {
	if len(paths) == 0 {
		return IngestReport{}, errors.New("name at least one file or folder")
	}
	var columns []byte
	if mapping != "" {
		var err error
		if columns, err = readAtMost(mapping, 1<<20); err != nil {
			return IngestReport{}, fmt.Errorf("reading the mapping: %w", err)
		}
	}
	read := func(opt document.Options, yield func(*document.Document) error) ([]document.Problem, error) {
		opt.Mapping, opt.MappingName = columns, mapping
		var problems []document.Problem
		for _, p := range paths {
			ps, err := document.Read(ctx, p, opt, yield)
			problems = append(problems, ps...)
			if err != nil {
				return problems, err
			}
		}
		return problems, nil
	}
	return b.apply(ctx, read, b.sampleIDs(), true, progress)
}

func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if b == nil {
		b = []byte{} // an empty mapping is one, and is refused as such
	}
	return b, err
}

// Withdraw takes documents out of the index.
func (b *Box) Withdraw(ctx context.Context, ids []string, progress func(IngestProgress)) (IngestReport, error) {
	none := func(document.Options, func(*document.Document) error) ([]document.Problem, error) { return nil, nil }
	return b.apply(ctx, none, ids, false, progress)
}

// IngestSample puts the embedded formulary into an index that is empty or
// holds an older sample alone. It does not take the place of documents that were
// lost.
func (b *Box) IngestSample(ctx context.Context) (IngestReport, error) {
	if !b.Config.Sample || b.lost() || b.Index.Stats().Generation.Documents > len(b.sampleIDs()) {
		return IngestReport{}, nil
	}
	files := formulary.Files()
	names, err := fs.Glob(files, "*.md")
	if err != nil {
		return IngestReport{}, err
	}
	read := func(opt document.Options, yield func(*document.Document) error) ([]document.Problem, error) {
		for _, n := range names {
			text, err := fs.ReadFile(files, n)
			if err != nil {
				return nil, err
			}
			problems, err := document.ReadBytes(ctx, n, text, opt, yield)
			if err == nil && len(problems) > 0 {
				err = problems[0]
			}
			if err != nil {
				return nil, fmt.Errorf("the embedded sample: %w", err)
			}
		}
		return nil, nil
	}
	return b.apply(ctx, read, b.sampleIDs(), false, nil)
}

func (b *Box) sampleIDs() []string {
	snap := b.Index.Acquire()
	if snap == nil {
		return nil
	}
	defer snap.Release()
	docs, err := snap.Documents()
	if err != nil {
		return nil
	}
	var ids []string
	for _, d := range docs {
		if strings.HasPrefix(d.ID, samplePrefix) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

type readFunc func(document.Options, func(*document.Document) error) ([]document.Problem, error)

// apply makes one batch of what read yields and of the ids to remove; with
// replaces they are removed only where something is read.
func (b *Box) apply(ctx context.Context, read readFunc, remove []string, replaces bool, progress func(IngestProgress)) (IngestReport, error) {
	var rep IngestReport
	err := b.again(ctx, func() (err error) {
		rep, err = b.batch(ctx, read, remove, replaces, progress, func(ch index.Changes, progress func(index.Progress)) (res index.ApplyResult, err error) {
			err = b.changing(func() (err error) {
				res, err = b.Index.Apply(ctx, ch, progress)
				return err
			})
			return res, err
		})
		return err
	})
	return rep, b.heldUntil(err)
}

// batch hands what read yields to do.
func (b *Box) batch(ctx context.Context, read readFunc, remove []string, replaces bool, progress func(IngestProgress), do func(index.Changes, func(index.Progress)) (index.ApplyResult, error)) (IngestReport, error) {
	b.ingest.Lock()
	defer b.ingest.Unlock()
	if progress == nil {
		progress = func(IngestProgress) {}
	}
	var rep IngestReport
	rep.Problems = []document.Problem{}
	var failed error
	// What is unpacked must leave the stores their room.
	room := min(4<<30, max(1, int64(DiskFree(b.Config.Data))-b.diskFloor()))
	opt := document.Options{CacheDir: filepath.Join(b.Config.Data, "pdfium"), TempDir: b.Config.Data, MaxTempBytes: room, Progress: func(p document.Progress) {
		progress(IngestProgress{Stage: "read", File: filepath.Base(p.File), Done: p.BytesDone, Total: p.BytesTotal, Unit: "bytes"})
	}}
	next, stop := iter.Pull2(func(yield func(*document.Document, error) bool) {
		problems, err := read(opt, func(d *document.Document) error {
			rep.Documents++
			if !yield(d, nil) {
				return errStopped
			}
			return nil
		})
		rep.Problems = append(rep.Problems, problems...)
		if err != nil && !errors.Is(err, errStopped) {
			failed = err
			yield(nil, err)
		}
	})
	defer stop()
	// The first document decides whether the sample gives way: where nothing
	// can be read it stays.
	first, firstErr, some := next()
	ch := index.Changes{Delete: remove, Put: func(yield func(*document.Document, error) bool) {
		for d, err, ok := first, firstErr, some; ok; d, err, ok = next() {
			if !yield(d, err) {
				return
			}
		}
	}}
	if !some && replaces {
		ch.Delete = nil
	}
	rep.SampleRemoved = replaces && some && len(remove) > 0
	var err error
	rep.ApplyResult, err = do(ch, func(p index.Progress) {
		progress(IngestProgress{Stage: p.Stage, Done: int64(p.Done), Total: int64(p.Total), Unit: unitOf(p.Stage)})
	})
	if qerr := b.Quarantine.PutAll(rep.Problems); qerr != nil {
		b.log.Warn("could not put a file into quarantine", "error", qerr)
	}
	if failed != nil {
		return rep, failed
	}
	return rep, err
}

var errStopped = errors.New("stopped")

func unitOf(stage string) string {
	if stage == index.StageIndex {
		return "passages"
	}
	return "documents"
}
