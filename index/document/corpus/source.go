package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"rxedge/index/document"
)

// source is the real text that the corpus is made of.
type source struct {
	data   string
	rng    *rand.Rand
	docs   []text
	tables [][][]string
}

type text struct {
	title string
	parts []part
}

type part struct {
	head  string
	paras []string
}

func readSource(ctx context.Context, data string, seed uint64) (*source, error) {
	s := &source{data: data, rng: rand.New(rand.NewPCG(seed, 7))}
	for _, p := range []string{"labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl", "spl_xml"} {
		problems, err := document.Read(ctx, filepath.Join(data, p), document.Options{}, func(d *document.Document) error {
			t := text{title: d.Title}
			for _, sec := range d.Sections {
				pt := part{head: sec.Title}
				for para := range strings.SplitSeq(sec.Text, "\n\n") {
					if strings.Contains(para, " | ") {
						if tab := tableOf(para); tab != nil {
							s.tables = append(s.tables, tab)
						}
						continue
					}
					para = strings.ReplaceAll(strings.ReplaceAll(para, "• ", ""), "\n", " ")
					if len(para) > 120 && len(para) < 2500 {
						pt.paras = append(pt.paras, para)
					}
				}
				if len(pt.paras) > 0 && pt.head != "" && len(pt.head) < 70 {
					t.parts = append(t.parts, pt)
				}
			}
			if len(t.parts) > 0 {
				s.docs = append(s.docs, t)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(problems) > 0 {
			return nil, problems[0]
		}
	}
	if len(s.docs) < 50 || len(s.tables) < 20 {
		return nil, fmt.Errorf("only %d texts and %d tables were found in %s", len(s.docs), len(s.tables), data)
	}
	return s, nil
}

func tableOf(s string) [][]string {
	var rows [][]string
	n := 0
	for l := range strings.Lines(s) {
		if !strings.Contains(l, "|") {
			continue
		}
		cells := strings.Split(strings.TrimSpace(l), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
			if len(cells[i]) > 70 {
				return nil
			}
		}
		n = max(n, len(cells))
		rows = append(rows, cells)
	}
	if len(rows) < 4 || n < 2 || n > 6 {
		return nil
	}
	empty := 0
	for i := range rows {
		for len(rows[i]) < n {
			rows[i] = append(rows[i], "")
		}
		for _, c := range rows[i] {
			if c == "" {
				empty++
			}
		}
		if rows[i][0] == "" {
			return nil
		}
	}
	if empty*4 > len(rows)*n {
		return nil
	}
	return rows
}

// doc draws about n words of text, under their own headings.
func (s *source) doc(n int) text {
	t := s.docs[s.rng.IntN(len(s.docs))]
	out := text{title: t.title}
	for have := 0; have < n; {
		for _, p := range t.parts {
			q := part{head: p.head}
			for _, para := range p.paras {
				if have >= n {
					break
				}
				q.paras = append(q.paras, para)
				have += len(strings.Fields(para))
			}
			if len(q.paras) > 0 {
				out.parts = append(out.parts, q)
			}
		}
		t = s.docs[s.rng.IntN(len(s.docs))]
	}
	return out
}

func (s *source) table(maxRows int) [][]string {
	for {
		t := s.tables[s.rng.IntN(len(s.tables))]
		if len(t) <= maxRows {
			return t
		}
	}
}

// longTable has rows enough for several pages.
func (s *source) longTable(rows int) [][]string {
	t := [][]string{{"Medicine", "Interaction", "Dose (mg)", "Number"}}
	for i := range rows {
		d := s.docs[s.rng.IntN(len(s.docs))]
		w := strings.Fields(d.parts[0].paras[0])
		t = append(t, []string{strings.ToLower(d.title[:min(len(d.title), 18)]), strings.Join(w[:min(len(w), 4+s.rng.IntN(3))], " "), fmt.Sprint(5 * (1 + s.rng.IntN(200))), fmt.Sprint(i + 1)})
	}
	return t
}
