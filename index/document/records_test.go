package document

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBulkRecords(t *testing.T) {
	t.Parallel()
	rec := func(id string) string { return fmt.Sprintf(`{"set_id": "%s", "warnings": ["W [x] {y} \"z\" \\"]}`, id) }
	pretty := func(id string) string {
		return fmt.Sprintf("    {\n      \"set_id\": \"%s\",\n      \"openfda\": {},\n      \"warnings\": [\n        \"W\"\n      ]\n    }", id)
	}
	type wrong struct {
		record, line int
		reason       string
	}
	for name, c := range map[string]struct {
		in   string
		ids  string
		want []wrong
	}{
		"object":             {`{"meta":{"results":{"total":2}},"results":[` + rec("a") + "," + rec("b") + `]}`, "a b", nil},
		"array":              {"[" + rec("a") + ",\n" + rec("b") + "]", "a b", nil},
		"BOM":                {"\xef\xbb\xbf[" + rec("a") + "]", "a", nil},
		"none":               {`{"results":[]}`, "", []wrong{{0, 1, "without a record"}}},
		"results first":      {`{"results":[` + rec("a") + `],"meta":{"x":[1,{}]},"n":1,"b":true}`, "a", nil},
		"a text results":     {"{\"set_id\":\"a\",\"id\":\"results\",\n\"warnings\":\"W\"}", "a", nil},
		"results no list":    {`{"results":{"a":1}}`, "", []wrong{{0, 1, "is not a list"}}},
		"bad record":         {`{"results":[` + rec("a") + ",\n{\"set_id\":\"x\" \"warnings\":1},\n" + rec("b") + `]}`, "a b", []wrong{{2, 2, "broken JSON"}}},
		"no label":           {"[\n" + rec("a") + ",\n7,\n{\"a\":1},null]", "a", []wrong{{2, 3, "number"}, {3, 4, "no set id"}}},
		"wrong bracket":      {`{"results":[{"set_id":"x","warnings":["W"},` + rec("b") + `]}`, "b", []wrong{{1, 1, "bracket"}}},
		"one too many":       {`{"results":[{"set_id":"x"]},` + rec("b") + `]}`, "b", []wrong{{1, 1, "bracket"}}},
		"text without end":   {"{\"results\":[\n" + "{\"set_id\":\"x\",\"warnings\":[\"W\n]},\n" + rec("b") + "]}", "b", []wrong{{1, 2, "text without its end"}}},
		"not UTF-8":          {"[" + rec("a\xff") + "," + rec("b") + "]", "b", []wrong{{1, 1, "UTF-8"}}},
		"deep":               {"[{\"a\":" + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}," + rec("b") + "]", "b", []wrong{{1, 1, "nested more than 256"}}},
		"cut":                {`{"results":[` + rec("a") + ",\n" + rec("b")[:20], "a", []wrong{{2, 2, "cut short"}}},
		"cut between":        {`{"results":[` + rec("a") + ",\n", "a", []wrong{{2, 2, "cut short"}}},
		"cut after":          {`{"results":[` + rec("a") + "]", "a", []wrong{{2, 1, "cut short"}}},
		"cut before":         {`{"meta":{"disclaimer":"Do not`, "", []wrong{{0, 1, "cut short"}}},
		"two in one":         {"{\"results\":[\n" + rec("a") + "]}{\"results\":[" + rec("b") + "]}", "a", []wrong{{2, 2, "more after the end"}}},
		"the same again":     {"[" + rec("a") + "," + rec("a") + "," + rec("b") + "]", "a b", nil},
		"end of record lost": {"{\n  \"results\": [\n" + pretty("a") + ",\n" + strings.TrimSuffix(pretty("b"), "\n    }") + ",\n" + pretty("c") + ",\n" + pretty("d") + "\n  ]\n}", "a c d", []wrong{{2, 10, "without its end"}}},
		"too large":          {"[" + rec("a") + ",\n" + rec(strings.Repeat("x", 3000)) + "," + rec("b") + "]", "a", []wrong{{2, 2, "record of over"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := Options{MaxLineBytes: 2000}
			var ids []string
			problems, err := ReadBytes(context.Background(), "x.json", []byte(c.in), opt, func(d *Document) error { ids = append(ids, d.ID); return nil })
			if err != nil || strings.Join(ids, " ") != c.ids || len(problems) != len(c.want) {
				t.Fatalf("%v, %v, %v", ids, problems, err)
			}
			for i, w := range c.want {
				if p := problems[i]; p.Record != w.record || w.record > 0 && p.Line != w.line || !strings.Contains(p.Reason, w.reason) || p.Fix == "" {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

// However a file arrives, and wherever its blocks end, the same records come of it.
func TestRecordsInAnyPieces(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var want []string
		var list []any
		for i := range 1 + rng.IntN(6) {
			list = append(list, randomJSON(rng, 4, i))
		}
		var all []byte
		switch rng.IntN(3) {
		case 0:
			all, _ = json.Marshal(map[string]any{"meta": randomJSON(rng, 3, 0), "results": append([]any{}, list...)})
		case 1:
			all, _ = json.MarshalIndent(append([]any{}, list...), "", "  ")
		default:
			all, _ = json.MarshalIndent(map[string]any{"results": append([]any{}, list...)}, "", "\t")
		}
		for _, v := range list {
			b, _ := json.Marshal(v)
			want = append(want, string(b))
		}
		var got []string
		in := bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(all)), 16+rng.IntN(40))
		err := newRecords(in, Options{}.withDefaults()).each(func(n, _ int, raw []byte) error {
			var b bytes.Buffer
			if err := json.Compact(&b, raw); err != nil || n != len(got)+1 {
				t.Errorf("%d: %q: %v", n, raw, err)
			}
			got = append(got, b.String())
			return nil
		}, func(p Problem) { t.Error(p) })
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\n got %q\nwant %q\n%v", all, got, want, err)
		}
	}
}

func randomJSON(rng *rand.Rand, depth, n int) any {
	m := map[string]any{"n": n}
	for range rng.IntN(4) {
		k := []string{"results", "a{", "b[\"", "c\\", "]}", "é"}[rng.IntN(6)]
		switch rng.IntN(4) {
		case 0:
			m[k] = []any{1.5, nil, true, "x,\"]}\\\n"}
		case 1:
			m[k] = k + "\u2028:"
		default:
			if depth > 0 {
				m[k] = randomJSON(rng, depth-1, n)
			}
		}
	}
	return m
}

// bulkOf makes an openFDA bulk file of the real sections, which come from openFDA.
func bulkOf(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile(data(t, "labels/openfda_20drugs.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	recs := map[string]map[string]any{}
	for l := range strings.Lines(string(raw)) {
		var s struct{ ID, Drug, Section, Text string }
		if err := json.Unmarshal([]byte(l), &s); err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(s.ID, "#")
		if recs[id] == nil {
			order = append(order, id)
			recs[id] = map[string]any{"set_id": id, "version": "3", "effective_time": "20240131", "openfda": map[string]any{"generic_name": []string{s.Drug}}}
		}
		recs[id][strings.ReplaceAll(strings.ToLower(s.Section), " ", "_")] = []string{s.Text}
	}
	var list []any
	for _, id := range order {
		list = append(list, recs[id])
	}
	out, err := json.MarshalIndent(map[string]any{"meta": map[string]any{"results": map[string]int{"skip": 0}}, "results": list}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Real records read from a bulk file, from one in an archive, and one by one say the same.
func TestRealBulkFile(t *testing.T) {
	t.Parallel()
	raw := bulkOf(t)
	var whole struct{ Results []json.RawMessage }
	if err := json.Unmarshal(raw, &whole); err != nil {
		t.Fatal(err)
	}
	var one []*Document
	for _, r := range whole.Results {
		one = append(one, readOne(t, "x.json", r))
	}
	if len(one) < 20 {
		t.Fatalf("%d records", len(one))
	}
	for name, data := range map[string][]byte{"x.json": raw, "x.json.gz": []byte(gzipOf(t, string(raw))), "x.json.zip": []byte(zipOf(t, file{name: "x.json", data: string(raw)}))} {
		docs, problems := inAndOut(t, name, string(data), Options{})
		if len(docs) != len(one) || len(problems) > 0 {
			t.Fatalf("%s: %d documents, %v", name, len(docs), problems)
		}
		for i, d := range docs {
			if Hash(d) != Hash(one[i]) {
				t.Errorf("%s: record %d reads in another way", name, i+1)
			}
		}
	}
}

// A bulk file far larger than may be held is read, and cut short it gives what came
// before.
func TestBulkIsStreamed(t *testing.T) {
	t.Parallel()
	rec := `{"set_id":"%d","warnings":["` + strings.Repeat("Careful with it. ", 200) + `"]},` + "\n"
	const n = 1000
	src := func() io.Reader {
		i := -1
		return iotest.DataErrReader(readFunc(func() string {
			switch i++; {
			case i == 0:
				return `{"results":[`
			case i <= n:
				return fmt.Sprintf(rec, i)
			}
			return ""
		}))
	}
	opt := Options{MaxFileBytes: 1 << 20, MaxLineBytes: 1 << 16}
	docs := 0
	problems, err := ReadReader(context.Background(), "x.json", src(), opt, func(*Document) error { docs++; return nil })
	if err != nil || docs != n || len(problems) != 1 || problems[0].Record != n+1 {
		t.Errorf("%d documents, %v, %v", docs, problems, err)
	}
	opt.MaxStreamBytes = 2 << 20
	docs = 0
	problems, err = ReadReader(context.Background(), "x.json", src(), opt, func(*Document) error { docs++; return nil })
	if err != nil || docs < 500 || docs == n || len(problems) != 1 || !strings.Contains(problems[0].Reason, "more than 2.0 MiB") {
		t.Errorf("%d documents, %v, %v", docs, problems, err)
	}
}

// readFunc reads what next gives, until it gives nothing.
func readFunc(next func() string) io.Reader {
	var rest string
	return readerFunc(func(p []byte) (int, error) {
		if rest == "" {
			if rest = next(); rest == "" {
				return 0, io.EOF
			}
		}
		n := copy(p, rest)
		rest = rest[n:]
		return n, nil
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
