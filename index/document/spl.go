package document

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// parseSPL reads an HL7 Structured Product Label, as DailyMed publishes it
// (FDA, "Structured Product Labeling Implementation Guide").
func parseSPL(base string, text []byte, opt Options) (*Document, error) {
	x := newXMLReader(text, opt)
	root, err := x.root()
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "document" {
		return nil, x.problem(fmt.Sprintf("XML, but not a label: its first element is <%.80s>, not <document>", root.Name.Local), "give an SPL document as DailyMed publishes it")
	}
	p := &splReader{xmlReader: x, doc: &Document{Kind: KindSPL, Source: base}}
	if err := p.document(); err != nil {
		return nil, err
	}
	d := p.doc
	if d.ID == "" {
		d.ID = p.id
	}
	if d.ID == "" {
		return nil, Problem{Field: "setId", Reason: "the label has no set id", Fix: "give the file as DailyMed publishes it"}
	}
	if id := oneLine(p.id); id != d.ID {
		p.codes.add("spl", id)
	}
	d.Names, d.Codes = p.names.list, p.codes.list
	d.Title = splTitle(p.title, d)
	d.Sections = assemble(d.ID, p.top)
	return d, nil
}

type splReader struct {
	*xmlReader
	doc   *Document
	id    string
	title string
	top   []*draft
	n     int // sections
	names names
	codes codes
}

// document reads what stands in <document>.
func (p *splReader) document() error {
	return p.children(func(el xml.StartElement) error {
		switch el.Name.Local {
		case "id":
			p.id = first(attr(el, "root"), p.id)
			return p.skip()
		case "setId":
			p.doc.ID = oneLine(attr(el, "root"))
			return p.skip()
		case "versionNumber":
			p.doc.Version = oneLine(attr(el, "value"))
			return p.skip()
		case "effectiveTime":
			p.doc.Effective = splDate(attr(el, "value"))
			return p.skip()
		case "title":
			n, err := p.tree(el)
			if err == nil {
				p.title = n.inline()
			}
			return err
		case "component":
			return p.body(nil)
		}
		return p.skip()
	})
}

// body reads a component, and the structuredBody and components in it, down to
// their sections.
func (p *splReader) body(up *draft) error {
	return p.children(func(el xml.StartElement) error {
		switch el.Name.Local {
		case "structuredBody", "component":
			return p.body(up)
		case "section":
			return p.section(up)
		}
		return p.skip()
	})
}

func (p *splReader) section(up *draft) error {
	p.n++
	if p.n > p.opt.MaxSections {
		return p.problem(fmt.Sprintf("more than %d sections", p.opt.MaxSections), "split the document or raise the limit")
	}
	d := &draft{}
	if up == nil {
		p.top = append(p.top, d)
	} else {
		up.kids = append(up.kids, d)
	}
	return p.children(func(el xml.StartElement) error {
		switch el.Name.Local {
		case "id":
			d.guid = strings.ToLower(oneLine(attr(el, "root")))
			return p.skip()
		case "code":
			d.loinc = oneLine(attr(el, "code"))
			return p.skip()
		case "title":
			n, err := p.tree(el)
			if err == nil {
				d.title = n.inline()
			}
			return err
		case "text", "excerpt":
			n, err := p.tree(el)
			if err != nil {
				return err
			}
			if el.Name.Local == "excerpt" {
				d.fallback = renderText(n)
			} else {
				d.text = joinText(d.text, renderText(n))
			}
			return nil
		case "component":
			return p.body(d)
		case "subject":
			n, err := p.tree(el)
			if err == nil {
				p.product(n)
			}
			return err
		}
		return p.skip()
	})
}

func joinText(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// splDate turns an HL7 time (20140113, 201401, 20140113120000-0500) into a
// date; what it does not say is not made up.
func splDate(v string) string {
	v = strings.TrimSpace(v)
	if len(v) < 8 {
		return ""
	}
	t, err := time.Parse("20060102", v[:8])
	if err != nil {
		return ""
	}
	return t.Format("2006-01-02")
}

// splTitle takes from the title what is said in every label: "These highlights
// do not include all the information needed to use X … Initial U.S. Approval".
func splTitle(title string, d *Document) string {
	if _, rest, ok := strings.Cut(title, "See full prescribing information for "); ok && strings.HasPrefix(title, "These highlights") {
		if _, after, ok := strings.Cut(rest, ". "); ok {
			title = after
		}
	}
	if i := strings.Index(strings.ToLower(title), "initial u.s. approval"); i > 0 {
		title = title[:i]
	}
	title = strings.TrimSpace(title)
	brand, generic := "", ""
	for _, n := range d.Names {
		switch {
		case n.Kind == "brand" && brand == "":
			brand = n.Text
		case n.Kind == "generic" && generic == "":
			generic = n.Text
		}
	}
	name := brand
	if generic != "" && !strings.EqualFold(generic, brand) {
		name = strings.TrimSpace(brand + " (" + generic + ")")
	}
	switch {
	case title == "":
		return first(name, "Label "+d.ID)
	case strings.EqualFold(title, "Drug Facts") && name != "":
		return name + ": " + title
	}
	return title
}

// xmlReader is a decoder with limits, whose errors say where.
type xmlReader struct {
	d        *xml.Decoder
	guard    *tagGuard
	opt      Options
	depth    int
	elements int
	open     []string
}

func newXMLReader(text []byte, opt Options) *xmlReader {
	x := &xmlReader{guard: &tagGuard{r: bytes.NewReader(text)}, opt: opt}
	x.d = xml.NewDecoder(x.guard)
	x.d.Entity = xml.HTMLEntity // a fixed list; none of them holds another
	x.d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	return x
}

func (x *xmlReader) problem(reason, fix string) Problem {
	line, col := x.d.InputPos()
	return Problem{Line: line, Column: col, Reason: reason, Fix: fix}
}

// token returns the next start, end or piece of text.
func (x *xmlReader) token() (xml.Token, error) {
	for {
		t, err := x.d.Token()
		if err != nil {
			return nil, x.explain(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			x.depth++
			x.elements++
			if x.depth > x.opt.MaxDepth {
				return nil, x.problem(fmt.Sprintf("elements are nested more than %d deep", x.opt.MaxDepth), "give the file as DailyMed publishes it")
			}
			if x.elements > x.opt.MaxElements {
				return nil, x.problem(fmt.Sprintf("more than %d elements", x.opt.MaxElements), "split the document or raise the limit")
			}
			x.open = append(x.open, t.Name.Local)
			return t, nil
		case xml.EndElement:
			x.depth--
			x.open = x.open[:len(x.open)-1]
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			if bytes.Contains(t, []byte("ENTITY")) {
				return nil, x.problem("declares entities of its own, which are never expanded", "write the characters themselves")
			}
		}
	}
}

func (x *xmlReader) explain(err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, errTagTooLong):
		return x.problem(fmt.Sprintf("one element's attributes are over %s", megabytes(maxMarkupTagBytes)), "give the file as DailyMed publishes it")
	case errors.Is(err, io.EOF), errors.As(err, &syntax) && strings.Contains(syntax.Msg, "unexpected EOF"):
		inside := ""
		if len(x.open) > 0 {
			inside = fmt.Sprintf(" inside <%.80s>", x.open[len(x.open)-1])
		}
		return x.problem("the file ends in the middle"+inside+": it is cut short", "fetch it again")
	case errors.As(err, &syntax):
		p := x.problem("broken XML: "+plainXML(syntax.Msg), "fetch it again, or mend it at that place")
		return p
	}
	return x.problem("broken XML", "fetch it again")
}

// plainXML keeps the decoder's words, which name elements and never text, to a
// sensible length.
func plainXML(msg string) string {
	if r := []rune(msg); len(r) > 160 {
		return string(r[:160]) + "…"
	}
	return msg
}

func (x *xmlReader) root() (xml.StartElement, error) {
	for {
		t, err := x.token()
		if err != nil {
			return xml.StartElement{}, err
		}
		if el, ok := t.(xml.StartElement); ok {
			return el, nil
		}
	}
}

// children calls do for each element directly inside the one that was just
// opened; do takes it to its end.
func (x *xmlReader) children(do func(xml.StartElement) error) error {
	for {
		t, err := x.token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := do(t); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

// skip passes over the element that was just opened.
func (x *xmlReader) skip() error {
	for level := 1; level > 0; {
		t, err := x.token()
		if err != nil {
			return err
		}
		switch t.(type) {
		case xml.StartElement:
			level++
		case xml.EndElement:
			level--
		}
	}
	return nil
}

// tree reads the element el that was just opened, whole.
func (x *xmlReader) tree(el xml.StartElement) (*node, error) {
	n := &node{name: el.Name.Local}
	for _, a := range el.Attr {
		if keptAttr[a.Name.Local] {
			if n.attr == nil {
				n.attr = map[string]string{}
			}
			n.attr[a.Name.Local] = clean(a.Value)
		}
	}
	for {
		t, err := x.token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			k, err := x.tree(t)
			if err != nil {
				return nil, err
			}
			n.kids = append(n.kids, k)
		case xml.EndElement:
			return n, nil
		case xml.CharData:
			n.kids = append(n.kids, &node{text: clean(string(t))})
		}
	}
}

func attr(el xml.StartElement, name string) string {
	for _, a := range el.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

var errTagTooLong = errors.New("a tag is too long")

// tagGuard stops a reader at a tag that grows without end, before the decoder
// has kept its attributes. What it passes on ends at the limit.
type tagGuard struct {
	r     io.Reader
	in    bool // inside < >
	quote byte
	size  int
	tail  [2]byte
	skip  string // in a comment or CDATA: what ends it
}

func (g *tagGuard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	for _, c := range p[:n] {
		if g.step(c) {
			return 0, errTagTooLong
		}
	}
	return n, err
}

func (g *tagGuard) step(c byte) bool {
	a, b := g.tail[0], g.tail[1]
	g.tail = [2]byte{b, c}
	switch {
	case g.skip != "":
		if a == g.skip[0] && b == g.skip[1] && c == '>' {
			g.skip, g.in = "", false
		}
	case !g.in:
		if c == '<' {
			g.in, g.quote, g.size = true, 0, 0
		}
	default:
		g.size++
		switch {
		case g.size == 1 && (c <= ' ' || c >= '0' && c <= '9' || c == '='):
			g.in = false // "< 30", no tag
		case g.size == 3 && a == '!' && b == '-' && c == '-':
			g.skip, g.tail = "--", [2]byte{}
		case g.size == 2 && b == '!' && c == '[':
			g.skip, g.tail = "]]", [2]byte{}
		case g.quote != 0:
			if c == g.quote {
				g.quote = 0
			}
		case c == '"' || c == '\'':
			g.quote = c
		case c == '>':
			g.in = false
		}
	}
	return g.size > maxMarkupTagBytes
}
