package supportbundle

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write messages.txt anew")

// logged are the messages that the daemon's code logs, as they stand there.
func logged(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, room := range []string{"daemon", "index", "inference", "sync"} {
		err := filepath.WalkDir(filepath.Join("..", "..", room), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				fun, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				first := 0
				switch fun.Sel.Name {
				case "Info", "Warn", "Error":
				case "InfoContext", "WarnContext", "ErrorContext":
					first = 1
				default:
					return true
				}
				if first < len(call.Args) {
					if lit, ok := call.Args[first].(*ast.BasicLit); ok && lit.Kind == token.STRING {
						if s, err := strconv.Unquote(lit.Value); err == nil && s != "" && !strings.Contains(s, "\n") {
							out[s] = true
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Only what stands in the source as a constant is on the list. A new message is not in a
// bundle until the list is written anew ('go test ./daemon/supportbundle -update').
func TestMessages(t *testing.T) {
	t.Parallel()
	of := logged(t)
	if *update {
		if err := os.WriteFile("messages.txt", []byte(strings.Join(slices.Sorted(maps.Keys(of)), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for m := range messages() {
		if !of[m] {
			t.Errorf("%q is on the list, and nothing logs it: 'go test ./daemon/supportbundle -update'", m)
		}
	}
	missing := 0
	for m := range of {
		if !messages()[m] {
			missing++
			t.Logf("%q is not on the list", m)
		}
	}
	if len(of) < 80 || missing > len(of)/10 {
		t.Errorf("%d of %d messages are not on the list: 'go test ./daemon/supportbundle -update'", missing, len(of))
	}
}
