package document

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// said is what a file of the corpus says ('make document-corpus').
type said struct {
	File    string
	Group   string
	Text    []string
	Tables  [][][]string
	Refused string
	Gone    string
}

// TestCorpus reads the corpus of hard documents and holds what was read beside
// what was given to the programs that made them. RXEDGE_DOCUMENT_CORPUS names its
// folder; RXEDGE_DOCUMENT_ONLY a part of the names that are wanted.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("RXEDGE_DOCUMENT_CORPUS")
	if dir == "" {
		t.Skip("RXEDGE_DOCUMENT_CORPUS is not set; 'make document-corpus' makes the corpus and measures it")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []said
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	type sum struct{ n, words, found, extra, got, cells, right, all, good, unread, gone, bad int }
	groups := map[string]*sum{}
	var names []string
	fmt.Printf("%-34s %-8s %7s %7s %7s %7s %8s %7s\n", "file", "group", "recall", "order", "extra", "cells", "seconds", "MB")
	for _, want := range all {
		if only := os.Getenv("RXEDGE_DOCUMENT_ONLY"); !strings.Contains(want.File, only) {
			continue
		}
		g := groups[want.Group]
		if g == nil {
			g = &sum{}
			groups[want.Group] = g
			names = append(names, want.Group)
		}
		g.n++
		debug.FreeOSMemory()
		resetPeak()
		start := time.Now()
		var docs []*Document
		problems, err := Read(context.Background(), filepath.Join(dir, want.File), Options{}, func(d *Document) error {
			wellFormed(t, d)
			docs = append(docs, d)
			return nil
		})
		took, peak := time.Since(start).Seconds(), peakMB()
		if err != nil {
			t.Errorf("%s: %v", want.File, err)
			continue
		}
		if peak > 512 {
			t.Errorf("%s: %d MB", want.File, peak)
		}
		if want.Refused != "" {
			ok := len(docs) == 0 && len(problems) > 0 && strings.Contains(problems[0].Reason, want.Refused) && problems[0].Fix != ""
			reason := "READ"
			if len(problems) > 0 {
				reason = problems[0].Reason
			}
			if !ok {
				t.Errorf("%s: %d documents, %v", want.File, len(docs), problems)
			}
			fmt.Printf("%-34s %-8s %-31s %8.1f %7d\n", want.File, want.Group, reason, took, peak)
			continue
		}
		var out strings.Builder
		for _, d := range docs {
			fmt.Fprintln(&out, d.Title)
			for _, s := range d.Sections {
				fmt.Fprintln(&out, s.Number, s.Title)
				fmt.Fprintln(&out, s.Text)
			}
		}
		if dump := os.Getenv("RXEDGE_DOCUMENT_DUMP"); dump != "" {
			os.WriteFile(filepath.Join(dump, want.File+".txt"), []byte(out.String()), 0o644)
			os.WriteFile(filepath.Join(dump, want.File+".want"), []byte(strings.Join(want.Text, "\n")), 0o644)
		}
		for _, p := range problems {
			if len(docs) == 0 || p.WholeFile() {
				t.Errorf("%v", p)
			}
		}
		if want.Gone != "" && strings.Contains(out.String(), want.Gone) {
			t.Errorf("%s: the running header is in the text", want.File)
		}
		if countsNumbers(want.Group) && len(docs) > 0 {
			c := countNumbers(strings.Fields(strings.Join(want.Text, " ")), strings.Fields(out.String()))
			g.all, g.good, g.unread, g.gone, g.bad = g.all+c.all, g.good+c.good, g.unread+c.unread, g.gone+c.gone, g.bad+len(c.bad)
			for _, b := range c.bad {
				fmt.Printf("    %s: WRONG %s\n", want.File, b)
			}
			for _, b := range c.lost {
				fmt.Printf("    %s: gone %s\n", want.File, b)
			}
		}
		truth, got := tokens(strings.Join(want.Text, "\n")), tokens(out.String())
		found := common(truth, got)
		extra := len(got) - common(got, truth)
		cells, right := tableCells(want.Tables, out.String(), want.Group != "sheet")
		g.words += len(truth)
		g.found += found
		g.extra += extra
		g.got += len(got)
		g.cells += cells
		g.right += right
		row := fmt.Sprintf("%-34s %-8s %7.4f %7.4f %7.4f", want.File, want.Group, share(found, len(truth)), inOrder(truth, got), float64(extra)/float64(max(1, len(got))))
		if cells > 0 {
			row += fmt.Sprintf(" %7.4f", share(right, cells))
		} else {
			row += "       -"
		}
		fmt.Printf("%s %8.1f %7d\n", row, took, peak)
	}
	fmt.Println()
	for _, n := range names {
		g := groups[n]
		fmt.Printf("%-10s %3d files, %7d words: recall %.4f, extra %.4f, cells %.4f of %d\n", n, g.n, g.words, share(g.found, g.words), float64(g.extra)/float64(max(1, g.got)), share(g.right, g.cells), g.cells)
		least, cells := 0.0, 0.95
		switch n {
		case "digital", "table", "office", "sheet", "tables-ruled", "tables-book", "tables-bare":
			least = 0.99
		case "tables-ruled-300", "tables-book-300", "tables-bare-300":
			least = 0.94
		case "scan300":
			least = 0.95
		case "scan150":
			cells = 0
		}
		if countsNumbers(n) {
			fmt.Printf("%-16s %5d numbers and units: %5d right, %4d unreadable, %3d without a mark, %d WRONG\n", n, g.all, g.good, g.unread, g.gone, g.bad)
			if g.bad > 0 {
				t.Errorf("%s: %d numbers are read as others", n, g.bad)
			}
		}
		if share(g.found, g.words) < least || share(g.right, g.cells) < cells {
			t.Errorf("%s is below its bound", n)
		}
	}
}

// countsNumbers: the groups whose numbers are held beside the truth one by one.
func countsNumbers(group string) bool {
	return strings.HasPrefix(group, "doses") || strings.HasPrefix(group, "tables-")
}

func share(a, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(a) / float64(of)
}

// tokens are runs of letters and digits; superscripts and ligatures count as what
// they stand for.
func tokens(s string) []string {
	return strings.FieldsFunc(strings.ToLower(norm.NFKC.String(s)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// common is how many of a are in b, each counted once.
func common(a, b []string) int {
	have := map[string]int{}
	for _, w := range b {
		have[w]++
	}
	n := 0
	for _, w := range a {
		if have[w] > 0 {
			have[w]--
			n++
		}
	}
	return n
}

// inOrder is the longest common subsequence of runs of four words that stand once
// in both, as a share of those runs.
func inOrder(a, b []string) float64 {
	const n = 4
	index := func(x []string) map[string]int {
		m := map[string]int{}
		for i := 0; i+n <= len(x); i++ {
			k := strings.Join(x[i:i+n], " ")
			if _, twice := m[k]; twice {
				m[k] = -1
			} else {
				m[k] = i
			}
		}
		return m
	}
	ia, ib := index(a), index(b)
	var seq []int
	for i := 0; i+n <= len(a); i++ {
		k := strings.Join(a[i:i+n], " ")
		if at, ok := ib[k]; ok && at >= 0 && ia[k] >= 0 {
			seq = append(seq, at)
		}
	}
	var tails []int
	for _, v := range seq {
		lo, hi := 0, len(tails)
		for lo < hi {
			if m := (lo + hi) / 2; tails[m] < v {
				lo = m + 1
			} else {
				hi = m
			}
		}
		if lo == len(tails) {
			tails = append(tails, v)
		} else {
			tails[lo] = v
		}
	}
	return share(len(tails), len(seq))
}

// tableCells counts the cells of the tables, and those that stand in their column
// in a row of the text; rows are taken in order where ordered.
func tableCells(tables [][][]string, text string, ordered bool) (all, right int) {
	var rows [][]string
	for l := range strings.Lines(text) {
		if strings.Contains(l, "|") {
			cells := strings.Split(strings.TrimSpace(l), "|")
			for i := range cells {
				cells[i] = strings.Join(tokens(cells[i]), " ")
			}
			rows = append(rows, cells)
		}
	}
	from := 0
	// A row of which one cell reaches over all columns is a line without a mark.
	lines := map[string]bool{}
	for l := range strings.Lines(text) {
		lines[strings.Join(tokens(l), " ")] = true
	}
	for _, t := range tables {
		for _, want := range t {
			if said := strings.Join(tokens(strings.Join(want, " ")), " "); len(want) > 1 && said != "" && said == strings.Join(tokens(want[0]), " ") && lines[said] {
				all, right = all+len(want), right+len(want)
				continue
			}
			best, at := 0, -1
			for i := from; i < len(rows) && (i < from+400 || !ordered); i++ {
				n := 0
				for c, w := range want {
					w = strings.Join(tokens(w), " ")
					if c < len(rows[i]) && rows[i][c] == w || c >= len(rows[i]) && w == "" {
						n++
					}
				}
				if n > best {
					best, at = n, i
				}
				if best == len(want) {
					break
				}
			}
			all += len(want)
			if best*2 >= len(want) {
				right += best
				if ordered {
					from = at + 1
				}
			}
		}
	}
	return all, right
}

func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func peakMB() int {
	b, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "VmHWM:"); ok {
			var kb int
			fmt.Sscan(v, &kb)
			return kb >> 10
		}
	}
	return 0
}
