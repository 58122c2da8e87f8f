package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"
)

// download brings one file of a pin to path, through path.part.
type download struct {
	mirror   mirror
	pin      Pin
	file     PinFile
	path     string
	stall    time.Duration
	retry    backoff.BackOff
	room     func(int64) error
	progress func(stage string, done int64)

	part  *os.File
	hash  hash.Hash
	done  int64
	valid validator
	// resumed: some of the bytes are of an earlier connection, so that a wrong
	// hash may mean that the file was changed in between.
	resumed bool
}

// permanent is an error that another attempt would meet again.
type permanent struct{ err error }

func (e *permanent) Error() string { return e.err.Error() }
func (e *permanent) Unwrap() error { return e.err }

func never(format string, args ...any) error { return &permanent{fmt.Errorf(format, args...)} }

func (d *download) partName() string { return d.path + ".part" }
func (d *download) infoName() string { return d.path + ".part.json" }

// run returns the size of the file, which is then at path and has the right
// hash.
func (d *download) run(ctx context.Context) (int64, error) {
	if st, err := os.Stat(d.path); err == nil {
		// An earlier Pull got this one whole; the import that followed did not.
		if sum, n, err := hashFile(ctx, d.path, func(n int64) { d.progress("checking", n) }); err != nil {
			return 0, err
		} else if sum == d.file.SHA256 {
			return n, nil
		}
		if err := os.Remove(d.path); err != nil {
			return st.Size(), err
		}
	}
	if err := d.open(ctx); err != nil {
		return 0, err
	}
	defer func() { d.part.Close() }()
	for again := false; ; again = true {
		if err := d.fetchAll(ctx); err != nil {
			// What came is kept for the next Pull, and is on disk then.
			return 0, errors.Join(err, d.part.Sync())
		}
		got := hex.EncodeToString(d.hash.Sum(nil))
		if got == d.file.SHA256 {
			break
		}
		wasResumed := d.resumed
		if err := d.restart(validator{}); err != nil {
			return 0, err
		}
		if again || !wasResumed {
			os.Remove(d.partName())
			os.Remove(d.infoName())
			return 0, &HashError{File: d.file.Path, Want: d.file.SHA256, Got: got}
		}
		// Pieces of two versions: once more, from the beginning.
	}
	if err := errors.Join(d.part.Sync(), os.Rename(d.partName(), d.path)); err != nil {
		return 0, err
	}
	os.Remove(d.infoName())
	return d.done, syncDir(filepath.Dir(d.path))
}

// open takes up what an earlier attempt left.
func (d *download) open(ctx context.Context) error {
	f, err := os.OpenFile(d.partName(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	d.part, d.hash, d.valid = f, sha256.New(), readValidator(d.infoName())
	h := &hashWriter{ctx: ctx, hash: d.hash, progress: func(n int64) { d.progress("checking", n) }}
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		f.Close()
		return err
	}
	d.done, d.resumed = h.n, h.n > 0
	if size := d.size(); size > 0 && d.done > size {
		return d.restart(validator{})
	}
	return nil
}

// size that the file must have; 0: not known.
func (d *download) size() int64 {
	if d.file.Size > 0 {
		return d.file.Size
	}
	return d.valid.Size
}

// restart throws away what came so far.
func (d *download) restart(v validator) error {
	d.hash.Reset()
	d.done, d.resumed, d.valid = 0, false, v
	if err := d.part.Truncate(0); err != nil {
		return err
	}
	_, err := d.part.Seek(0, io.SeekStart)
	return err
}

// Write takes bytes of the file in their order. It refuses more than there
// can be.
func (d *download) Write(p []byte) (int, error) {
	if size := d.size(); size > 0 && d.done+int64(len(p)) > size {
		return 0, never("%s: the mirror sends more than the %d bytes that the file has; it has another file", d.file.Path, size)
	}
	n, err := d.part.Write(p)
	d.hash.Write(p[:n])
	d.done += int64(n)
	d.progress("pulling", d.done)
	if errors.Is(err, syscall.ENOSPC) {
		return n, &permanent{fmt.Errorf("%w; make room, and pull again to go on", err)}
	}
	return n, err
}

// fetchAll attempts until the file is whole.
func (d *download) fetchAll(ctx context.Context) error {
	if d.mirror.folder != "" {
		name, err := d.mirror.find(d.pin, d.file)
		if err != nil {
			return err
		}
		return copyFrom(name, d.done, &cancelled{ctx, d})
	}
	wait := d.retry
	if wait == nil {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.MaxInterval = time.Second, time.Minute
		wait = b
	}
	for failed := 0; ; {
		before := d.done
		err := d.fetch(ctx)
		if err == nil {
			return nil
		}
		var no *permanent
		if errors.As(err, &no) || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if failed++; d.done > before {
			failed = 0
			wait.Reset()
		}
		if failed >= pullAttempts {
			return fmt.Errorf("%w (%d attempts; %d bytes are kept, pull again to go on)", err, failed, d.done)
		}
		pause := wait.NextBackOff()
		var after *backoff.RetryAfterError
		if errors.As(err, &after) {
			pause = after.Duration
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// cancelled refuses to write when ctx has ended.
type cancelled struct {
	ctx context.Context
	w   io.Writer
}

func (c *cancelled) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// fetch makes one request and takes what it brings. nil: the file is whole.
func (d *download) fetch(ctx context.Context) error {
	if size := d.size(); d.done > 0 && size == d.done {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.mirror.address(d.pin, d.file), nil)
	if err != nil {
		return &permanent{err}
	}
	// A body compressed on the way would have other offsets.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "rxedge")
	if d.done > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(d.done, 10)+"-")
		if t := d.valid.token(); t != "" {
			req.Header.Set("If-Range", t)
		}
	}
	watch := time.AfterFunc(d.stall, func() { cancel(fmt.Errorf("nothing came for %v", d.stall)) })
	defer watch.Stop()
	resp, err := d.mirror.client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	if err := d.accept(resp); err != nil {
		return err
	}
	_, err = io.CopyBuffer(d, &watched{resp.Body, watch, d.stall}, make([]byte, 256<<10))
	if err != nil {
		return cause(ctx, err)
	}
	if size := d.size(); size > 0 && d.done < size {
		return fmt.Errorf("the connection ended after %d of %d bytes", d.done, size)
	}
	return nil
}

// cause prefers why the request was given up to that it was.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}

// watched puts off the end of patience with each read that brings something.
type watched struct {
	r     io.Reader
	watch *time.Timer
	stall time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.watch.Reset(w.stall)
	}
	return n, err
}

// accept looks at the answer's head and sets the file to where its body goes on.
func (d *download) accept(resp *http.Response) error {
	where := resp.Request.URL.Redacted()
	v := validator{LastModified: resp.Header.Get("Last-Modified")}
	if tag := resp.Header.Get("ETag"); !strings.HasPrefix(tag, "W/") {
		v.ETag = tag
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if resp.ContentLength > 0 {
			v.Size = resp.ContentLength
		}
		if err := d.sizeFits(v.Size); err != nil {
			return err
		}
		// The server begins anew: the file changed, or it knows no ranges.
		if err := d.restart(v); err != nil {
			return err
		}
	case http.StatusPartialContent:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || from != d.done {
			// It answers another question than was asked. Begin anew, without
			// asking for a range.
			if err := d.restart(validator{}); err != nil {
				return err
			}
			return fmt.Errorf("%s sends bytes %q where %d was asked for", where, resp.Header.Get("Content-Range"), d.done)
		}
		v.Size = total
		if err := d.sizeFits(total); err != nil {
			return err
		}
		if d.done > 0 && d.valid.token() != "" && v.token() != "" && v.token() != d.valid.token() {
			if err := d.restart(validator{}); err != nil {
				return err
			}
			return fmt.Errorf("%s has another file than before", where)
		}
		d.valid, d.resumed = v, d.done > 0
	case http.StatusRequestedRangeNotSatisfiable:
		if err := d.restart(validator{}); err != nil {
			return err
		}
		return fmt.Errorf("%s has fewer bytes than came before", where)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		err := fmt.Errorf("%s answers %s", where, resp.Status)
		if s, convErr := strconv.Atoi(resp.Header.Get("Retry-After")); convErr == nil && s >= 0 && s <= 3600 {
			return errors.Join(err, backoff.RetryAfter(s))
		}
		return err
	case http.StatusNotFound:
		return never("%s has no such file (%s); is the mirror complete?", where, resp.Status)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return never("%s refuses it (%s): the model wants an account there, or the proxy a name", where, resp.Status)
	default:
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusRequestTimeout {
			return fmt.Errorf("%s answers %s", where, resp.Status)
		}
		return never("%s answers %s", where, resp.Status)
	}
	if err := d.room(d.size() - d.done); err != nil {
		return &permanent{err}
	}
	return d.valid.write(d.infoName())
}

func (d *download) sizeFits(size int64) error {
	if size > 0 && d.file.Size > 0 && size != d.file.Size {
		return never("%s: the mirror's file has %d bytes and the pinned one %d; it has another file", d.file.Path, size, d.file.Size)
	}
	return nil
}

// contentRange reads "bytes 5-9/10"; total is 0 for "*".
func contentRange(s string) (from, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, all, ok2 := strings.Cut(s, "/")
	first, last, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, false
	}
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if all != "*" {
		var err error
		if total, err = strconv.ParseInt(all, 10, 64); err != nil || total <= to {
			return 0, 0, false
		}
	}
	return from, total, err1 == nil && err2 == nil && from >= 0 && to >= from
}

func hashFile(ctx context.Context, name string, progress func(int64)) (string, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	return copyHashed(ctx, nil, f, progress)
}

// lockPull keeps two pulls of one model apart. The kernel lets go of it when
// the process ends, however that happens.
func lockPull(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(dir+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("model catalog: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("another rxedge pulls this model already; wait for it, or stop it and pull again to go on")
		}
		return nil, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() { f.Close() }, nil
}
