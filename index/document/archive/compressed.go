package archive

import (
	"bufio"
	"compress/bzip2"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is what zstd may look back, and so hold in memory.
const maxWindow = 64 << 20

// compressed walks one file that is compressed by itself, or a tar that is.
func (w *walker) compressed(name, kind string, src io.ReaderAt, size int64, depth int) error {
	open := func() (io.ReadCloser, error) {
		in := bufio.NewReaderSize(io.NewSectionReader(src, 0, size), 64<<10)
		switch kind {
		case "gzip":
			return gzip.NewReader(in)
		case "zstd":
			z, err := zstd.NewReader(in, zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			return z.IOReadCloser(), nil
		}
		return io.NopCloser(bzip2.NewReader(in)), nil
	}
	rc, err := open()
	if err != nil {
		return w.fault(name, err)
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(rc, head)
	rc.Close()
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return w.fault(name, err)
	}
	if Kind(head[:n]) == "tar" {
		return w.tar(name, size, depth, open, nil)
	}
	inner, _ := place(name, innerName(name))
	if err := w.count(inner); err != nil {
		return err
	}
	return w.keep(w.entry(&Entry{Name: inner, Size: -1, packed: size, open: open}, nil, depth))
}

// innerName is what a compressed file is called without its last extension.
func innerName(name string) string {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	ext := path.Ext(base)
	switch strings.ToLower(ext) {
	case ".gz", ".zst", ".bz2", ".gzip", ".zstd":
		if in := strings.TrimSuffix(base, ext); in != "" {
			return in
		}
	}
	return base
}
