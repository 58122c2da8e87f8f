package document

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"rxedge/index/document/archive"
	"rxedge/index/document/ocr"
	"rxedge/index/document/ooxml"
	"rxedge/index/document/sheet"
)

// Read reads one file, or every file under a folder in the order of their
// names, and yields each Document as it is complete: whole or not at all. What
// cannot be read becomes a Problem and the rest goes on. Files and folders
// whose names start with a dot are passed over; a link inside a folder is not
// followed. Archives, and archives in them, are read as folders are.
//
// Of a label that comes more than once, by its set id, the newest version counts: one
// that is yielded under an id that was yielded before takes its place. An older one is
// a Problem, one that says the same is nothing.
//
// The error is that of ctx, of yield, or of a path that cannot be opened. The
// Problems found until then are returned with it.
func Read(ctx context.Context, path string, opt Options, yield func(*Document) error) ([]Problem, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading documents: %w", err)
	}
	r := newReader(ctx, opt, yield)
	if !info.IsDir() {
		r.total = Progress{FilesTotal: 1, BytesTotal: info.Size()}
		r.beside = func(name string) ([]byte, error) { return readMapping(os.Open(name)) }
		err = r.file(found{name: path, size: info.Size(), mode: info.Mode()}, func() (io.ReadCloser, error) { return os.Open(path) })
		r.finish()
		return r.problems, err
	}
	// os.Root keeps every open inside the folder, whatever happens to the
	// links in it between the walk and the reading.
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("reading documents: %w", err)
	}
	defer root.Close()
	files, err := r.walk(root, path)
	if err != nil {
		return r.problems, err
	}
	for _, f := range files {
		open := func() (io.ReadCloser, error) { return root.Open(f.rel) }
		r.beside = func(name string) ([]byte, error) {
			return readMapping(root.Open(filepath.Join(filepath.Dir(f.rel), filepath.Base(name))))
		}
		if err := r.file(f, open); err != nil {
			return r.problems, err
		}
	}
	r.finish()
	return r.problems, nil
}

// ReadBytes reads the documents in data, as Read would from a file of that
// name.
func ReadBytes(ctx context.Context, name string, data []byte, opt Options, yield func(*Document) error) ([]Problem, error) {
	r := newReader(ctx, opt, yield)
	err := r.content(name, bytes.NewReader(data), int64(len(data)))
	r.finish()
	return r.problems, err
}

// ReadReader reads the documents that come from src, as Read would from a file
// of that name. At most opt.MaxFileBytes are taken, of an archive MaxTempBytes. The
// error is that of ctx, of yield or of src.
func ReadReader(ctx context.Context, name string, src io.Reader, opt Options, yield func(*Document) error) ([]Problem, error) {
	r := newReader(ctx, opt, yield)
	err := r.content(name, src, -1)
	r.finish()
	return r.problems, err
}

type found struct {
	name string // as shown
	rel  string // under the root
	size int64
	mode fs.FileMode
}

type reader struct {
	ctx      context.Context
	opt      Options
	yield    func(*Document) error
	problems []Problem
	total    Progress
	derived  map[string]string // ids made from file names → file
	stated   map[string]stated // ids that labels state
	file0    string            // name shown for the file that is being read
	first    int               // its first problem
	inside   bool              // it lies in an archive
	outer    string            // the file as it was given
	told     int64             // bytes of it that Progress was told of
	peek     *bufio.Reader
	// beside opens a file that lies beside the one that is being read; nil where
	// nothing does.
	beside func(name string) ([]byte, error)
}

func newReader(ctx context.Context, opt Options, yield func(*Document) error) *reader {
	return &reader{ctx: ctx, opt: opt.withDefaults(), yield: yield, derived: map[string]string{}, stated: map[string]stated{}}
}

func (r *reader) finish() {
	if r.opt.Progress != nil {
		p := r.total
		p.File = ""
		r.opt.Progress(p)
	}
}

func (r *reader) walk(root *os.Root, shown string) ([]found, error) {
	var files []found
	err := fs.WalkDir(root.FS(), ".", func(rel string, d fs.DirEntry, err error) error {
		if cerr := r.ctx.Err(); cerr != nil {
			return cerr
		}
		name := filepath.Join(shown, rel)
		if err != nil {
			r.problems = append(r.problems, Problem{File: name, Reason: "cannot be opened: " + plainError(err), Fix: "check that the service may read it"})
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if rel != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			// A link to a file inside is read in its own place; one that leads
			// out is not ours to follow.
			if _, err := root.Stat(rel); err != nil {
				r.problems = append(r.problems, Problem{File: name, Reason: "a link that leads nowhere or out of the folder", Fix: "copy the file itself into the folder"})
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			r.problems = append(r.problems, Problem{File: name, Reason: "cannot be opened: " + plainError(err), Fix: "check that the service may read it"})
			return nil
		}
		files = append(files, found{name: name, rel: rel, size: info.Size(), mode: info.Mode()})
		r.total.FilesTotal++
		r.total.BytesTotal += info.Size()
		return nil
	})
	sort.Slice(files, func(i, j int) bool { return files[i].rel < files[j].rel })
	return files, err
}

// file reads one file. Its error ends the whole Read.
func (r *reader) file(f found, open func() (io.ReadCloser, error)) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.opt.Progress != nil {
		p := r.total
		p.File = f.name
		r.opt.Progress(p)
	}
	defer func() {
		r.total.FilesDone++
		r.total.BytesDone += f.size
	}()
	if !f.mode.IsRegular() {
		r.problems = append(r.problems, Problem{File: f.name, Reason: "not a regular file", Fix: "give a file or a folder"})
		return nil
	}
	src, err := open()
	if err != nil {
		r.problems = append(r.problems, Problem{File: f.name, Reason: "cannot be opened: " + plainError(err), Fix: "check that the service may read it"})
		return nil
	}
	defer src.Close()
	err = r.content(f.name, src, f.size)
	if err != nil && errors.As(err, new(*fs.PathError)) {
		r.problems = append(r.problems, Problem{File: f.name, Reason: "cannot be read: " + plainError(err), Fix: "check the disk and that the service may read it"})
		return nil
	}
	return err
}

func tooLarge(name string, size, limit int64) Problem {
	of := ""
	if size > 0 {
		of = fmt.Sprintf(" of %s", megabytes(size))
	}
	return Problem{File: name, Reason: fmt.Sprintf("a file%s is over the limit of %s for one file", of, megabytes(limit)), Fix: "split it into smaller files or raise the limit"}
}

func megabytes(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// content reads src and parses it. What is read in parts goes to its parser as it
// comes; all else is read to its end first. size is -1 where it is not known.
func (r *reader) content(name string, src io.Reader, size int64) error {
	r.file0 = name
	r.first = len(r.problems)
	if isMapping(name) {
		return nil // it is read with the table beside it
	}
	counted := &ctxReader{r: r, src: src}
	if !r.inside {
		r.outer, r.told, counted.counts = name, 0, true
	}
	in := r.peeker(counted)
	head, err := in.Peek(headBytes)
	if err != nil && err != io.EOF {
		return err
	}
	office := ooxml.Looks(head) || r.inside && bytes.HasPrefix(head, []byte("PK\x03\x04"))
	if archive.Kind(head) != "" && !r.inside && !office {
		return r.unpack(name, src, in, size)
	}
	if office && size > r.opt.MaxFileBytes && !r.inside && !isOffice(src, size) {
		return r.unpack(name, src, in, size)
	}
	if size > r.opt.MaxStreamBytes {
		r.problem(tooLarge(name, size, r.opt.MaxStreamBytes))
		return nil
	}
	if seeker, ok := src.(io.ReadSeeker); ok && size > 0 && looksLikePDF(head) {
		return r.kept(r.parsePDF(filepath.Base(name), seeker, size))
	}
	if at, ok := src.(io.ReaderAt); ok && size > 0 && ocr.Form(head) != "" {
		return r.kept(r.parsePictures(filepath.Base(name), at, size))
	}
	if isBulk(name, head, err == io.EOF) {
		return r.kept(r.parseOpenFDA(filepath.Base(name), r.bounded(in)))
	}
	if size > r.opt.MaxFileBytes {
		r.problem(tooLarge(name, size, r.opt.MaxFileBytes))
		return nil
	}
	var data []byte
	if m, ok := src.(memberReader); ok && m.bytes != nil {
		data = m.bytes
	} else if data, err = io.ReadAll(io.LimitReader(in, r.opt.MaxFileBytes+1)); err != nil {
		return err
	}
	if int64(len(data)) > r.opt.MaxFileBytes {
		r.problem(tooLarge(name, 0, r.opt.MaxFileBytes))
		return nil
	}
	if looksLikePDF(head) {
		return r.kept(r.parsePDF(filepath.Base(name), bytes.NewReader(data), int64(len(data))))
	}
	if ocr.Form(head) != "" {
		return r.kept(r.parsePictures(filepath.Base(name), bytes.NewReader(data), int64(len(data))))
	}
	if office {
		if done, err := r.parseOffice(name, data); done {
			return r.kept(err)
		}
		if !r.inside {
			return r.unpack(name, bytes.NewReader(data), nil, int64(len(data)))
		}
	}
	if sheet.Values(name) {
		return r.kept(r.parseValues(name, data))
	}
	return r.kept(r.parse(name, data))
}

// unpack reads the documents of an archive; rest is src from its beginning.
func (r *reader) unpack(name string, src, rest io.Reader, size int64) error {
	at, ok := src.(io.ReaderAt)
	if !ok || size < 0 {
		held, err := archive.Hold(rest, -1, 8<<20, r.opt.MaxTempBytes, r.opt.TempDir)
		if archive.TooLarge(err) {
			r.problem(tooLarge(name, 0, r.opt.MaxTempBytes))
			return nil
		}
		if err != nil {
			return err
		}
		defer held.Close()
		at, size = held, held.Size()
	}
	return r.archive(name, at, size, r.member)
}

// kept keeps an error that is a Problem; any other ends the Read.
func (r *reader) kept(err error) error {
	if p, ok := err.(Problem); ok {
		r.problem(p)
		return nil
	}
	return err
}

// parse tells the kind of data and hands it to its parser.
func (r *reader) parse(name string, data []byte) error {
	kind, text, err := detect(name, data)
	if err != nil {
		return err
	}
	return r.parseKind(kind, name, text)
}

func (r *reader) parseKind(kind, name string, text []byte) error {
	base := filepath.Base(name)
	switch kind {
	case KindSPL:
		return r.one(parseSPL(base, text, r.opt))
	case KindOpenFDA:
		return r.parseOpenFDA(base, bufio.NewReader(bytes.NewReader(text)))
	case KindJSONL:
		return r.parseJSONL(base, text)
	case KindMarkdown:
		return r.one(parseMarkdown(base, text, r.opt))
	case KindHTML:
		return r.one(parseHTML(base, text, r.opt))
	default:
		return r.one(parseText(base, text, r.opt))
	}
}

func (r *reader) one(d *Document, err error) error {
	if err != nil {
		return err
	}
	return r.emit(d)
}

// emit yields a complete document, or records why it is none.
func (r *reader) emit(d *Document) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if len(d.Sections) == 0 {
		return Problem{Reason: "no text was found in it", Fix: "check that it is the file you meant"}
	}
	if len(d.Sections) > r.opt.MaxSections {
		return Problem{Reason: fmt.Sprintf("%d sections are over the limit of %d for one document", len(d.Sections), r.opt.MaxSections), Fix: "split the document"}
	}
	d.Source = sourceName(r.file0)
	switch d.Kind {
	case KindPDF, KindHTML, KindDOCX, KindText:
		d.Effective = first(d.Effective, documentDate(d))
		if len(d.Names) == 0 {
			d.Names = documentNames(d)
		}
	}
	switch d.Kind {
	case KindMarkdown, KindHTML, KindText, KindPDF, KindPicture, KindDOCX, KindCSV, KindXLSX:
		if other, taken := r.derived[d.ID]; taken {
			return Problem{Reason: fmt.Sprintf("gives the document id %q, which %s has already", d.ID, other), Fix: "rename one of the files, or state an id in it (front matter: id: …)"}
		}
		r.derived[d.ID] = r.file0
	case KindSPL, KindOpenFDA:
		if again, err := r.again(d); again || err != nil {
			return err
		}
	}
	return r.yield(d)
}

// problem adds p for the file that is being read; records that fail alike are
// counted, not listed.
func (r *reader) problem(p Problem) { r.listed(p, 1) }

// listed adds p; of records that fail alike so many are listed, and more are counted.
func (r *reader) listed(p Problem, most int) {
	if p.File == "" {
		p.File = r.file0
	}
	for i := r.first; i < len(r.problems) && p.Record > 0; i++ {
		q := &r.problems[i]
		if q.Reason != p.Reason || q.Field != p.Field || q.Sheet != p.Sheet || q.Record == 0 {
			continue
		}
		if most--; most == 0 {
			q.More++
			return
		}
	}
	r.problems = append(r.problems, p)
}

// ctxReader ends with the reader's context, and tells how far a file was read.
type ctxReader struct {
	r      *reader
	src    io.Reader
	n      int64
	counts bool
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.src.Read(p)
	if c.n += int64(n); c.counts {
		c.r.advance(c.n)
	}
	return n, err
}

// plainError is err without the path, which the Problem names already.
func plainError(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
