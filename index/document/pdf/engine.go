// Package pdf reads pages of PDF files: their glyphs with places and fonts, the
// rules drawn on them, and pictures of them. PDFium does it, compiled to
// WebAssembly: what a hostile file can break is a sandbox with 256 MiB of memory,
// no files and no network, thrown away every few pages.
package pdf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// sandboxPages of 64 KiB are the memory that one open file may use.
const sandboxPages = 256 << 20 >> 16

// idle is how long the compiled engine is kept after its last use. At rest it
// costs nothing.
const idle = 20 * time.Second

// engine is the compiled PDFium; nothing of it exists before the first PDF. Every
// file has a pool of its own, whose context ends it: a pool's own way of killing an
// instance from outside meets what the instance does without a lock.
type engine struct {
	mu    sync.Mutex
	cache wazero.CompilationCache
	users int
	timer *time.Timer
}

var shared engine

// acquire starts a pool that ends with ctx. cacheDir keeps what was compiled; the
// first of those given counts while the engine lives.
func (e *engine) acquire(ctx context.Context, cacheDir string) (p pdfium.Pool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		if r := recover(); r != nil { // no memory may be made executable
			err = fmt.Errorf("starting the PDF engine: %v", r)
		}
		if err != nil && e.users == 0 {
			e.drop()
		}
	}()
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	if e.cache == nil {
		if dir := usable(cacheDir); dir != "" {
			if c, err := wazero.NewCompilationCacheWithDir(dir); err == nil {
				e.cache = c
			}
		}
		if e.cache == nil {
			e.cache = wazero.NewCompilationCache()
		}
	}
	p, err = webassembly.Init(webassembly.Config{
		Context: ctx, MaxTotal: 1, MaxIdle: 0,
		RuntimeConfig: wazero.NewRuntimeConfig().
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
			WithMemoryLimitPages(sandboxPages).
			WithCloseOnContextDone(true).
			WithCompilationCache(e.cache),
		FSConfig: wazero.NewFSConfig(), // no file of this machine
		Stdout:   io.Discard, Stderr: io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the PDF engine: %w", err)
	}
	e.users++
	return p, nil
}

// release closes a pool, and lets the engine go when it has been idle for a while.
func (e *engine) release(p pdfium.Pool) {
	_ = p.Close() // it is gone either way
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.users--; e.users > 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(idle, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.timer == t && e.users == 0 {
			e.timer = nil
			e.drop()
		}
	})
	e.timer = t
}

// drop frees the engine; e.mu is held.
func (e *engine) drop() {
	if e.cache != nil {
		_ = e.cache.Close(context.Background())
		e.cache = nil
	}
}

// Prepare compiles the engine into the cache, so that the first file need not wait.
func Prepare(cacheDir string) error {
	p, err := shared.acquire(context.Background(), cacheDir)
	if err != nil {
		return err
	}
	shared.release(p)
	Release()
	return nil
}

// Release frees the engine at once where no file is open.
func Release() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.users == 0 {
		if shared.timer != nil {
			shared.timer.Stop()
			shared.timer = nil
		}
		shared.drop()
	}
}

// usable is a folder for the compiled engine: dir, or one of the user's; "" where
// there is none, and then it is compiled at each start.
func usable(dir string) string {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(base, "rxedge", "pdfium")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return dir
}

// ErrTime is the error of a file that took longer than its limit.
var ErrTime = errors.New("reading it took too long")
