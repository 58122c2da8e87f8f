package layout

import (
	"math"
	"sort"
	"strconv"
	"strings"
)

// edgeLines of a page, from above and from below, may be a header or a footer.
const edgeLines = 4

// window is how many pages before and after are compared: running heads change
// with the chapter.
const window = 6

// dropEdges takes running headers and footers out: lines at the edge of a page
// that stand at the same height on others with the same words, or with one number
// that counts as the pages do. Any other difference in a number keeps a line.
func (r *Reader) dropEdges(body float64) {
	type place struct {
		page int
		y    float64
	}
	type edge struct {
		flow  int
		line  *Line
		outer bool
		keys  []string
	}
	seen := map[string][]place{}
	var edges []edge
	for i, f := range r.pages {
		var lines []*Line
		for _, b := range f.blocks {
			lines = append(lines, b.lines...)
			if b.table != nil { // what stands beyond a table on both sides only
				lines = append(lines, &Line{base: b.y0}, &Line{base: b.y1})
			}
		}
		sort.SliceStable(lines, func(a, b int) bool { return lines[a].base < lines[b].base })
		for k, l := range lines {
			if k >= edgeLines && k < len(lines)-edgeLines || l.Text == "" {
				continue
			}
			e := edge{flow: i, line: l, outer: k == 0 || k == len(lines)-1 || math.Abs(l.base-lines[0].base) < 2 || math.Abs(l.base-lines[len(lines)-1].base) < 2}
			e.keys = edgeKeys(l.Text, f.number)
			for _, key := range e.keys {
				seen[key] = append(seen[key], place{f.number, l.base})
			}
			edges = append(edges, e)
		}
	}
	drop := map[*Line]bool{}
	for _, e := range edges {
		page := r.pages[e.flow].number
		near := 0 // pages in the window
		for _, f := range r.pages[max(0, e.flow-window):min(len(r.pages), e.flow+window+1)] {
			if f.number >= page-window && f.number <= page+window {
				near++
			}
		}
		for _, key := range e.keys {
			n, counted := 0, 0 // pages: a row of like words is no header
			list := seen[key]
			from := sort.Search(len(list), func(i int) bool { return list[i].page >= page-window })
			for _, p := range list[from:] {
				if p.page > page+window {
					break
				}
				if math.Abs(p.y-e.line.base) < 3 && p.page != counted {
					n, counted = n+1, p.page
				}
			}
			// A heading may begin many pages and be none the less one.
			heading := e.line.bold || e.line.size > 1.12*body
			if (n >= 3 || n >= 2 && len(r.pages) <= 4 && e.outer) && (!heading || n*10 >= near*8) {
				drop[e.line] = true
				break
			}
		}
	}
	for _, f := range r.pages {
		for _, b := range f.blocks {
			kept := b.lines[:0]
			for _, l := range b.lines {
				if !drop[l] {
					kept = append(kept, l)
				}
			}
			b.lines = kept
		}
	}
}

// edgeKeys are the line as it is, and with each whole number that is near the
// page's own as its distance to it.
func edgeKeys(text string, page int) []string {
	words := strings.Fields(text)
	keys := []string{strings.Join(words, " ")}
	for i, w := range words {
		bare := strings.Trim(w, "-–—|[]()./")
		n, err := strconv.Atoi(bare)
		if err != nil || len(bare) > 5 || n < 0 {
			continue
		}
		own := words[i]
		words[i] = strings.Replace(own, bare, "\x00"+strconv.Itoa(n-page), 1)
		keys = append(keys, strings.Join(words, " "))
		words[i] = own
	}
	return keys
}
