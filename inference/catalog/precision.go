package catalog

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bits of a weight by a quantisation's name, about: 32 for F32, 16 for F16 and BF16, 4
// for Q4_K_M; 0 where the name says nothing.
func Bits(quantisation string) int {
	q := strings.ToUpper(quantisation)
	for _, p := range []string{"BF", "FP", "F", "IQ", "TQ", "MXFP", "Q"} {
		if rest, ok := strings.CutPrefix(q, p); ok {
			digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
			if digits < 0 {
				digits = len(rest)
			}
			n, err := strconv.Atoi(rest[:digits])
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// precisionAtEnd is what people put behind a model's name for its precision.
var precisionAtEnd = regexp.MustCompile(`[-._](?:b?f16|fp?32|fp16|i?q[1-8](?:_[0-9a-z]+)*|gguf)$`)

// stem of a model's name: without its precision.
func stem(name string) string {
	s := strings.ToLower(name)
	for {
		short := precisionAtEnd.ReplaceAllString(s, "")
		if short == s {
			return s
		}
		s = short
	}
}

// FullPrecision gives the variant of a model with the most bits of a weight, where the
// catalog has one with more than e, or the one that e was pruned of. A variant is what
// both were made from by quantising or pruning here (Lineage), or what has the same
// architecture, size, context and tokenizer, and the same name but for its precision.
func (c *Catalog) FullPrecision(e Entry) (Entry, bool) {
	entries, _ := c.List() // what can't be read is no variant
	made := map[string]*Lineage{}
	for _, x := range entries {
		if x.Lineage != nil {
			made[x.SHA256] = x.Lineage
		}
	}
	// origins of a model, itself first.
	origins := func(x Entry) (out []string) {
		for at := x.SHA256; at != "" && !slices.Contains(out, at); {
			out = append(out, at)
			l := made[at]
			if at == x.SHA256 {
				l = x.Lineage
			}
			at = ""
			if l != nil {
				at = l.From
			}
		}
		return out
	}
	own := origins(e)
	found := slices.DeleteFunc(entries, func(x Entry) bool {
		if x.SHA256 == e.SHA256 || x.Kind != e.Kind {
			return true
		}
		ancestor := slices.Contains(own, x.SHA256)
		if more := Bits(x.Quantisation) - Bits(e.Quantisation); more < 0 || more == 0 && !ancestor || Bits(x.Quantisation) == 0 {
			return true
		}
		kin := origins(x)
		if own[len(own)-1] == kin[len(kin)-1] {
			return x.Lineage != nil && x.Lineage.How == "prune" && !ancestor
		}
		return x.Architecture != e.Architecture || x.Parameters != e.Parameters || x.EmbeddingLength != e.EmbeddingLength ||
			x.ContextLength != e.ContextLength || x.TokenizerModel != e.TokenizerModel || stem(x.Name) != stem(e.Name)
	})
	if len(found) == 0 {
		return Entry{}, false
	}
	return slices.MaxFunc(found, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(Bits(a.Quantisation), Bits(b.Quantisation)),
			cmp.Compare(slices.Index(own, a.SHA256), slices.Index(own, b.SHA256)), // the nearer to the origin
			cmp.Compare(b.Name, a.Name))
	}), true
}
