package box

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"rxedge/daemon/disk"
	"rxedge/daemon/formulary"
	"rxedge/index"
)

// asideInfix is in the name of a folder of the index that was moved out of the way.
const asideInfix = disk.AsideInfix

// openIndex opens the index of the data folder. One of which nothing can be read
// is moved aside, for a person to look at, and an empty one takes its place: the
// box then says that its documents are lost, and can be given them again.
func (b *Box) openIndex(opt index.Options) error {
	dir := filepath.Join(b.Config.Data, "index")
	var err error
	if b.Index, err = index.Open(dir, opt); errors.Is(err, index.ErrUnusable) {
		b.log.Error("the index is damaged beyond use and is moved aside", "error", err)
		aside := dir + asideInfix + time.Now().UTC().Format("20060102-150405.000")
		if err := os.Rename(dir, aside); err != nil {
			return fmt.Errorf("moving the damaged index aside: %w", err)
		}
		b.Index, err = index.Open(dir, opt)
	}
	if err != nil {
		return fmt.Errorf("opening the index: %w", err)
	}
	if found, _ := filepath.Glob(dir + asideInfix + "*"); len(found) > 0 {
		b.aside = filepath.Base(found[len(found)-1])
	}
	return nil
}

// lost says that the documents that were ingested can't be searched, for the
// index is damaged, and that none took their place. The sample is none: it is
// not for clinical use, and must not answer for them.
func (b *Box) lost() bool {
	if b.aside == "" && b.Index.Retreated() == "" {
		return false
	}
	snap := b.Index.Acquire()
	if snap == nil {
		return false
	}
	defer snap.Release()
	if snap.Generation().Documents > sampleDocuments() {
		return false
	}
	docs, err := snap.Documents()
	if err != nil {
		return index.Damaged(err)
	}
	for _, d := range docs {
		if !strings.HasPrefix(d.ID, samplePrefix) {
			return false
		}
	}
	return true
}

// sampleDocuments counts the documents of the sample.
var sampleDocuments = sync.OnceValue(func() int {
	files, _ := fs.Glob(formulary.Files(), "*.md")
	return len(files)
})

// lostNote is for the status.
func (b *Box) lostNote() string {
	where := "its folder is marked as damaged"
	if b.aside != "" {
		where = "it lies in " + b.aside
	}
	return "the index is damaged (" + where + ") and nothing is left of it to answer from: ingest the documents again; until then only questions that were answered before are"
}

func (b *Box) retreat(ctx context.Context, generation string, why error) error {
	if b.damaged(ctx, generation, why) {
		return nil
	}
	_, err := b.Index.Retreat(ctx, generation, why)
	return err
}

// again does a change of the index. Where the change is the first to meet damage in
// the generation that serves, the one before serves from then on, as it does where a
// question meets it, and the change is made to that.
func (b *Box) again(ctx context.Context, do func() error) error {
	serves := b.Index.Stats().Generation.Name
	err := do()
	if err == nil || !index.Damaged(err) || b.retreat(ctx, serves, err) != nil {
		return err
	}
	return do()
}
