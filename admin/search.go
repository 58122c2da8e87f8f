package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/names"
)

func (a *app) search() *cobra.Command {
	var mode string
	var k int
	var explain, prefix bool
	var filter index.Filter
	c := &cobra.Command{
		Use:   "search QUERY",
		Short: "Find passages",
		Example: `  rxedge search "warfarin amiodarone interaction" -k 5
  rxedge search '"renal impairment" metformin'
  rxedge search --prefix "metformin contraind"
  rxedge search --explain "zestril start dose, CrCl 8"
  rxedge search "renal impairment" --drug metformin --drug glipizide --section Contraindications --from 2025-01-01 --json`,
		Long: `Find passages by words and vectors. Two words or more in double quotes must be there
one after another. With --prefix the last word is the beginning of one, as while it is typed.

The filters narrow what may be found; the best passages of what is left come with the
scores that they have without a filter. Of one that is given several times any value will
do, of different ones each has to hold. Exit code 5 where the index has no such drug or
document.`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			m := index.Mode(mode)
			if m != index.ModeBM25 && m != index.ModeDense && m != index.ModeHybrid {
				return usage("--mode: %q is none of bm25, dense, hybrid", mode)
			}
			if k < 1 || k > 1000 {
				return usage("-k: %d is outside 1 to 1000", k)
			}
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			res, err := st.Search(c.Context(), index.Query{Text: strings.Join(given, " "), K: k, Mode: m, Filter: filter, Explain: explain, Prefix: prefix})
			if err != nil {
				return err
			}
			if res.Hits == nil {
				res.Hits = []index.Hit{}
			}
			if a.json {
				return a.print(res)
			}
			for _, d := range res.Drugs {
				switch {
				case d.Name == "":
					a.note("--drug %s: %d documents\n", d.Asked, d.Documents)
				case d.Spelling:
					a.note("--drug %s: taken for %s by its spelling, %d documents\n", d.Asked, d.Name, d.Documents)
				default:
					a.note("--drug %s: %s, %d documents\n", d.Asked, d.Name, d.Documents)
				}
			}
			if explain {
				for _, c := range res.Codes {
					if c.Problem != "" {
						a.printf("code %s %s: %s\n", c.System, c.Value, c.Problem)
						continue
					}
					a.printf("code %s %s: %d documents\n", c.System, c.Value, len(c.Documents))
				}
				a.printReading(res.Explain)
			}
			if len(res.Hits) == 0 {
				a.printf("Nothing found.\n")
			}
			for i, h := range res.Hits {
				a.printf("%d. %s, %s  (%.3f)\n", i+1, h.DocumentTitle, h.SectionTitle, h.Score)
				a.printf("   %s bytes %d-%d\n", h.Passage.SectionID, h.Passage.Start, h.Passage.End)
				if explain {
					a.printParts(h)
				}
				a.printf("%s\n\n", wrap(shorten(h.Text, 280), "   ", lineWidth))
			}
			return nil
		},
	}
	c.Flags().StringVar(&mode, "mode", string(index.ModeHybrid), "bm25, dense or hybrid")
	c.Flags().IntVarP(&k, "results", "k", 10, "passages wanted")
	c.Flags().BoolVar(&explain, "explain", false, "print how the question was read and what each score is made of")
	c.Flags().StringArrayVar(&filter.Drugs, "drug", nil, "only of this `medicine`: a name, a code (NDC, GTIN, RxCUI) or a set id; again for more")
	c.Flags().StringArrayVar(&filter.Documents, "document", nil, "only of this document, by set `id` or document id; again for more")
	c.Flags().StringArrayVar(&filter.Sections, "section", nil, "only of this section, by LOINC `code` or name; again for more")
	c.Flags().StringArrayVar(&filter.Sources, "source", nil, "only of documents read from this `file`; again for more")
	c.Flags().StringArrayVar(&filter.Kinds, "kind", nil, "only of documents of this `kind`: spl, openfda, jsonl, markdown, html, text")
	c.Flags().StringVar(&filter.From, "from", "", "only of documents effective on this `date` or later")
	c.Flags().StringVar(&filter.To, "to", "", "only of documents effective on this `date` or earlier")
	c.Flags().BoolVar(&prefix, "prefix", false, "take the last word for the beginning of one")
	return c
}

// printReading prints what a question was taken to say.
func (a *app) printReading(r names.Reading) {
	for _, s := range r.Subjects {
		what := "medicine " + s.Name
		switch {
		case s.Class:
			what = "class " + s.Name
		case s.Substance:
			what = "substance " + s.Name
		case s.Spelling:
			what += ", by its spelling"
		}
		a.printf("“%s”: %s, %d documents\n", s.Asked, what, len(s.Documents))
	}
	for _, e := range r.Expansions {
		if e.Weight > 0 {
			a.printf("“%s”: also “%s”  (%s, %.2f)\n", e.From, e.To, e.Why, e.Weight)
		}
	}
	for _, p := range r.Sections {
		title := p.LOINC
		if s, ok := document.SectionByLOINC(p.LOINC); ok {
			title = s.Name
		}
		a.printf("“%s”: asks for %s, prefers %s  (%.2f)\n", p.Cue, p.Asks, title, p.Weight)
	}
	if len(r.Subjects)+len(r.Expansions)+len(r.Sections) > 0 {
		a.printf("\n")
	}
}

// printParts prints what a hit's score is made of.
func (a *app) printParts(h index.Hit) {
	p := h.Parts
	if p == nil { // of an older daemon
		return
	}
	if len(p.Fusion) > 0 {
		var by []string
		for _, f := range p.Fusion {
			source := f.Source
			if f.Rank > 0 {
				source += fmt.Sprintf(" rank %d", f.Rank)
			}
			by = append(by, fmt.Sprintf("%s %.5f", source, f.Score))
		}
		a.printf("   score %.5f = %s\n", h.Score, strings.Join(by, " + "))
	}
	if h.BM25Rank > 0 {
		a.printf("   bm25 %.3f (rank %d) = words %.3f + section %.3f + name %.3f\n", h.BM25, h.BM25Rank, p.Words, h.Section, h.Name)
		for _, t := range p.Terms {
			a.printf("     %-18s %6.3f = weight %.2f × idf %.3f × tf %.3f  (%s)\n", t.Term, t.Score, t.Weight, t.IDF, t.TF, places(t))
		}
	}
	if h.DenseRank > 0 {
		a.printf("   cosine %.3f (rank %d)\n", h.Dense, h.DenseRank)
	}
}

// places where a term stands.
func places(t index.TermPart) string {
	var out []string
	for _, f := range []struct {
		n    int
		name string
	}{{t.Text, "text"}, {t.Heading, "heading"}, {t.Title, "title"}} {
		if f.n > 0 {
			out = append(out, fmt.Sprintf("%s %d", f.name, f.n))
		}
	}
	return strings.Join(out, ", ")
}

func shorten(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + " …"
}
