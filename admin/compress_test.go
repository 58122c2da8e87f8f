package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/inference/catalog"
	"rxedge/inference/compress"
)

// withStories is a data folder with the real stories260K in its catalog.
func withStories(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	dir = filepath.Join(dir, "models", "stories260K")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the real stories260K is not on this machine (RXEDGE_TESTDATA names the folder)")
	}
	data := t.TempDir()
	if code, _, errOut := cli(t, data, "model", "import", dir); code != exitDone {
		t.Fatal(errOut)
	}
	return data
}

func toolsBuilt(t *testing.T) bool {
	_, err := compress.FindTools()
	if errors.Is(err, compress.ErrToolsMissing) {
		return false
	}
	return err == nil
}

// nothingLeft fails where a workshop stayed behind.
func nothingLeft(t *testing.T, data string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(data, workPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestModelPrune(t *testing.T) {
	data := withStories(t)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"prune"}, exitUsage, "usage"},
		{[]string{"prune", "stories260K"}, exitUsage, "--sparsity"},
		{[]string{"prune", "stories260K", "--sparsity", "1"}, exitUsage, "between 0 and 1"},
		{[]string{"prune", "stories260K", "--sparsity", "0.3", "--layers", "3-1"}, exitUsage, "0-3,7"},
		{[]string{"prune", "nobody", "--sparsity", "0.3"}, exitNotFound, "nobody"},
		{[]string{"prune", "stories260K", "--sparsity", "0.3", "--layers", "40"}, exitFailed, "no matrix to prune"},
		{[]string{"prune", "stories260K", "--sparsity", "0.3", "--name", "STORIES260k"}, exitFailed, "belongs to another model"},
		{[]string{"prune", "stories260K", "--sparsity", "0.3"}, exitDone, "neither smaller nor faster"},
		{[]string{"prune", "stories260K", "--sparsity", "0.3"}, exitDone, "stories260K-pruned30"}, // again
		{[]string{"prune", "stories260K", "--sparsity", "0.5", "--name", "stories260K-pruned30"}, exitFailed, "belongs to another model"},
	} {
		code, out, errOut := cli(t, data, append([]string{"model"}, tt.args...)...)
		if code != tt.code || !strings.Contains(strings.ReplaceAll(out+errOut, "\n  ", " "), tt.want) {
			t.Errorf("%q: exit %d, %q, %q; want %d and %q", tt.args, code, out, errOut, tt.code, tt.want)
		}
		nothingLeft(t, data)
	}
	_, out, _ := cli(t, data, "model", "prune", "stories260K", "--sparsity", "0.5", "--layers", "1-3", "--json")
	var r prunedModel
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	l := r.Entry.Lineage
	if r.Entry.Name != "stories260K-pruned50" || l == nil || l.How != "prune" || l.Sparsity != 0.5 || l.Layers != "1-3" || l.FromName != "stories260K" || len(l.From) != 64 || l.From == r.Entry.SHA256 {
		t.Errorf("%+v, %+v", r.Entry, l)
	}
	if len(r.Report.Pruned) != 21 || r.Report.Achieved < 0.4999 || r.Report.Note == "" {
		t.Errorf("%+v", r.Report)
	}
}

func TestWorkshopsOfTheDeadAreCleared(t *testing.T) {
	data := withStories(t)
	dead := filepath.Join(data, workPrefix+"dead")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dead, "lock"), nil, 0o600)
	os.WriteFile(filepath.Join(dead, "model.gguf"), []byte("half"), 0o600)
	a := &app{data: data}
	alive, err := a.workshop("stories260K", "x")
	if err != nil {
		t.Fatal(err)
	}
	defer alive.close()
	if code, _, errOut := cli(t, data, "model", "prune", "stories260K", "--sparsity", "0.3"); code != exitDone {
		t.Fatal(errOut)
	}
	left, _ := filepath.Glob(filepath.Join(data, workPrefix+"*"))
	if !slices.Equal(left, []string{alive.dir}) {
		t.Errorf("there are %v, want %s alone", left, alive.dir)
	}
}

func TestModelQuantizeAndCompare(t *testing.T) {
	data := withStories(t)
	texts := filepath.Join("..", "inference", "compress", "testdata", "stories.txt")
	stories, err := os.ReadFile(texts)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"quantize", "stories260K", "--type", "Q9"}, exitUsage, "Q4_K_M"},
		{[]string{"quantize", "stories260K", "--imatrix-texts", "x", "--imatrix-index"}, exitUsage, "exclude each other"},
		{[]string{"quantize", "stories260K", "--imatrix-texts", filepath.Join(data, "nowhere")}, exitNotFound, "--imatrix-texts"},
		{[]string{"quantize", "nobody"}, exitNotFound, "nobody"},
		{[]string{"compare", "stories260K"}, exitUsage, "usage"},
		{[]string{"compare", "stories260K", "stories260K"}, exitUsage, "--texts"},
		{[]string{"compare", "stories260K", "stories260K", "--texts", filepath.Join(data, "nowhere")}, exitNotFound, "--texts"},
		{[]string{"compare", "stories260K", "nobody", "--texts", texts}, exitNotFound, "nobody"},
		{[]string{"compare", "stories260K", "stories260K", "--texts", texts, "--profile", "abacus"}, exitNotFound, "abacus"},
		{[]string{"compare", "stories260K", "stories260K", "--texts", texts, "--min-latency-gain", "100"}, exitUsage, "below 100"},
	}
	built := toolsBuilt(t)
	if !built {
		cases = append(cases, struct {
			args []string
			code int
			want string
		}{[]string{"quantize", "stories260K"}, exitFailed, "make "})
	}
	check := func(args []string, code int, want string) (out string) {
		t.Helper()
		got, out, errOut := cli(t, data, append([]string{"model"}, args...)...)
		if got != code || !strings.Contains(out+errOut, want) {
			t.Errorf("%q: exit %d, %q, %q; want %d and %q", args, got, out, errOut, code, want)
		}
		nothingLeft(t, data)
		return out
	}
	for _, tt := range cases {
		check(tt.args, tt.code, tt.want)
	}
	if !built {
		t.Skip("llama.cpp's tools are not built here (make engine-tools); the rest was not run")
	}
	check([]string{"quantize", "stories260K", "--imatrix-index"}, exitRefused, "rxedge ingest")
	check([]string{"quantize", "stories260K", "--type", "Q8_0", "--threads", "1"}, exitDone, "5 of 47 tensors have another type")
	check([]string{"quantize", "stories260K-Q8_0", "--type", "Q4_0"}, exitRefused, "quantised already")

	// Passages of the index, twice: the same model.
	story := filepath.Join(data, "story.md")
	if err := os.WriteFile(story, []byte("# Stories\n\n"+string(stories)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := cli(t, data, "ingest", story); code != exitDone {
		t.Fatal(errOut)
	}
	var q [2]quantised
	for i := range q {
		out := check([]string{"quantize", "stories260K", "--type", "q4_0", "--imatrix-index", "--threads", "1", "--json"}, exitDone, "")
		if err := json.Unmarshal([]byte(out), &q[i]); err != nil {
			t.Fatal(err)
		}
	}
	l := q[0].Entry.Lineage
	if l == nil || *l != (catalog.Lineage{From: l.From, FromName: "stories260K", How: "quantize", Type: "Q4_0", TextsSHA256: q[0].Report.Importance.TextsSHA256}) || len(l.TextsSHA256) != 64 {
		t.Errorf("%+v", l)
	}
	if q[0].Entry.SHA256 != q[1].Entry.SHA256 || q[0].Entry.Name != "stories260K-Q4_0" {
		t.Errorf("%+v and %+v", q[0].Entry, q[1].Entry)
	}

	// The gate refuses with code 4, and lets pass what it is told to.
	quick := []string{"--texts", texts, "--context", "64", "--prompts", "2", "--rounds", "1", "--prompt-tokens", "32", "--generate-tokens", "8", "--threads", "1", "--profile", "cpu-only"}
	check(append([]string{"compare", "stories260K", "stories260K-Q4_0", "--max-quality-drop", "0"}, quick...), exitRefused, "the gate refuses stories260K-Q4_0")
	out := check(append([]string{"compare", "stories260K", "stories260K-Q8_0", "--json", "--max-quality-drop", "3", "--min-latency-gain", "-900"}, quick...), exitDone, "")
	var r map[string]any
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "b", "gate_profile", "greedy", "kl_divergence", "log_perplexity_ratio", "log_perplexity_ratio_standard_error", "speed", "texts", "top1_agreement", "verdict"}
	if got := sortedKeys(r); !slices.Equal(got, want) {
		t.Errorf("keys %q", got)
	}
	for key, inner := range map[string][]string{
		"a":             {"generate_tokens_per_s", "latency_max_ms", "latency_min_ms", "latency_ms", "name", "peak_resident_bytes", "perplexity", "prompt_tokens_per_s", "quantisation", "sha256", "size_bytes"},
		"verdict":       {"latency_certain", "latency_gain_min_percent", "latency_gain_percent", "passed", "quality_drop_max_percent", "quality_drop_percent", "reasons", "size_gain_percent"},
		"greedy":        {"common_prefix", "exact_match", "prompts", "rouge_l", "tokens"},
		"kl_divergence": {"max", "mean", "median", "p99", "standard_error"},
		"speed":         {"generate_tokens", "prompt_tokens", "rounds", "threads"},
		"texts":         {"chunks", "context", "scored_tokens", "sha256"},
	} {
		if got := sortedKeys(r[key].(map[string]any)); !slices.Equal(got, inner) {
			t.Errorf("keys of %s: %q", key, got)
		}
	}
	_, help, _ := cli(t, data, "model", "compare", "--help")
	help = strings.Join(strings.Fields(help), " ")
	for _, key := range append(want, "latency_certain", "peak_resident_bytes", "common_prefix") {
		if !strings.Contains(help, strings.TrimPrefix(key, "log_perplexity_ratio")) {
			t.Errorf("the help does not name %s", key)
		}
	}
}
