package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real file %s is not on this machine (RXEDGE_TESTDATA names the folder)", name)
	}
	return path
}

// model writes a small GGUF; set changes its metadata.
func model(t testing.TB, dir, name string, set func(*gguf.Metadata), tensors ...gguf.Tensor) string {
	t.Helper()
	var m gguf.Metadata
	m.Set("general.architecture", "llama")
	m.Set("tokenizer.ggml.model", "llama")
	m.Set("llama.context_length", uint32(2048))
	m.Set("llama.embedding_length", uint32(32))
	if set != nil {
		set(&m)
	}
	if tensors == nil {
		tensors = []gguf.Tensor{{Name: "token_embd.weight", Shape: []uint64{32, 4}, Type: gguf.Q8_0}, {Name: "output_norm.weight", Shape: []uint64{32}, Type: gguf.F32}}
	}
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := gguf.NewWriter(f, &m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		if err := w.WriteTensor(tensor.Name, io.LimitReader(zeros{}, int64(tensor.Bytes()))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func open(t testing.TB) *Catalog {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "models"))
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	c.now = func() time.Time { clock = clock.Add(time.Hour); return clock }
	return c
}

// files lists what is in the catalog's folders.
func files(t testing.TB, c *Catalog) []string {
	t.Helper()
	var out []string
	for _, d := range []string{c.blobs(), c.entries()} {
		list, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			out = append(out, f.Name())
		}
	}
	return out
}

func TestImport(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := open(t)
	src := model(t, t.TempDir(), "My Model (v1).gguf", func(m *gguf.Metadata) {
		m.Set("general.license", "apache-2.0")
		m.Set("tokenizer.chat_template", "{{ messages }}")
	})
	data, err := os.ReadFile(src)
	if err != nil {
		t.Fatal(err)
	}
	var done, total int64
	e, err := c.Import(ctx, src, ImportOptions{}, func(d, n int64) { done, total = d, n })
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{
		Name: "My-Model--v1-", SHA256: fmt.Sprintf("%x", sha256.Sum256(data)), Size: int64(len(data)), Format: "gguf",
		Facts: Facts{Kind: Generator, Architecture: "llama", Parameters: 160, ContextLength: 2048, EmbeddingLength: 32,
			Quantisation: "Q8_0", TokenizerModel: "llama", ChatTemplate: true, Licence: "apache-2.0"},
		ImportedAt: time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC), Source: "My Model (v1).gguf",
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("entry\n got %+v\nwant %+v", e, want)
	}
	if done != int64(len(data)) || total != done {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	if copied, err := os.ReadFile(c.Path(e)); err != nil || !bytes.Equal(copied, data) {
		t.Errorf("the copy differs: %v", err)
	}
	if got, err := c.Get(e.Name); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("Get: %+v, %v", got, err)
	}

	// Again: the same entry, nothing new.
	before := files(t, c)
	again, err := c.Import(ctx, src, ImportOptions{}, nil)
	if err != nil || !reflect.DeepEqual(again, e) || !reflect.DeepEqual(files(t, c), before) {
		t.Errorf("again: %+v, %v, %v", again, err, files(t, c))
	}

	// The same file under another name shares the blob.
	if _, err := c.Import(ctx, src, ImportOptions{Name: "second", Kind: Embedder, Licence: "mit"}, nil); err != nil {
		t.Fatal(err)
	}
	list, err := c.List()
	if err != nil || len(list) != 2 || list[1].Kind != Embedder || list[1].Licence != "mit" || len(files(t, c)) != 3 {
		t.Errorf("%+v, %v, %v", list, err, files(t, c))
	}

	// Another file under a name that is taken.
	other := model(t, t.TempDir(), "second.gguf", func(m *gguf.Metadata) { m.Set("x", "y") })
	before = files(t, c)
	_, err = c.Import(ctx, other, ImportOptions{}, nil)
	var taken *NameTakenError
	if !errors.As(err, &taken) || !strings.Contains(err.Error(), "--name") || !reflect.DeepEqual(files(t, c), before) {
		t.Errorf("%v, %v", err, files(t, c))
	}

	// The blob goes with its last entry.
	if err := c.Remove(ctx, "second"); err != nil || len(files(t, c)) != 2 {
		t.Errorf("%v, %v", err, files(t, c))
	}
	if err := c.Remove(ctx, e.Name); err != nil || len(files(t, c)) != 0 {
		t.Errorf("%v, %v", err, files(t, c))
	}
	if err := c.Remove(ctx, e.Name); !errors.Is(err, inference.ErrModelNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := c.Get("../../etc/passwd"); !errors.Is(err, inference.ErrModelNotFound) {
		t.Errorf("a path for a name: %v", err)
	}
}

func TestImportLlama2c(t *testing.T) {
	t.Parallel()
	c := open(t)
	dir := testdata(t, "models/stories260K")
	e, err := c.Import(t.Context(), dir, ImportOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "stories260K" || e.ConvertedFrom != "llama2c" || e.Kind != Generator || e.ContextLength != 512 || e.Parameters != 260032 || e.Quantisation != "F32" || !e.ChatTemplate || e.Source != "stories260K" {
		t.Errorf("%+v", e)
	}
	again, err := c.Import(t.Context(), filepath.Join(dir, "stories260K.bin"), ImportOptions{}, nil)
	if err != nil || !reflect.DeepEqual(again, e) {
		t.Errorf("the file instead of the folder: %+v, %v", again, err)
	}
	if problems, err := c.Verify(t.Context()); err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if g, err := c.Import(t.Context(), testdata(t, "models/llama-2-tiny-random.gguf"), ImportOptions{}, nil); err != nil || g.Kind != Generator {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := open(t)
	dir := t.TempDir()
	var entries []Entry
	for i, name := range []string{"gone", "longer", "flipped", "good"} {
		e, err := c.Import(ctx, model(t, dir, name+".gguf", func(m *gguf.Metadata) { m.Set("n", uint32(i)) }), ImportOptions{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(c.Path(e), 0o644)
		entries = append(entries, e)
	}
	b, _ := os.ReadFile(c.Path(entries[2]))
	b[len(b)-1] ^= 1
	os.WriteFile(c.Path(entries[2]), b, 0o644)
	os.WriteFile(c.Path(entries[1]), append(b, 0), 0o644)
	os.Remove(c.Path(entries[0]))
	problems, err := c.Verify(ctx)
	if err != nil || len(problems) != 3 {
		t.Fatalf("%v, %v", problems, err)
	}
	for i, want := range []string{"has changed", "missing", "bytes instead of"} {
		if !strings.Contains(problems[i].Reason, want) {
			t.Errorf("%+v, want %q", problems[i], want)
		}
	}
	// Importing again mends all three.
	for _, e := range entries {
		if _, err := c.Import(ctx, filepath.Join(dir, e.Source), ImportOptions{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if problems, err := c.Verify(ctx); err != nil || len(problems) != 0 {
		t.Errorf("after mending: %v, %v", problems, err)
	}

	os.WriteFile(c.entryPath("good"), []byte(`{"name":`), 0o644)
	list, err := c.List()
	if len(list) != 3 || err == nil || !strings.Contains(err.Error(), "good.json is damaged") {
		t.Errorf("%d entries, %v", len(list), err)
	}
	if err := c.Remove(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Path(entries[3])); err != nil {
		t.Errorf("the file of an unreadable entry was cleared away: %v", err)
	}
	if problems, _ := c.Verify(ctx); len(problems) != 1 {
		t.Errorf("%v", problems)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(p), 0o755)
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	whole := model(t, dir, "whole.gguf", nil)
	data, _ := os.ReadFile(whole)
	os.Mkdir(filepath.Join(dir, "empty"), 0o755)
	write("two/a.gguf", "GGUF")
	write("two/b.bin", "")
	write("alone/m.bin", strings.Repeat("x", 100))
	write("pair/m.bin", strings.Repeat("x", 100))
	write("pair/tok.bin", "")
	set := func(k string, v any) func(*gguf.Metadata) {
		return func(m *gguf.Metadata) { m.Set(k, v) }
	}
	for _, tc := range []struct {
		name, path, want string
		o                ImportOptions
	}{
		{name: "missing", path: filepath.Join(dir, "none.gguf"), want: "no such file"},
		{name: "cut off", path: write("cut.gguf", string(data[:len(data)-100])), want: "cut.gguf: not a usable GGUF file"},
		{name: "noise", path: write("noise.gguf", strings.Repeat("noise", 50)), want: "does not begin with GGUF"},
		{name: "text", path: write("notes.txt", "hello"), want: "neither a GGUF file nor"},
		{name: "empty folder", path: filepath.Join(dir, "empty"), want: "holds 0 models"},
		{name: "two models", path: filepath.Join(dir, "two"), want: "holds 2 models"},
		{name: "no tokenizer", path: filepath.Join(dir, "alone"), want: "needs one tokenizer"},
		{name: "bad checkpoint", path: filepath.Join(dir, "pair"), want: "m.bin: not a llama2.c checkpoint"},
		{name: "the tokenizer", path: filepath.Join(dir, "pair", "tok.bin"), want: "is the tokenizer"},
		{name: "device", path: "/dev/null", want: "no regular file"},
		{name: "name", path: whole, o: ImportOptions{Name: "../x"}, want: "can't be a model's name"},
		{name: "kind", path: whole, o: ImportOptions{Kind: "poet"}, want: `kind "poet"`},
		{name: "adapter", path: model(t, dir, "ad.gguf", set("general.type", "adapter")), want: `"adapter" and no model`},
		{name: "split", path: model(t, dir, "sp.gguf", set("split.count", uint16(3))), want: "part 1 of 3"},
		{name: "no tokenizer model", path: model(t, dir, "nt.gguf", set("tokenizer.ggml.model", "")), want: "no tokenizer"},
		{name: "no architecture", path: model(t, dir, "na.gguf", set("general.architecture", "")), want: "general.architecture"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			_, err := c.Import(t.Context(), tc.path, tc.o, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if left := files(t, c); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	t.Parallel()
	c := open(t)
	src := model(t, t.TempDir(), "large.gguf", nil, gguf.Tensor{Name: "token_embd.weight", Shape: []uint64{1024, 4096}, Type: gguf.F32})
	for at := int64(1); at <= 17<<20; at += 4 << 20 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.Import(ctx, src, ImportOptions{}, func(done, _ int64) {
			if done >= at {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) || len(files(t, c)) != 0 {
			t.Fatalf("cancelled at %d: %v, left %v", at, err, files(t, c))
		}
	}
	// What a crash leaves is cleared by the next import.
	os.WriteFile(filepath.Join(c.blobs(), temporaryPrefix+"123"), []byte("half"), 0o600)
	os.WriteFile(filepath.Join(c.blobs(), strings.Repeat("a", 64)+".gguf"), []byte("no entry"), 0o600)
	if _, err := c.Import(t.Context(), src, ImportOptions{}, nil); err != nil || len(files(t, c)) != 2 {
		t.Errorf("%v, %v", err, files(t, c))
	}
}

func TestConcurrentImports(t *testing.T) {
	t.Parallel()
	c := open(t)
	src := model(t, t.TempDir(), "m.gguf", nil)
	var wg sync.WaitGroup
	got := make([]Entry, 8)
	for i := range got {
		wg.Go(func() {
			other, err := Open(c.dir) // as another process would
			if err == nil {
				got[i], err = other.Import(t.Context(), src, ImportOptions{}, nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, e := range got {
		if !reflect.DeepEqual(e, got[0]) {
			t.Errorf("%+v differs from %+v", e, got[0])
		}
	}
	if left := files(t, c); len(left) != 2 {
		t.Errorf("%v", left)
	}
	// A lock that is held for good is given up with the context.
	unlock, err := c.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Import(ctx, src, ImportOptions{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestInspectKinds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, tc := range []struct {
		arch    string
		pooling any
		tensor  string
		want    Kind
		says    string
	}{
		{"llama", nil, "token_embd.weight", Generator, ""},
		{"bert", uint32(1), "token_embd.weight", Embedder, "mean"},
		{"bert", uint32(2), "token_embd.weight", Embedder, "cls"},
		{"bert", nil, "token_embd.weight", Embedder, ""},
		{"bert", uint32(4), "token_embd.weight", Reranker, "rank"},
		{"bert", nil, "cls.output.weight", Reranker, ""},
		{"nomic-bert", uint32(1), "token_embd.weight", Embedder, "mean"},
		{"qwen3", uint32(3), "token_embd.weight", Embedder, "last"},
		{"qwen3", uint32(0), "token_embd.weight", Generator, "none"},
		{"qwen3", uint32(99), "token_embd.weight", Generator, ""},
	} {
		path := model(t, dir, fmt.Sprintf("%d.gguf", i), func(m *gguf.Metadata) {
			m.Set("general.architecture", tc.arch)
			if tc.pooling != nil {
				m.Set(tc.arch+".pooling_type", tc.pooling)
			}
		}, gguf.Tensor{Name: tc.tensor, Shape: []uint64{32, 4}, Type: gguf.F16})
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		facts, err := Inspect(f)
		f.Close()
		if err != nil || facts.Kind != tc.want || facts.Pooling != tc.says || facts.Quantisation != "F16" {
			t.Errorf("%s, pooling %v, %s: %+v, %v", tc.arch, tc.pooling, tc.tensor, facts, err)
		}
	}
	vocabulary, err := gguf.Open(testdata(t, "tokenizers/ggml-vocab-bert-bge.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer vocabulary.Close()
	if _, err := Inspect(vocabulary); err == nil || !strings.Contains(err.Error(), "vocabulary only") {
		t.Errorf("a vocabulary: %v", err)
	}
}

func TestLineageIsKept(t *testing.T) {
	t.Parallel()
	c := open(t)
	want := Lineage{From: strings.Repeat("ab", 32), FromName: "big", How: "quantize", Type: "Q4_K_M", TextsSHA256: strings.Repeat("cd", 32)}
	e, err := c.Import(t.Context(), model(t, t.TempDir(), "small.gguf", nil), ImportOptions{Lineage: &want}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(e.Name)
	if err != nil || got.Lineage == nil || *got.Lineage != want {
		t.Errorf("%+v, %v", got.Lineage, err)
	}
}
