// Package archive walks what lies in archives and compressed files, nested ones
// among them, with bounds on all that it does: zip, tar, gzip, zstd, bzip2. It
// knows nothing of documents. Nothing is ever written to disk under a name that
// comes from an archive.
package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"
)

// Inside stands between an archive and what lies in it:
// "part1.zip!/prescription/a.zip!/b.xml".
const Inside = "!/"

// Limits of one Walk. The zero value means the defaults beside each field.
type Limits struct {
	Depth    int   // of archives in one another; 3
	Entries  int   // in all archives together; 1,000,000
	Unpacked int64 // bytes that all entries together may have; 128 GiB
	Ratio    int64 // of what is unpacked to what is packed; 200, where it is over 16 MiB
	Memory   int64 // bytes of a nested archive that are held in memory; 8 MiB
	Disk     int64 // bytes of one that lie in a file without a name in Dir; 4 GiB
	Dir      string
}

// free is what may be unpacked of a thing whatever its ratio.
const free = 16 << 20

func (l Limits) withDefaults() Limits {
	l.Depth, l.Entries = orInt(l.Depth, 3), orInt(l.Entries, 1_000_000)
	l.Unpacked, l.Ratio = or(l.Unpacked, 128<<30), or(l.Ratio, 200)
	l.Memory, l.Disk = or(l.Memory, 8<<20), or(l.Disk, 4<<30)
	return l
}

func or(v, d int64) int64 {
	if v <= 0 {
		return d
	}
	return v
}

func orInt(v, d int) int { return int(or(int64(v), int64(d))) }

// Fault says what of an archive cannot be read, and why.
type Fault struct {
	Name   string
	Reason string
	Fix    string
}

func (f Fault) Error() string { return f.Name + ": " + f.Reason + "; " + f.Fix }

// Entry is a file in an archive that is no archive itself.
type Entry struct {
	Name string // with the names of the archives it lies in
	Size int64  // as stated; -1 where it is not
	// Checked: it was held beside its checksum already, or has none. It can be opened
	// once.
	Checked bool
	open    func() (io.ReadCloser, error)
	w       *walker
	packed  int64
	counted bool // what is read of it is counted already
}

// Open reads the entry. Its reader's errors are a Fault, or those of the file that is
// walked, which end the Walk.
func (e *Entry) Open() (io.ReadCloser, error) {
	rc, err := e.open()
	if err != nil {
		return nil, e.w.fault(e.Name, err)
	}
	if e.counted {
		return failing{rc, e}, nil
	}
	return &metered{rc: rc, w: e.w, name: e.Name, left: e.w.most(e.packed)}, nil
}

// Check reads the entry to its end, so that damage is known before anything of it is
// used. What is merely cut short is no damage: reading it ends where it was cut.
func (e *Entry) Check() error {
	if e.Checked {
		return nil
	}
	unpacked, quiet := e.w.unpacked, e.w.src.quiet
	e.w.src.quiet = true
	defer func() { e.w.unpacked, e.w.src.quiet = unpacked, quiet }()
	rc, err := e.Open()
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{rc}, e.w.scratch())
	if errors.Is(err, errCut) {
		return nil
	}
	return err
}

// Kind tells an archive or a compressed file by its first bytes; 512 are enough. ""
// is neither, or none that can be read.
func Kind(head []byte) string {
	for _, m := range []struct{ magic, kind string }{
		{"PK\x03\x04", "zip"}, {"PK\x05\x06", "zip"}, {"\x1f\x8b\x08", "gzip"}, {"(\xb5/\xfd", "zstd"}, {"BZh", "bzip2"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			if m.kind == "bzip2" && (len(head) < 10 || head[3] < '1' || head[3] > '9' || string(head[4:10]) != "1AY&SY" && string(head[4:10]) != "\x17rE8P\x90") {
				continue // a text that begins so
			}
			return m.kind
		}
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return "tar"
	}
	return ""
}

// Walk calls visit for every file in the archive src and in the archives in it, in the
// order in which they lie there, and fault for what cannot be read, after which it
// goes on. Hidden files, the leavings of file managers, and pictures that lie beside
// an XML file, for they are parts of it, are passed over. progress, where it is not
// nil, is told of the bytes of src that have been dealt with.
//
// The error is that of ctx, of visit, or of reading src.
func Walk(ctx context.Context, name string, src io.ReaderAt, size int64, lim Limits, progress func(int64), visit func(*Entry) error, fault func(Fault)) error {
	w := &walker{ctx: ctx, lim: lim.withDefaults(), size: size, visit: visit, faults: fault}
	w.src = &source{ctx: ctx, r: src, progress: progress}
	err := w.archive(name, w.src, size, 1, nil)
	w.pool = nil
	var f Fault
	switch {
	case w.src.err != nil:
		return w.src.err
	case errors.As(err, &f):
		fault(f)
		return nil
	}
	if err == nil && w.found == 0 && w.faulty == 0 {
		fault(Fault{name, "an archive in which there is no document", "check that it is the file you meant"})
	}
	return err
}

type walker struct {
	ctx      context.Context
	lim      Limits
	src      *source
	size     int64
	visit    func(*Entry) error
	faults   func(Fault)
	unpacked int64
	entries  int
	found    int
	faulty   int
	pool     [][]byte
	buf      []byte
}

func (w *walker) scratch() []byte {
	if w.buf == nil {
		w.buf = make([]byte, 128<<10)
	}
	return w.buf
}

// archive reads what is known to be one. pack is of the entry it came in as, for a
// document that only looks like an archive.
func (w *walker) archive(name string, src io.ReaderAt, size int64, depth int, as *Entry) error {
	head := make([]byte, 512)
	n, err := src.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return w.fault(name, err)
	}
	switch kind := Kind(head[:n]); kind {
	case "zip":
		return w.zip(name, src, size, depth, as)
	case "tar":
		return w.tar(name, size, depth, nil, src)
	case "":
		return Fault{name, "an archive of a kind that cannot be read", "unpack it first"}
	default:
		return w.compressed(name, kind, src, size, depth)
	}
}

// keep tells fault of what must not end the walk: what is wrong with one entry.
func (w *walker) keep(err error) error {
	var f Fault
	if w.src.err == nil && errors.As(err, &f) && !errors.Is(err, errSpent) {
		w.faulty++
		w.faults(f)
		return nil
	}
	return err
}

// entry gives e to visit, or walks it where it is an archive. inPlace, where it is not
// nil, is the entry's content as it lies in the archive.
func (w *walker) entry(e *Entry, inPlace *io.SectionReader, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	e.w = w
	head := make([]byte, 512)
	if inPlace != nil {
		n, err := inPlace.ReadAt(head, 0)
		if err != nil && err != io.EOF {
			return w.fault(e.Name, err)
		}
		if Kind(head[:n]) == "" {
			inPlace = nil
		}
		head = head[:n]
	} else {
		rc, err := e.open()
		if err != nil {
			return w.fault(e.Name, err)
		}
		n, err := io.ReadFull(rc, head)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			rc.Close()
			return w.fault(e.Name, err)
		}
		head = head[:n]
		defer e.goOn(head, rc)()
	}
	if Kind(head) == "" {
		w.found++
		return w.visit(e)
	}
	if depth >= w.lim.Depth {
		return Fault{e.Name, fmt.Sprintf("archives nested more than %d deep", w.lim.Depth), "unpack it first"}
	}
	if inPlace != nil {
		return w.archive(e.Name, inPlace, inPlace.Size(), depth+1, e)
	}
	rc, err := e.Open()
	if err != nil {
		return err
	}
	held, err := w.hold(rc, e.Size, w.lim.Disk)
	rc.Close()
	if err != nil {
		return w.fault(e.Name, err)
	}
	defer held.Close()
	return w.archive(e.Name, held, held.Size(), depth+1, &Entry{Name: e.Name, Size: held.Size(), Checked: true, w: w, packed: held.Size(),
		open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(held, 0, held.Size())), nil }})
}

// goOn lets the first Open go on with what was opened to look at the head. What it
// returns closes that where nobody asked for it.
func (e *Entry) goOn(head []byte, rc io.ReadCloser) func() {
	first, again := true, e.open
	e.open = func() (io.ReadCloser, error) {
		if first {
			first = false
			return readCloser{io.MultiReader(bytes.NewReader(head), rc), rc}, nil
		}
		return again()
	}
	return func() {
		if first {
			rc.Close()
		}
	}
}

// count holds the number of entries within its bound.
func (w *walker) count(name string) error {
	if w.entries++; w.entries > w.lim.Entries {
		return spent{Fault{name, fmt.Sprintf("more than %d files in one archive; what comes after is not read", w.lim.Entries), "split the archive"}}
	}
	return w.ctx.Err()
}

// place cleans a name in an archive; ok is false where it leads out.
func place(in, name string) (full string, ok bool) {
	name = strings.ToValidUTF8(strings.ReplaceAll(name, `\`, "/"), "\uFFFD")
	name = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, name)
	clean := path.Clean(name)
	ok = name != "" && !strings.HasPrefix(clean, "/") && clean != ".." && !strings.HasPrefix(clean, "../") && !(len(clean) > 1 && clean[1] == ':')
	for len(clean) > 400 {
		r := []rune(clean)
		clean = "…" + string(r[len(r)-min(len(r)-1, 80):])
	}
	return in + Inside + strings.TrimPrefix(clean, "/"), ok
}

const leadsOut = "a name in an archive that leads out of it"

// passedOver: what is no file that anybody meant to give.
func passedOver(name string) bool {
	name = strings.ReplaceAll(name, `\`, "/")
	if strings.HasSuffix(name, "/") {
		return true
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "__MACOSX" || strings.HasPrefix(part, ".") && part != "." && part != ".." {
			return true
		}
	}
	base := path.Base(name)
	return strings.EqualFold(base, "thumbs.db") || strings.EqualFold(base, "desktop.ini")
}

// picture files that DailyMed puts beside a label's XML.
func picture(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".bmp", ".svg":
		return true
	}
	return false
}

// beside are the folders in which an XML file lies.
type beside map[string]bool

func (b beside) add(name string) {
	if strings.EqualFold(path.Ext(name), ".xml") {
		b[path.Dir(name)] = true
	}
}

func (b beside) part(name string) bool { return picture(name) && b[path.Dir(name)] }

type readCloser struct {
	io.Reader
	io.Closer
}

// failing gives errors their Fault.
type failing struct {
	io.ReadCloser
	e *Entry
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = f.e.w.fault(f.e.Name, err)
	}
	return n, err
}

// isDocument: Office and OpenDocument files, and books, are zips with such an entry.
func isDocument(z *zip.Reader) bool {
	for i, f := range z.File {
		if f.Name == "[Content_Types].xml" || i == 0 && f.Name == "mimetype" {
			return true
		}
	}
	return false
}
