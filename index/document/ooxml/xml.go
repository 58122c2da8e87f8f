package ooxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// Limits of the XML of one part.
const (
	maxDepth    = 400
	maxElements = 20_000_000 // in one part
	maxTree     = 2_000_000  // in one tree
	maxAttr     = 1 << 20    // bytes of one element's attributes
)

// Element is an element without what stands in it.
type Element struct {
	Space, Local string
	Attr         []xml.Attr
}

// Get gives an attribute by its local name; "" where there is none.
func (e *Element) Get(local string) string {
	for _, a := range e.Attr {
		if a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// Node is an element with what stands in it, or a piece of text, which has no name.
type Node struct {
	// Name is the local name after the usual prefix of its namespace: "w:p",
	// "m:oMath"; without one where the namespace is another.
	Name string
	Text string
	Attr []xml.Attr
	Kids []*Node
}

// Get gives an attribute by its local name.
func (n *Node) Get(local string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.Attr {
		if a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// Child is the first child of that name, nil where there is none.
func (n *Node) Child(name string) *Node {
	if n == nil {
		return nil
	}
	for _, k := range n.Kids {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// At follows names downwards from n.
func (n *Node) At(names ...string) *Node {
	for _, name := range names {
		n = n.Child(name)
	}
	return n
}

// prefixes of namespaces, transitional and strict ones.
var prefixes = map[string]string{
	"http://schemas.openxmlformats.org/wordprocessingml/2006/main":           "w:",
	"http://purl.oclc.org/ooxml/wordprocessingml/main":                       "w:",
	"http://schemas.openxmlformats.org/officeDocument/2006/math":             "m:",
	"http://purl.oclc.org/ooxml/officeDocument/math":                         "m:",
	"http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing": "wp:",
	"http://purl.oclc.org/ooxml/drawingml/wordprocessingDrawing":             "wp:",
	"http://schemas.openxmlformats.org/drawingml/2006/main":                  "a:",
	"http://purl.oclc.org/ooxml/drawingml/main":                              "a:",
	"http://schemas.openxmlformats.org/drawingml/2006/picture":               "pic:",
	"http://purl.oclc.org/ooxml/drawingml/picture":                           "pic:",
	"http://schemas.openxmlformats.org/drawingml/2006/chart":                 "c:",
	"http://purl.oclc.org/ooxml/drawingml/chart":                             "c:",
	"http://schemas.openxmlformats.org/drawingml/2006/diagram":               "dgm:",
	"http://purl.oclc.org/ooxml/drawingml/diagram":                           "dgm:",
	"http://schemas.openxmlformats.org/markup-compatibility/2006":            "mc:",
	"urn:schemas-microsoft-com:vml":                                          "v:",
	"http://schemas.microsoft.com/office/word/2010/wordprocessingShape":      "wps:",
	"http://schemas.openxmlformats.org/spreadsheetml/2006/main":              "x:",
	"http://purl.oclc.org/ooxml/spreadsheetml/main":                          "x:",
}

// Decoder reads the XML of one part. A DTD is refused.
type Decoder struct {
	io.Closer
	x        *xml.Decoder
	elements int
	depth    int
}

// Errors of XML; Problem-like reasons are made of them where they are met.
var (
	errDTD   = &Error{"an Office file with a DTD in it, whose entities are never expanded", "save it anew with an Office program"}
	errDeep  = &Error{"an Office file whose elements are nested too deep", "save it anew with an Office program"}
	errMany  = &Error{"an Office file of too many elements", "split the document"}
	errAttrs = &Error{"an Office file of which one element's attributes are over 1.0 MiB", "save it anew with an Office program"}
)

// Decoder opens a part.
func (p *Package) Decoder(part string) (*Decoder, error) {
	r, err := p.part(part)
	if err != nil {
		return nil, err
	}
	x := xml.NewDecoder(r)
	x.CharsetReader = func(label string, in io.Reader) (io.Reader, error) {
		enc, err := htmlindex.Get(label)
		if err != nil {
			return nil, err
		}
		return enc.NewDecoder().Reader(in), nil
	}
	return &Decoder{Closer: r, x: x}, nil
}

func (d *Decoder) token() (xml.Token, error) {
	t, err := d.x.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case xml.Directive:
		return nil, errDTD
	case xml.StartElement:
		d.elements++
		d.depth++
		size := 0
		for _, a := range t.Attr {
			size += len(a.Value)
		}
		switch {
		case d.elements > maxElements:
			return nil, errMany
		case d.depth > maxDepth:
			return nil, errDeep
		case size > maxAttr:
			return nil, errAttrs
		}
	case xml.EndElement:
		d.depth--
	}
	return t, nil
}

// Start is the next element that begins, wherever it stands; io.EOF at the end.
func (d *Decoder) Start() (*Element, error) {
	for {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		if s, ok := t.(xml.StartElement); ok {
			return &Element{s.Name.Space, s.Name.Local, s.Attr}, nil
		}
	}
}

func named(n xml.Name) string { return prefixes[n.Space] + n.Local }

// Tree reads the element that s has begun to its end.
func (d *Decoder) Tree(s *Element) (*Node, error) {
	budget := maxTree
	return d.tree(named(xml.Name{Space: s.Space, Local: s.Local}), s.Attr, &budget)
}

func (d *Decoder) tree(name string, attr []xml.Attr, budget *int) (*Node, error) {
	n := &Node{Name: name, Attr: attr}
	for {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if *budget--; *budget < 0 {
				return nil, errMany
			}
			k, err := d.tree(named(t.Name), t.Attr, budget)
			if err != nil {
				return nil, err
			}
			n.Kids = append(n.Kids, k)
		case xml.EndElement:
			return n, nil
		case xml.CharData:
			// What is set between elements to indent them is never text of its own.
			if s := string(t); strings.TrimSpace(s) != "" || strings.HasSuffix(name, ":t") {
				n.Kids = append(n.Kids, &Node{Text: s})
			}
		}
	}
}

// Children calls each with every child of the next element of that name ("w:body")
// as a tree, one after another, so that none but the one at hand is in memory.
// It is false where there is no such element.
func (d *Decoder) Children(of string, each func(*Node) error) (bool, error) {
	for {
		s, err := d.Start()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if named(xml.Name{Space: s.Space, Local: s.Local}) == of {
			break
		}
	}
	for {
		t, err := d.token()
		if err != nil {
			return true, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			n, err := d.Tree(&Element{t.Name.Space, t.Name.Local, t.Attr})
			if err != nil {
				return true, err
			}
			if err := each(n); err != nil {
				return true, err
			}
		case xml.EndElement:
			return true, nil
		}
	}
}

// Read gives a whole part as a tree.
func (p *Package) Read(part string) (*Node, error) {
	d, err := p.Decoder(part)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	s, err := d.Start()
	if err != nil {
		return nil, err
	}
	return d.Tree(s)
}

// Reason makes an *Error of what went wrong while a file of the kind what was read.
func Reason(what string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Damaged(what, "")
}

// Each reads a part to its end: the children of the element named of as trees, one
// after another, and every other element by itself, without what stands in it.
func (d *Decoder) Each(of string, tree func(*Node) error, other func(*Element)) error {
	inside := false
	for {
		t, err := d.token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			e := &Element{t.Name.Space, t.Name.Local, t.Attr}
			if inside {
				n, err := d.Tree(e)
				if err != nil {
					return err
				}
				if err := tree(n); err != nil {
					return err
				}
			} else if named(t.Name) == of {
				inside = true
			} else {
				other(e)
			}
		case xml.EndElement:
			if named(t.Name) == of {
				inside = false
			}
		}
	}
}
