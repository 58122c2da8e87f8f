// Package rxedge_test holds the rules that concern every room.
package rxedge_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// forbidden lists, for a room, the rooms it must not know. Only admin knows
// them all.
var forbidden = map[string][]string{
	"index":     {"inference", "sync", "daemon", "centre", "admin"},
	"inference": {"index", "sync", "daemon", "centre", "admin"},
	"sync":      {"index", "inference", "daemon", "centre", "admin"},
	"daemon":    {"centre", "admin"},
	"centre":    {"admin"},
}

// packages that stay free of the disk and the network: they are arithmetic.
var pure = map[string][]string{
	"index/fusion":       {"os", "net", "net/http", "github.com/dgraph-io/badger/v4"},
	"index/lexical":      {"os", "net", "net/http", "github.com/dgraph-io/badger/v4"},
	"index/dense":        {"os", "net", "net/http", "github.com/dgraph-io/badger/v4"},
	"inference/quantity": {"os", "net", "net/http"},
	"centre/check":       {"os", "net", "net/http", "database/sql"},
	"centre/compare":     {"os", "net", "net/http", "database/sql"},
	"inference/extract":  {"os", "net", "net/http"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "var") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(file))
		room, _, _ := strings.Cut(dir, "/")
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			if !strings.HasSuffix(file, "_test.go") {
				for _, p := range pure[dir] {
					if name == p {
						t.Errorf("%s imports %s; %s is arithmetic and touches neither disk nor network", file, name, dir)
					}
				}
			}
			own, ok := strings.CutPrefix(name, "rxedge/")
			if !ok {
				continue
			}
			other, _, _ := strings.Cut(own, "/")
			for _, bad := range forbidden[room] {
				if other == bad {
					t.Errorf("%s imports %s; %s must not know %s", file, name, room, bad)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d Go files were found; the walk looks in the wrong place", files)
	}
}
