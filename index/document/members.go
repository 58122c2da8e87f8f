package document

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"rxedge/index/document/archive"
	"rxedge/index/document/ooxml"
)

// Member is a part of a file that is read by itself: a file in an archive, a record of a
// bulk file, or the whole file where it is neither. It is good until the yield that it is
// given to returns.
type Member struct {
	// Name is that of the file with the names of the archives it lies in,
	// "part1.zip!/prescription/a.zip!/b.xml". ReadBytes of the member's bytes by this
	// name gives the documents that Read gives, and their Source.
	Name string
	// Record is its number in a bulk file, from 1; 0 where the member is a whole file.
	Record int
	Size   int64  // bytes
	SHA256 string // of its bytes, in hexadecimal
	// Line on which a record begins.
	Line    int
	content io.ReaderAt
	bytes   []byte // where it lies in memory
}

// Open reads the member's bytes, from their beginning, as often as is wanted.
func (m Member) Open() *io.SectionReader { return io.NewSectionReader(m.content, 0, m.Size) }

// Members gives the parts of a file that are documents by themselves, each when it was
// read whole and found undamaged, so that they can be read elsewhere: those in an archive
// and in archives in it (Options bounds all of it), the records of an openFDA bulk file,
// else the file itself. What cannot be read is a Problem, and the rest goes on. Which of
// two versions of a document counts is left to whoever reads the members. name is that of
// the file; size its bytes.
//
// The error is that of ctx, of yield, or of src.
func Members(ctx context.Context, name string, src io.ReaderAt, size int64, opt Options, yield func(Member) error) ([]Problem, error) {
	r := newReader(ctx, opt, nil)
	r.total = Progress{FilesTotal: 1, BytesTotal: size}
	r.file0 = name
	sum := func(m Member) error {
		h := sha256.New()
		if _, err := io.Copy(h, m.Open()); err != nil {
			return err
		}
		m.SHA256 = hex.EncodeToString(h.Sum(nil))
		return yield(m)
	}
	head := make([]byte, 512)
	n, err := src.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if archive.Kind(head[:n]) != "" && !(ooxml.Looks(head[:n]) && isOffice(src, size)) {
		err = r.archive(name, src, size, sum)
	} else {
		err = r.kept(r.part(whole{io.NewSectionReader(src, 0, size)}, name, sum))
	}
	if err == nil {
		r.total.FilesDone, r.total.BytesDone = 1, size
		r.finish()
	}
	return r.problems, err
}

// archive gives yield the members of an archive.
func (r *reader) archive(name string, src io.ReaderAt, size int64, yield func(Member) error) error {
	if size > r.opt.MaxArchiveBytes {
		r.problem(tooLarge(name, size, r.opt.MaxArchiveBytes))
		return nil
	}
	r.outer, r.told = name, 0
	err := archive.Walk(r.ctx, name, src, size, archive.Limits{Unpacked: r.opt.MaxUnpackedBytes, Disk: r.opt.MaxTempBytes, Dir: r.opt.TempDir}, r.advance,
		func(e *archive.Entry) error { return r.kept(r.part(entry{e}, e.Name, yield)) },
		func(f archive.Fault) {
			r.problems = append(r.problems, Problem{File: f.Name, Reason: f.Reason, Fix: f.Fix})
		})
	r.file0 = name
	return err
}

// source is a file that may hold many records.
type source interface {
	Open() (io.ReadCloser, error)
	// check finds damage before anything of the file is used; then it must be opened
	// again, unless it was checked already.
	check() (checked bool, err error)
	// hold keeps all that Open gave, of which rest was not read yet.
	hold(rest io.Reader, most int64) (held, error)
}

// held is a file that was read whole.
type held interface {
	io.ReaderAt
	io.Closer
	Size() int64
	Bytes() []byte // where it lies in memory
}

type entry struct{ *archive.Entry }

func (e entry) check() (bool, error) { return e.Checked, e.Check() }

func (e entry) hold(rest io.Reader, most int64) (held, error) { return e.HoldFrom(rest, most) }

// whole is a file that lies in no archive.
type whole struct{ *io.SectionReader }

func (w whole) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(w, 0, w.Size())), nil
}
func (w whole) check() (bool, error)                { return true, nil }
func (w whole) hold(io.Reader, int64) (held, error) { return w, nil }
func (w whole) Bytes() []byte                       { return nil }
func (w whole) Close() error                        { return nil }

// part gives yield a file, or its records one by one.
func (r *reader) part(src source, name string, yield func(Member) error) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.file0, r.first = name, len(r.problems)
	rc, err := src.Open()
	if err != nil {
		return err
	}
	defer func() { rc.Close() }()
	in := r.peeker(rc)
	head, err := in.Peek(headBytes)
	if err != nil && err != io.EOF {
		return err
	}
	if isBulk(name, head, err == io.EOF) {
		checked, err := src.check()
		if err != nil {
			return err
		}
		if !checked {
			rc.Close()
			if rc, err = src.Open(); err != nil {
				rc = io.NopCloser(nil)
				return err
			}
			in = r.peeker(rc)
		}
		return newRecords(r.bounded(in), r.opt).each(func(n, line int, raw []byte) error {
			return r.recorded(n, line, yield(Member{Name: name, Record: n, Line: line, Size: int64(len(raw)), content: bytes.NewReader(raw), bytes: raw}))
		}, r.problem)
	}
	limit := r.opt.MaxFileBytes
	if looksLikePDF(head) {
		limit = r.opt.MaxStreamBytes
	}
	h, err := src.hold(in, limit)
	if archive.TooLarge(err) {
		return tooLarge(name, 0, limit)
	}
	if err != nil {
		return err
	}
	defer h.Close()
	return yield(Member{Name: name, Size: h.Size(), content: h, bytes: h.Bytes()})
}

// member reads the documents of a part of an archive.
func (r *reader) member(m Member) error {
	if m.Record > 0 {
		d, err := openFDALabel(filepath.Base(m.Name), m.bytes)
		return r.one(d, err)
	}
	r.inside = true
	defer func() { r.inside = false }()
	return r.content(m.Name, memberReader{m.Open(), m.bytes}, m.Size)
}

// memberReader is a file of an archive; what lies in memory already is not copied.
type memberReader struct {
	*io.SectionReader
	bytes []byte
}

// headBytes are looked at to tell what a file is.
const headBytes = 64 << 10

// peeker is the reader's own buffer over src.
func (r *reader) peeker(src io.Reader) *bufio.Reader {
	if r.peek == nil {
		r.peek = bufio.NewReaderSize(src, headBytes)
	}
	r.peek.Reset(src)
	return r.peek
}

// most is an error where more comes than left.
type most struct {
	r           io.Reader
	left, limit int64
}

func (m *most) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, Problem{Reason: fmt.Sprintf("more than %s; what comes after is not read", megabytes(m.limit)), Fix: "split it into smaller files or raise the limit"}
	}
	return n, err
}

// bounded holds a file of records within its bound.
func (r *reader) bounded(in io.Reader) *bufio.Reader {
	return bufio.NewReaderSize(&most{in, r.opt.MaxStreamBytes, r.opt.MaxStreamBytes}, headBytes)
}

// sourceName is what a Document says of the file it was read from.
func sourceName(name string) string {
	if outer, inner, ok := strings.Cut(name, archive.Inside); ok {
		return filepath.Base(outer) + archive.Inside + inner
	}
	return filepath.Base(name)
}

// told is how many more bytes must have been read before Progress is called again.
const told = 1 << 20

// advance says that so many bytes of the file that is read have been dealt with.
func (r *reader) advance(done int64) {
	if r.opt.Progress == nil || done-r.told < told && done >= r.told {
		return
	}
	r.told = done
	p := r.total
	p.File, p.BytesDone = r.outer, min(p.BytesDone+done, p.BytesTotal)
	r.opt.Progress(p)
}

// isBulk says that a file, of which this is the beginning or the whole, is openFDA JSON,
// which is read record by record.
func isBulk(name string, head []byte, whole bool) bool {
	body := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	if len(body) == 0 || body[0] != '{' && body[0] != '[' {
		return false
	}
	line, _, lines := bytes.Cut(body, []byte("\n"))
	if whole || lines || body[0] == '[' {
		// What comes after a line that is a record by itself does not matter.
		kind, err := kindOf(name, body)
		return err == nil && kind == KindOpenFDA
	}
	if kind, err := kindOf(name, []byte("{\n")); err != nil || kind != KindOpenFDA {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	depth, key := 0, false
	for {
		t, err := dec.Token()
		if err != nil {
			return false
		}
		switch d, _ := t.(json.Delim); {
		case d == '{' || d == '[':
			depth++
			key = depth == 1
			continue
		case d == '}' || d == ']':
			depth--
			key = depth == 1
			continue
		}
		if depth == 1 {
			if key && t == "results" {
				return true
			}
			key = !key
		}
	}
}
