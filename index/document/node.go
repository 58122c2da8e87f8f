package document

import "strings"

// node is an element of markup, XML or HTML alike, or a piece of text where it
// has no name. Only the attributes that change what is read are kept.
type node struct {
	name string
	text string // of a piece of text, cleaned
	attr map[string]string
	kids []*node
}

// keptAttr are the attributes that the renderer and the product reader use.
var keptAttr = map[string]bool{
	"rowspan": true, "colspan": true, "listType": true, "listtype": true, "styleCode": true, "stylecode": true,
	"ID": true, "IDREF": true, "idref": true, "code": true, "codeSystem": true, "classCode": true,
	"value": true, "root": true, "type": true, "start": true, "role": true,
}

func (n *node) get(name string) string { return n.attr[name] }

func (n *node) child(name string) *node {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// hasText says whether anything under n would be written.
func (n *node) hasText() bool {
	if n.name == "" {
		return strings.TrimSpace(n.text) != ""
	}
	if n.name == "footnoteRef" || n.name == "footnoteref" {
		return true
	}
	for _, k := range n.kids {
		if k.hasText() {
			return true
		}
	}
	return false
}

// inline is all text under n, on one line.
func (n *node) inline() string {
	r := newRenderer(n)
	var w writer
	r.flat = true
	r.kids(n, &w)
	return oneLine(w.String())
}
