package archive

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	errCut   = errors.New("cut short")
	errSpent = errors.New("a bound of the whole walk")
)

// ErrCut: an entry ends before its end. What came before is good.
var ErrCut = errCut

// spent is a Fault that ends the walk.
type spent struct{ Fault }

func (s spent) Unwrap() error        { return s.Fault }
func (s spent) Is(target error) bool { return target == errSpent }

// cut is a Fault of what is cut short.
type cut struct{ Fault }

func (c cut) Unwrap() error        { return c.Fault }
func (c cut) Is(target error) bool { return target == errCut }

// fault makes of an error a Fault, where it is one of the archive and not of the file
// that is read or of its reader.
func (w *walker) fault(name string, err error) error {
	var f Fault
	switch {
	case err == nil:
		return nil
	case w.src.err != nil:
		return w.src.err
	case errors.As(err, &f), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, zip.ErrChecksum), errors.Is(err, gzip.ErrChecksum), errors.Is(err, zstd.ErrCRCMismatch):
		return Fault{name, "damaged: it does not match its checksum, so nothing of it is read", "fetch it again"}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return cut{Fault{name, "damaged: it is cut short", "fetch it again"}}
	case errors.Is(err, zip.ErrAlgorithm):
		return Fault{name, "packed in a way that cannot be read", "pack it again with 'zip', or unpack it first"}
	case errors.Is(err, errTooLarge):
		return Fault{name, "an archive in an archive, of over " + size(w.lim.Disk), "unpack the outer one first"}
	case errors.As(err, new(*fs.PathError)): // of the file that what is unpacked lies in
		return err
	}
	return Fault{name, "a damaged archive, or damaged in it", "fetch it again"}
}

// source is the file that is walked. Its first error is kept, so that it is never
// taken for one of the archive.
type source struct {
	ctx      context.Context
	r        io.ReaderAt
	err      error
	quiet    bool // what is read does not count as dealt with
	far      int64
	progress func(int64)
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	if off < 0 { // where a damaged directory leads
		return 0, zip.ErrFormat
	}
	n, err := s.r.ReadAt(p, off)
	if err != nil && err != io.EOF && s.err == nil {
		s.err = err
	}
	if end := off + int64(n); !s.quiet && end > s.far {
		s.far = end
		if s.progress != nil {
			s.progress(end)
		}
	}
	return n, err
}

// most is what may come out of something that is packed in so many bytes.
func (w *walker) most(packed int64) int64 {
	if packed > w.lim.Unpacked/w.lim.Ratio {
		return w.lim.Unpacked
	}
	return max(free, packed*w.lim.Ratio)
}

// metered is what is unpacked of one entry, counted.
type metered struct {
	rc   io.ReadCloser
	w    *walker
	name string
	left int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.rc.Read(p)
	m.left -= int64(n)
	m.w.unpacked += int64(n)
	if m.left < 0 {
		return 0, Fault{m.name, fmt.Sprintf("unpacks to more than %d times its size, as what is made to fill a machine does", m.w.lim.Ratio), "unpack it first, if it is what you meant"}
	}
	if m.w.unpacked > m.w.lim.Unpacked || m.w.unpacked > max(1<<30, m.w.size*m.w.lim.Ratio) {
		return 0, spent{Fault{m.name, "the archive unpacks to more than " + size(min(m.w.lim.Unpacked, max(1<<30, m.w.size*m.w.lim.Ratio))) + " in all; what comes after is not read", "split it, or unpack it first"}}
	}
	if err != nil && err != io.EOF {
		err = m.w.fault(m.name, err)
	}
	return n, err
}

func (m *metered) Close() error { return m.rc.Close() }

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
