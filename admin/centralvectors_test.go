package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/centre/vectors"
	"rxedge/inference/bert/berttest"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// The passages' vectors are made by an embedder of the catalog and published; one that
// is not there, or that is built in, is refused before anything is.
func TestPublishVectors(t *testing.T) {
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	dir, data := filepath.Join(t.TempDir(), "central"), t.TempDir()
	if _, err := central.Init(dir, central.InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Open(filepath.Join(data, "models"))
	if err == nil {
		_, err = cat.Import(t.Context(), berttest.Folder(t), catalog.ImportOptions{Name: "encoder"}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	doc := filepath.Join(t.TempDir(), "d.jsonl")
	if err := os.WriteFile(doc, []byte(`{"_id":"a","title":"A","text":"The dose of warfarin is 5 mg."}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func(want int, given ...string) (out struct {
		Number  int64
		Vectors int
	}) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"--data", data, "central", "--dir", dir, "publish", "--local", "--json"}, given...), strings.NewReader(""), &stdout, &stderr); code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s\n%s", given, code, want, stdout.String(), stderr.String())
		}
		if want == 0 {
			if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	publish(1, doc, "--vectors", "builtin")
	publish(5, doc, "--vectors", "nobody")
	if r := publish(0, doc, "--vectors", "encoder"); r.Number != 1 || r.Vectors != 1 {
		t.Errorf("%+v", r)
	}
	if r := publish(0, "--drop-vectors"); r.Number != 2 || r.Vectors != 0 {
		t.Errorf("%+v", r)
	}
}

// What the workers of an ingest make is what publish would make, to the byte, and publish
// takes it: the bundles of a centre that ingested with vectors, of one that did not, and
// of one that publishes for the second time have the same packs.
func TestVectorsOfTheFlow(t *testing.T) {
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	data, labels := t.TempDir(), t.TempDir()
	cat, err := catalog.Open(filepath.Join(data, "models"))
	if err == nil {
		_, err = cat.Import(t.Context(), berttest.Folder(t), catalog.ImportOptions{Name: "encoder"}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		text := fmt.Sprintf("# Amoxol %d\n## Dosage\n", i)
		for k := range 20 + 10*i {
			text += fmt.Sprintf("Adults should take %d mg of the medicine with food, and with a glass of water, %d times a day. ", 10*k+i, k%4+1)
		}
		text += "\n## Warnings\nIt is not for those who are allergic to any of the ingredients, and it should not be taken by children who are under six.\n"
		if err := os.WriteFile(filepath.Join(labels, fmt.Sprintf("amoxol-%d.md", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	centre := func(name string) *central.Folder {
		t.Helper()
		f, err := central.Init(filepath.Join(t.TempDir(), name), central.InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	do := func(f *central.Folder, given ...string) (out struct{ Vectors, Bare, Documents, Number int }) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"--data", data, "central", "--dir", f.Dir, "--json"}, given...), strings.NewReader(""), &stdout, &stderr); code != 0 {
			t.Fatalf("%v: exit code %d\n%s\n%s", given, code, stdout.String(), stderr.String())
		}
		if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	kept := func(f *central.Folder) (n int) {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(f.Dir, "library", "vectors", "*.db"))
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		var e bundle.Hash
		if err := e.UnmarshalText([]byte(strings.TrimSuffix(filepath.Base(all[0]), ".db"))); err != nil {
			t.Fatal(err)
		}
		s, err := vectors.Open(t.Context(), f.Dir, e, 64)
		if err == nil {
			defer s.Close()
			n, err = s.Count(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	packs := func(f *central.Folder) (out []string) {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(f.Dir, "store", "chunks", "*"))
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		for _, p := range all {
			out = append(out, filepath.Base(p))
		}
		return out
	}

	plain := centre("plain")
	a := do(plain, "publish", "--local", labels, "--vectors", "encoder")
	flowed := centre("flowed")
	in := do(flowed, "ingest", labels, "--workers", "2", "--vectors", "encoder")
	if in.Documents != 5 || in.Bare != 0 || in.Vectors < 10 || in.Vectors != kept(flowed) || in.Vectors != kept(plain) {
		t.Fatalf("%+v; %d and %d are kept", in, kept(flowed), kept(plain))
	}
	do(flowed, "review", "run")
	b := do(flowed, "publish", "--local", "--library", "--vectors", "encoder")
	if a.Vectors != b.Vectors || a.Vectors < 10 || kept(flowed) != in.Vectors {
		t.Errorf("%d vectors without the flow, %d with it", a.Vectors, b.Vectors)
	}
	if x, y := packs(plain), packs(flowed); !slices.Equal(x, y) {
		t.Errorf("%d packs and %d are not the same", len(x), len(y))
	}
	// They were taken and not made: others in their place are what is published.
	spoiled := centre("spoiled")
	if in := do(spoiled, "ingest", labels, "--workers", "1", "--vectors", "encoder"); in.Vectors != a.Vectors {
		t.Fatalf("%+v", in)
	}
	spoil(t, spoiled.Dir)
	do(spoiled, "publish", "--local", labels, "--vectors", "encoder")
	if slices.Equal(packs(plain), packs(spoiled)) {
		t.Error("publish made its vectors anew")
	}
}

// spoil one element of each vector that a centre keeps.
func spoil(t *testing.T, centre string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(centre, "library", "vectors", "*.db"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	db, err := sql.Open("sqlite", all[0])
	if err == nil {
		defer db.Close()
		_, err = db.ExecContext(t.Context(), `UPDATE vector SET halves = x'003c' || substr(halves, 3)`)
	}
	if err != nil {
		t.Fatal(err)
	}
}
