// Package formulary is the sample that a fresh box answers from before it has
// documents of its own: common medicines, one Markdown file each, written for
// this project from the facts of US labels and not for clinical use.
package formulary

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"sync"
)

//go:embed sample/*.md
var sample embed.FS

// Files returns the sample's Markdown files, named like "metformin.md", all in
// the root of the returned file system.
func Files() fs.FS {
	files, err := fs.Sub(sample, "sample")
	if err != nil {
		panic(err) // "sample" is a valid path, fixed at compile time
	}
	return files
}

// Version names the contents of the sample: 12 hexadecimal digits that change
// whenever a file is added, removed or edited. A daemon that has ingested this
// version has nothing to do.
func Version() string { return version() }

var version = sync.OnceValue(func() string {
	files := Files()
	names, err := fs.Glob(files, "*.md") // sorted
	if err != nil {
		panic(err) // the pattern is fixed
	}
	h := sha256.New()
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err) // read from memory
		}
		fmt.Fprintf(h, "%s %d\n", name, len(text))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
})
