package archive

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Packings of a zip (PKWARE's APPNOTE 4.4.5) beside those that archive/zip knows.
const (
	zipBzip2 = 12
	zipZstd  = 93
)

// maxDirectory is the largest directory of a zip that is read: it is held in memory.
const maxDirectory = 32 << 20

// zip walks a zip of this size.
func (w *walker) zip(name string, src io.ReaderAt, size int64, depth int, as *Entry) error {
	z, err := w.openZip(name, src, size)
	if err != nil {
		return err
	}
	if as != nil && isDocument(z) {
		w.found++
		return w.visit(as)
	}
	xml := beside{}
	for _, f := range z.File {
		xml.add(f.Name)
	}
	for _, f := range z.File {
		if err := w.keep(w.zipEntry(name, src, f, xml, depth)); err != nil {
			return err
		}
	}
	return nil
}

// openZip reads the directory of a zip.
func (w *walker) openZip(name string, src io.ReaderAt, size int64) (*zip.Reader, error) {
	quiet := w.src.quiet
	w.src.quiet = true
	defer func() { w.src.quiet = quiet }()
	n, err := entriesOf(src, size)
	if err == nil && n > uint64(w.lim.Entries) {
		return nil, Fault{name, fmt.Sprintf("a zip that says it holds %d files; the limit is %d", n, w.lim.Entries), "split the archive"}
	}
	var z *zip.Reader
	dir := &bounded{r: src, left: maxDirectory}
	if err == nil {
		z, err = zip.NewReader(dir, size)
	}
	switch {
	case w.src.err != nil:
		return nil, w.src.err
	case dir.left < 0:
		return nil, Fault{name, "a zip whose directory is over " + sizeOf(maxDirectory), "split the archive"}
	case err != nil:
		return nil, Fault{name, "a zip that is damaged, cut short, or one of several parts: its directory is not at its end", "fetch it again, whole"}
	}
	dir.done = true
	z.RegisterDecompressor(zip.Deflate, inflate)
	z.RegisterDecompressor(zipBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(bufio.NewReader(r))) })
	z.RegisterDecompressor(zipZstd, zstd.ZipDecompressor(zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1)))
	return z, nil
}

func sizeOf(n int64) string { return size(n) }

// entriesOf reads how many files the directory of a zip says there are (APPNOTE 4.3.14 to
// 4.3.16), before anything is allocated for them.
func entriesOf(src io.ReaderAt, size int64) (uint64, error) {
	tail := make([]byte, min(size, 64<<10+22))
	if _, err := src.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return 0, err
	}
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if i < 0 || len(tail)-i < 22 {
		return 0, zip.ErrFormat
	}
	n := uint64(binary.LittleEndian.Uint16(tail[i+10:]))
	if n != 0xffff || i < 20 || string(tail[i-20:i-16]) != "PK\x06\x07" {
		return n, nil
	}
	var end [56]byte
	at := int64(binary.LittleEndian.Uint64(tail[i-12:]))
	if at < 0 || at > size-int64(len(end)) {
		return 0, zip.ErrFormat
	}
	if _, err := src.ReadAt(end[:], at); err != nil && err != io.EOF {
		return 0, err
	}
	if string(end[:4]) != "PK\x06\x06" {
		return n, nil // and zip.NewReader does without it, too
	}
	return binary.LittleEndian.Uint64(end[32:]), nil
}

// zipEntry reads one file of a zip.
func (w *walker) zipEntry(in string, src io.ReaderAt, f *zip.File, xml beside, depth int) error {
	name, ok := place(in, f.Name)
	if err := w.count(name); err != nil {
		return err
	}
	switch {
	case !ok:
		return Fault{name, leadsOut, "pack it again with plain names"}
	case passedOver(f.Name) || f.FileInfo().IsDir() || xml.part(f.Name):
		return nil
	case f.Flags&1 != 0:
		return Fault{name, "encrypted: it needs a password", "unpack it with its password, or pack it without one"}
	case !f.Mode().IsRegular():
		return nil // a link; what it means lies in its own place
	}
	stated, packed := int64(f.UncompressedSize64), int64(f.CompressedSize64)
	switch {
	case stated < 0 || packed < 0:
		return Fault{name, "damaged: its stated size is none", "fetch it again"}
	case stated > free && packed < stated/w.lim.Ratio:
		return Fault{name, fmt.Sprintf("unpacks to %s, %d times its size, as what is made to fill a machine does", size(stated), stated/max(1, packed)), "unpack it first, if it is what you meant"}
	}
	e := &Entry{Name: name, Size: stated, packed: packed, open: f.Open}
	var inPlace *io.SectionReader
	if f.Method == zip.Store && stated == packed && looksNested(f.Name) {
		if off, err := f.DataOffset(); err == nil {
			inPlace = io.NewSectionReader(src, off, packed)
		}
	}
	return w.entry(e, inPlace, depth)
}

// looksNested: only what is called an archive is read where it lies, without the
// checksum that the outer archive has of it; its own entries have theirs.
func looksNested(name string) bool { return path.Ext(name) == ".zip" }

// bounded lets the directory of a zip be read up to a size.
type bounded struct {
	r    io.ReaderAt
	left int64
	done bool
}

var errDirectory = errors.New("the directory is too large")

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if !b.done {
		if b.left -= int64(len(p)); b.left < 0 {
			return 0, errDirectory
		}
	}
	return b.r.ReadAt(p, off)
}

// inflate is deflate's decompressor with its buffers used again.
func inflate(r io.Reader) io.ReadCloser {
	f, _ := inflaters.Get().(*inflater)
	if f == nil {
		f = &inflater{in: bufio.NewReaderSize(r, 64<<10)}
		f.out = flate.NewReader(f.in)
		return f
	}
	f.in.Reset(r)
	_ = f.out.(flate.Resetter).Reset(f.in, nil)
	return f
}

var inflaters sync.Pool

type inflater struct {
	in  *bufio.Reader
	out io.ReadCloser
}

func (f *inflater) Read(p []byte) (int, error) {
	if f.out == nil {
		return 0, errors.New("read after close")
	}
	return f.out.Read(p)
}

func (f *inflater) Close() error {
	if f.out != nil {
		inflaters.Put(&inflater{f.in, f.out})
		f.out = nil
	}
	return nil
}
