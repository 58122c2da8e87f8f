// Command bleve is bleve as one of the contenders; see child in ../../peers.go.
//
// bleve DOCS QUERIES DIR WAY. Ways to ask for a term in title, heading and text:
// "fields" in each of three fields, title and heading boosted by 2; "one" in a
// single field where title and heading stand twice. It is slow beside the others
// and answers only the first 300 queries.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/custom"
	"github.com/blevesearch/bleve/v2/analysis/tokenizer/whitespace"
	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/mapping"
	"github.com/blevesearch/bleve/v2/search/query"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "bleve:", err)
		os.Exit(1)
	}
}

func each(path string, fn func(string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if err := fn(in.Text()); err != nil {
			return err
		}
	}
	return in.Err()
}

func run(docs, queries, dir, way string) error {
	debug.SetGCPercent(400)
	path := filepath.Join(dir, "index")
	if _, err := os.Stat(path); err != nil {
		if err := build(docs, path, way); err != nil {
			return err
		}
	}
	ix, err := bleve.Open(path)
	if err != nil {
		return err
	}
	defer ix.Close()
	var asked []string
	if err := each(queries, func(line string) error { asked = append(asked, line); return nil }); err != nil {
		return err
	}
	match := func(field, line string, boost float64) query.Query {
		q := bleve.NewMatchQuery(line)
		q.SetField(field)
		q.SetBoost(boost)
		return q
	}
	search := func(line string) (*bleve.SearchResult, error) {
		var q query.Query
		if way == "one" {
			q = match("all", line, 1)
		} else {
			q = bleve.NewDisjunctionQuery(match("title", line, 2), match("heading", line, 2), match("text", line, 1))
		}
		return ix.Search(bleve.NewSearchRequestOptions(q, 20, 0, false))
	}
	asked = asked[:min(300, len(asked))]
	for _, q := range asked {
		if _, err := search(q); err != nil {
			return err
		}
	}
	live, err := ix.DocCount()
	if err != nil {
		return err
	}
	stats := ix.StatsMap()["index"].(map[string]any)
	fmt.Printf("ready bleve %s, %v segments on disk and %v in memory, %d documents live, the first %d queries\n", version(),
		stats["TotFileSegmentsAtRoot"], stats["TotMemorySegmentsAtRoot"], live, len(asked))
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r struct {
			MS  []float64 `json:"ms"`
			IDs [][]int32 `json:"ids"`
		}
		for _, q := range asked {
			t := time.Now()
			found, err := search(q)
			r.MS = append(r.MS, time.Since(t).Seconds()*1e3)
			if err != nil {
				return err
			}
			row := []int32{}
			for _, h := range found.Hits {
				id, err := strconv.Atoi(h.ID)
				if err != nil {
					return err
				}
				row = append(row, int32(id))
			}
			r.IDs = append(r.IDs, row)
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// build an index and leave it as its merges leave it.
func build(docs, path, way string) error {
	m := bleve.NewIndexMapping()
	if err := m.AddCustomAnalyzer("words", map[string]any{"type": custom.Name, "tokenizer": whitespace.Name}); err != nil {
		return err
	}
	m.DefaultAnalyzer, m.ScoringModel = "words", "bm25"
	d := mapping.NewDocumentMapping()
	d.Dynamic = false
	for _, f := range []string{"title", "heading", "text", "all"} {
		t := mapping.NewTextFieldMapping()
		t.Store, t.IncludeTermVectors, t.IncludeInAll, t.DocValues = false, false, false, false
		d.AddFieldMappingsAt(f, t)
	}
	m.DefaultMapping = d
	ix, err := bleve.NewUsing(path, m, scorch.Name, scorch.Name, nil)
	if err != nil {
		return err
	}
	defer ix.Close()
	batch, n := ix.NewBatch(), 0
	flush := func(least int) error {
		if batch.Size() < least {
			return nil
		}
		err := ix.Batch(batch)
		batch = ix.NewBatch()
		return err
	}
	var dead []string
	err = each(docs, func(line string) error {
		f, id := strings.Split(line, "\t"), strconv.Itoa(n)
		n++
		if f[0] == "dead" {
			dead = append(dead, id)
		}
		doc := map[string]any{"title": f[1], "heading": f[2], "text": f[3]}
		if way == "one" {
			doc = map[string]any{"all": strings.Join([]string{f[1], f[1], f[2], f[2], f[3]}, " ")}
		}
		if err := batch.Index(id, doc); err != nil {
			return err
		}
		return flush(1000)
	})
	if err == nil {
		err = flush(1)
	}
	if err != nil {
		return err
	}
	for _, id := range dead {
		batch.Delete(id)
	}
	if err := flush(1); err != nil {
		return err
	}
	time.Sleep(10 * time.Second) // it merges by itself
	return nil
}

// version of bleve that this was built with.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, d := range b.Deps {
			if d.Path == "github.com/blevesearch/bleve/v2" {
				return d.Version
			}
		}
	}
	return "of an unknown version"
}
