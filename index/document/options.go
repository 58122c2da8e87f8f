package document

import (
	"fmt"
	"strings"
	"time"
)

// Options bound what Read takes from one file. The zero value means the
// defaults that stand beside each field.
type Options struct {
	MaxFileBytes int64 // 64 MiB; of a file that is read page by page, MaxStreamBytes
	MaxLineBytes int   // of one JSONL record; 16 MiB
	MaxSections  int   // of one document; 20,000
	MaxDepth     int   // nesting of XML, HTML and JSON; 256
	MaxElements  int   // markup elements, or JSONL records, of one file; 1,000,000
	// MaxStreamBytes of a file that is never held in memory as a whole (PDF, openFDA
	// JSON); 4 GiB
	MaxStreamBytes   int64
	MaxArchiveBytes  int64         // of an archive; 64 GiB
	MaxUnpackedBytes int64         // of all that is in one; 128 GiB
	MaxFileTime      time.Duration // for one PDF, but for recognising its scans; 30 minutes
	MaxPageTime      time.Duration // for each run of tesseract on a page; 10 minutes
	// Tesseract is the program that reads scans; "" is the one on PATH.
	Tesseract string
	// CacheDir keeps the compiled PDF engine (20 MiB); "" is the user's own cache
	// folder. Without either it is compiled in each process, which takes seconds.
	CacheDir string
	// TempDir is where an archive in an archive lies while it is read, where it is over
	// 8 MiB: in a file without a name. "" is the system's own.
	TempDir      string
	MaxTempBytes int64 // of such a file; 4 GiB
	// Mapping says what the columns of tables are that have no mapping beside them
	// (NAME.map.toml); MappingName is what problems with it call it.
	Mapping     []byte
	MappingName string
	// Progress, where it is set, is called from Read's own goroutine before
	// each file, after each page of a file of pages, after each MiB of an archive or of
	// a bulk file, and once at the end.
	Progress func(Progress)
}

// Progress is how far a Read has come.
type Progress struct {
	File       string // about to be read; "" at the end
	FilesDone  int
	FilesTotal int
	BytesDone  int64
	BytesTotal int64
	Page       int // of File that were read; 0 where it has no pages
	Pages      int
}

const maxMarkupTagBytes = 1 << 20 // one start tag with all its attributes

func (o Options) withDefaults() Options {
	if o.MaxFileBytes <= 0 {
		o.MaxFileBytes = 64 << 20
	}
	if o.MaxLineBytes <= 0 {
		o.MaxLineBytes = 16 << 20
	}
	if o.MaxSections <= 0 {
		o.MaxSections = 20_000
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = 256
	}
	if o.MaxElements <= 0 {
		o.MaxElements = 1_000_000
	}
	if o.MaxStreamBytes <= 0 {
		o.MaxStreamBytes = 4 << 30
	}
	if o.MaxArchiveBytes <= 0 {
		o.MaxArchiveBytes = 64 << 30
	}
	if o.MaxUnpackedBytes <= 0 {
		o.MaxUnpackedBytes = 128 << 30
	}
	if o.MaxTempBytes <= 0 {
		o.MaxTempBytes = 4 << 30
	}
	if o.MaxFileTime <= 0 {
		o.MaxFileTime = 30 * time.Minute
	}
	if o.MaxPageTime <= 0 {
		o.MaxPageTime = 10 * time.Minute
	}
	return o
}

// Problem says what could not be read, where, and what to do about it. A
// Problem concerns a whole file, or one record of it where Record is set; the
// rest of the file has then been read. It never carries text of the file.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`   // from 1, 0 where unknown
	Column int    `json:"column,omitempty"` // in bytes, from 1
	Record int    `json:"record,omitempty"` // from 1: the n-th record of the file, the n-th row of a table
	Sheet  string `json:"sheet,omitempty"`  // of a workbook
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
	Fix    string `json:"fix"`
	// More counts further records of the file, or files of the archive, with the same
	// reason.
	More int `json:"more,omitempty"`
	// Mapping is one to begin with, of the words of a table's header, where the
	// table has none.
	Mapping string `json:"mapping,omitempty"`
}

// Error makes a Problem an error, for callers that read one document only.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	switch {
	case p.Line > 0 && p.Column > 0:
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	case p.Line > 0:
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	switch {
	case p.Sheet != "" && p.Record > 0:
		fmt.Fprintf(&b, "sheet %q, row %d: ", p.Sheet, p.Record)
	case p.Sheet != "":
		fmt.Fprintf(&b, "sheet %q: ", p.Sheet)
	case p.Record > 0:
		fmt.Fprintf(&b, "record %d: ", p.Record)
	}
	if p.Field != "" {
		fmt.Fprintf(&b, "field %q: ", p.Field)
	}
	b.WriteString(p.Reason)
	switch {
	case p.More > 0 && p.Record > 0:
		fmt.Fprintf(&b, " (and %d more records like it)", p.More)
	case p.More > 0:
		fmt.Fprintf(&b, " (and %d more like it)", p.More)
	}
	if p.Fix != "" {
		b.WriteString("; ")
		b.WriteString(p.Fix)
	}
	return b.String()
}

// WholeFile says whether nothing at all was read from the file.
func (p Problem) WholeFile() bool { return p.Record == 0 }
