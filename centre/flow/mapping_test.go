package flow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/centre/library"
	"rxedge/index/document"
)

// A table comes in by the mapping beside it, else by the one that was given, wherever its
// reader is; by another mapping it is read again. What is wrong with a mapping is said of
// the mapping.
func TestMappings(t *testing.T) {
	t.Parallel()
	dir, centre := t.TempDir(), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mapping := func(title, first string) string {
		return fmt.Sprintf("table = \"interactions\"\ntitle = %q\n[columns]\ndrug_a = %q\ndrug_b = \"B\"\neffect = \"Effect\"\n", title, first)
	}
	write("own.csv", "A,B,Effect\nWarfarin,Aspirin,Bleeding.\n")
	own := write("own.csv.map.toml", mapping("own list", "A"))
	write("other.csv", "First,B,Effect\nSotalol,Verapamil,Bradycardia.\nSotalol,,Nothing.\n")
	write("bad.csv", "A,B,Effect\nDigoxin,Quinidine,More of it.\n")
	write("bad.csv.map.toml", "table = \"interactions\"\n[columns]\ndrug_a = \"A\"\ndrug_z = \"B\"\n")
	write("guide.md", "# Guide\n\nTake tablets with water.\n")
	given := write("columns.toml", mapping("given list", "First"))
	run := func(mapping string, names ...string) *Summary {
		t.Helper()
		o := options(t, centre)
		for _, n := range names {
			o.Paths = append(o.Paths, filepath.Join(dir, n))
		}
		o.Mapping = mapping
		sum, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	all := []string{"own.csv", "own.csv.map.toml", "other.csv", "bad.csv", "guide.md"}
	sum := run("", all...)
	if sum.Documents != 3 || sum.Refused != 2 || sum.Files != 4 {
		t.Errorf("without a mapping for one of them: %+v", sum)
	}
	// With one what was refused is read, and what is known is known.
	sum = run(given, all...)
	if sum.Documents != 2 || sum.Refused != 2 || sum.Known != 2 { // a row and the bad mapping
		t.Errorf("with a mapping: %+v", sum)
	}
	// Another mapping beside it.
	write(filepath.Base(own), mapping("the list of 2026", "A"))
	if sum = run(given, all...); sum.Documents != 2 || sum.New != 2 || sum.Known != 2 {
		t.Errorf("by another mapping: %+v", sum)
	}
	lib, err := library.Open(centre)
	if err != nil {
		t.Fatal(err)
	}
	defer lib.Close()
	vs, err := lib.Versions(t.Context(), library.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	titles := map[string]string{}
	for _, v := range vs {
		src, err := lib.Sources(t.Context(), v.Ref)
		if err != nil || len(src) != 1 {
			t.Fatalf("%s: %v %v", v.ID, src, err)
		}
		if table := strings.HasSuffix(src[0].Name, ".csv"); table != strings.HasPrefix(src[0].Place, "mapping ") {
			t.Errorf("%s came from %q of %s", v.ID, src[0].Place, src[0].Name)
		}
		titles[v.Title] = v.ID
	}
	for _, want := range []string{"Warfarin: own list", "Warfarin: the list of 2026", "Sotalol: given list", "Guide"} {
		if titles[want] == "" {
			t.Errorf("no %q among %v", want, titles)
		}
	}
	held, err := lib.Quarantine(t.Context(), library.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, h := range held {
		if h.Refused != nil {
			said += h.Refused.Problem.Error() + "\n"
		}
	}
	for _, want := range []string{"bad.csv", "drug_z", "a required cell is empty"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing says %q:\n%s", want, said)
		}
	}

	var problem document.Problem
	if _, err := GivenMapping(filepath.Join(dir, "bad.csv.map.toml")); !errors.As(err, &problem) || problem.Field != "columns.drug_z" {
		t.Errorf("a bad mapping that is given: %v", err)
	}
}
