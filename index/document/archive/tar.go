package archive

import (
	"archive/tar"
	"errors"
	"io"
	"strings"
)

// tar walks a tar twice: first over its headers, to the end, so that a compressed one
// is held beside its checksum, and it is known beside which XML files pictures lie. The
// content is at src where it is not compressed.
func (w *walker) tar(name string, packed int64, depth int, open func() (io.ReadCloser, error), src io.ReaderAt) error {
	xml := beside{}
	quiet, unpacked, entries := w.src.quiet, w.unpacked, w.entries
	w.src.quiet = true
	err := w.tarFiles(name, packed, open, src, func(h *tar.Header, _ *tar.Reader, _ int64) error {
		xml.add(strings.TrimPrefix(h.Name, "./"))
		return w.count(name)
	})
	w.src.quiet, w.unpacked, w.entries = quiet, unpacked, entries
	if err != nil && !errors.Is(err, errCut) {
		return err
	}
	told := false
	err = w.tarFiles(name, packed, open, src, func(h *tar.Header, t *tar.Reader, at int64) error {
		err := w.tarEntry(name, packed, h, t, at, src, xml, depth)
		told = told || errors.Is(err, errCut)
		return w.keep(err)
	})
	if told && errors.Is(err, errCut) {
		return nil
	}
	return err
}

// tarFiles calls do for each header; at is where the content begins.
func (w *walker) tarFiles(name string, packed int64, open func() (io.ReadCloser, error), src io.ReaderAt, do func(h *tar.Header, t *tar.Reader, at int64) error) error {
	var in interface {
		io.Reader
		at() int64
	}
	if src != nil {
		in = &section{io.NewSectionReader(src, 0, packed)}
	} else {
		rc, err := open()
		if err != nil {
			return w.fault(name, err)
		}
		defer rc.Close()
		in = &stream{r: &metered{rc: rc, w: w, name: name, left: w.most(packed)}}
	}
	t := tar.NewReader(in)
	for {
		h, err := t.Next()
		if err == io.EOF {
			// What stands after the end of a tar is read for its checksum.
			_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{in}, w.scratch())
			return w.fault(name, err)
		}
		if err != nil {
			return w.fault(name, err)
		}
		if err := do(h, t, in.at()); err != nil {
			return err
		}
	}
}

func (w *walker) tarEntry(in string, packed int64, h *tar.Header, t *tar.Reader, at int64, src io.ReaderAt, xml beside, depth int) error {
	name, ok := place(in, h.Name)
	if err := w.count(name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return Fault{name, "no file but a device", "pack it again without"}
	default:
		return nil // folders, links: what they mean lies in its own place
	}
	switch {
	case !ok:
		return Fault{name, leadsOut, "pack it again with plain names"}
	case passedOver(strings.TrimPrefix(h.Name, "./")) || xml.part(strings.TrimPrefix(h.Name, "./")):
		return nil
	}
	e := &Entry{Name: name, Size: h.Size, Checked: true, packed: packed, counted: src == nil && !sparse(h),
		open: func() (io.ReadCloser, error) { return io.NopCloser(t), nil }}
	var inPlace *io.SectionReader
	if src != nil && !sparse(h) {
		if h.Size > packed-at {
			return cut{Fault{name, "damaged: it is cut short", "fetch it again"}}
		}
		inPlace = io.NewSectionReader(src, at, h.Size)
		e.packed = h.Size
		e.open = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(src, at, h.Size)), nil }
	}
	return w.entry(e, inPlace, depth)
}

func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse") {
			return true
		}
	}
	return false
}

// section is a tar as it lies, stream one that is unpacked as it is read; both say where
// they stand.
type section struct{ *io.SectionReader }

func (s *section) at() int64 { n, _ := s.Seek(0, io.SeekCurrent); return n }

type stream struct {
	r io.Reader
	n int64
}

func (s *stream) at() int64 { return s.n }

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	return n, err
}
