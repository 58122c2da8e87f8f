package document

import "strings"

// Code systems of products and of substances by their object identifiers.
var productCodeSystems = map[string]string{
	"2.16.840.1.113883.6.69": "ndc",
	"1.3.160":                "gtin",
	"2.16.840.1.113883.4.9":  "unii",
}

// product takes names and codes from a product in the label's data section, the
// parts of a kit among them. The medicine that a repackager or a generic refers
// to (asEquivalentEntity) is another product and is left out.
func (p *splReader) product(n *node) {
	switch n.name {
	case "asEquivalentEntity", "author":
		return
	case "manufacturedProduct", "manufacturedMedicine", "partProduct", "partMedicine":
		if name := n.child("name"); name != nil {
			p.name("brand", name.inline())
		}
		p.code(n.child("code"))
	case "genericMedicine":
		if name := n.child("name"); name != nil {
			p.name("generic", name.inline())
		}
	case "containerPackagedProduct", "containerPackagedMedicine":
		p.code(n.child("code"))
	case "ingredient":
		if c := n.get("classCode"); c != "" && !strings.HasPrefix(c, "ACT") {
			return
		}
	case "inactiveIngredient":
		return
	case "ingredientSubstance", "activeIngredientSubstance", "activeMoiety":
		if name := n.child("name"); name != nil {
			p.name("ingredient", name.inline())
		}
		p.code(n.child("code"))
	}
	for _, k := range n.kids {
		if k.name != "" {
			p.product(k)
		}
	}
}

func (p *splReader) name(kind, text string) { p.names.add(kind, text) }

// names keeps each name once, whatever its case, under the first kind it came
// with.
type names struct {
	list []Name
	seen map[string]bool
}

func (n *names) add(kind, text string) {
	key := strings.ToLower(text)
	if text == "" || n.seen[key] {
		return
	}
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	n.seen[key] = true
	n.list = append(n.list, Name{Text: text, Kind: kind})
}

// codes keeps each code once.
type codes struct {
	list []Code
	seen map[Code]bool
}

func (c *codes) add(system, value string) {
	code := Code{System: system, Value: value}
	if value == "" || c.seen[code] {
		return
	}
	if c.seen == nil {
		c.seen = map[Code]bool{}
	}
	c.seen[code] = true
	c.list = append(c.list, code)
}

func (p *splReader) code(n *node) {
	if n == nil {
		return
	}
	if system := productCodeSystems[n.get("codeSystem")]; system != "" {
		p.codes.add(system, oneLine(n.get("code")))
	}
}
