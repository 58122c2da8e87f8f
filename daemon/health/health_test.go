package health

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write CONDITIONS.md")

// CONDITIONS.md has every condition, as the programs know it.
func TestPage(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile("CONDITIONS.md", []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("CONDITIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != Page() {
		t.Error("CONDITIONS.md is not what the conditions say: go test ./daemon/health -update")
	}
}

// A condition that nothing finds is a promise that nobody keeps.
func TestAllAreFound(t *testing.T) {
	t.Parallel()
	names := map[string]bool{} // of the variables; true: used
	f, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			for _, x := range v.Names {
				names[x.Name] = false
			}
		}
		return true
	})
	if len(names) != len(conditions) {
		t.Fatalf("%d variables, %d conditions", len(names), len(conditions))
	}
	used := regexp.MustCompile(`\bhealth\.([A-Z]\w*)`)
	for _, dir := range []string{"..", "../../admin"} {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range used.FindAllSubmatch(b, -1) {
				n := string(m[1])
				if _, ok := names[n]; ok {
					names[n] = true
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for n, found := range names {
		if !found {
			t.Errorf("nothing finds %s", n)
		}
	}
}

func TestArrange(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var w Watch
	w.See(at, []Finding{Stepped.Found("hot")})
	got := w.See(at.Add(time.Minute), []Finding{
		ModelFailed.Found("m"), CacheRenewed.Found("c"), Stepped.Found("hot"), IndexOldForm.Found("old").Mend("x").As(Error),
	})
	var have []string
	for _, f := range got {
		have = append(have, f.Code+"<"+f.Because)
	}
	if s := strings.Join(have, " "); s != "index-old-form< card-stepped-back< cache-renewed< model-failed<card-stepped-back" {
		t.Error(s)
	}
	if !got[1].Since.Equal(at) || !got[0].Since.Equal(at.Add(time.Minute)) || got[0].Fix != "x" {
		t.Errorf("%+v", got)
	}
	w.See(at, nil)
	if got := w.See(at.Add(time.Hour), []Finding{Stepped.Found("hot")}); !got[0].Since.Equal(at.Add(time.Hour)) {
		t.Errorf("it ended and is said to hold since %s", got[0].Since)
	}
}

func TestSeverityReads(t *testing.T) {
	t.Parallel()
	for s := Notice; s <= Critical; s++ {
		var got Severity
		b, err := s.MarshalText()
		if err != nil || got.UnmarshalText(b) != nil || got != s {
			t.Errorf("%s: %v %v", b, got, err)
		}
	}
	var s Severity
	if s.UnmarshalText([]byte("grave")) == nil {
		t.Error("grave is taken")
	}
}
