package flow

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"

	"rxedge/index/chunk"
	"rxedge/index/document"
)

// steps between reading a document and its vectors, in order. The error is a
// document.Problem where the document is no good.
var steps = []step{{Section, section}, {Chunk, cut}}

type step struct {
	stage Stage
	do    func(*item) error
}

// section looks whether the document is one that can be published: what comes out of a
// reader is believed nowhere else.
func section(it *item) error {
	d := it.Document
	bad := func(format string, args ...any) error {
		return document.Problem{Reason: "what was read of it is not sound: " + fmt.Sprintf(format, args...), Fix: "report it, with the file"}
	}
	if d.ID == "" || !utf8.ValidString(d.ID) || len(d.ID) > 1000 {
		return bad("a document without an id")
	}
	if len(d.Sections) == 0 {
		return bad("a document without sections")
	}
	ids := make(map[string]bool, len(d.Sections))
	for i := range d.Sections {
		s := &d.Sections[i]
		switch {
		case s.ID == "" || ids[s.ID]:
			return bad("section %d has no id of its own", i+1)
		case s.Text == "" || !utf8.ValidString(s.Text):
			return bad("section %d has no text", i+1)
		}
		ids[s.ID] = true
		for _, p := range s.Places {
			if p.At < 0 || p.At > len(s.Text) {
				return bad("section %d says of a place outside it where that came from", i+1)
			}
		}
	}
	return nil
}

// cut counts the passages that boxes will make of it. A document over which the cutter
// fails fails here, and not on every box.
func cut(it *item) error {
	it.Passages = len(chunk.Split(it.Document, chunk.ConservativeCounter{}, chunk.Options{}))
	return nil
}

// pack gathers what comes of a unit and sends it when there is enough.
type pack struct {
	ctx   context.Context
	q     *Queue
	r     result
	bytes int
	cur   placed
	at    int  // of cur in r.Sources, -1 where it is not there yet
	last  bool // a result that was flushed was the last of its unit
}

func (p *pack) begin(s placed) { p.cur, p.at = s, -1 }

func (p *pack) source() int {
	if p.at < 0 {
		p.at = len(p.r.Sources)
		p.r.Sources = append(p.r.Sources, p.cur)
	}
	return p.at
}

// add a document of the source that was begun.
func (p *pack) add(it item) error {
	it.Source = p.source()
	p.r.Items = append(p.r.Items, it)
	p.bytes += 1024 + len(it.Vectors)
	for i := range it.Document.Sections {
		p.bytes += len(it.Document.Sections[i].Text) + 256
	}
	if p.bytes < resultBytes {
		return nil
	}
	return p.flush()
}

// refuse what can't be read of the source that was begun.
func (p *pack) refuse(pr document.Problem) {
	pr.File = p.cur.As
	p.r.Refused = append(p.r.Refused, refused{p.source(), pr})
}

// done says that all of the source is in this result or one before.
func (p *pack) done(s placed) { p.r.Done = append(p.r.Done, s) }

func (p *pack) flush() error {
	if len(p.r.Items)+len(p.r.Refused)+len(p.r.Done) > 0 || p.r.Last {
		if err := p.q.putResult(p.ctx, &p.r); err != nil {
			return err
		}
	}
	p.last = p.r.Last
	p.r = result{Unit: p.r.Unit, Run: p.r.Run, Blob: p.r.Blob, Embedder: p.r.Embedder}
	p.bytes, p.at = 0, -1
	return nil
}

// panicked is the place in our own code, or else the first at all, that a panic came
// from: no value of it, which may hold text.
func panicked() string {
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	first := ""
	for {
		f, more := frames.Next()
		name := fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		if strings.HasPrefix(f.Function, "rxedge/") {
			return f.Function + " " + name
		}
		if first == "" && !strings.HasPrefix(f.Function, "runtime.") {
			first = f.Function + " " + name
		}
		if !more {
			return first
		}
	}
}
