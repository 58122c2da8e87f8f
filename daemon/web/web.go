// Package web is the pharmacist's page and the technician's: plain HTML, CSS and
// JavaScript modules, embedded, so that they work on a machine that is off the
// network. They hold no logic of answering; they ask the API they are served beside.
// The charts are uPlot's, as its makers publish it (assets/station).
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed assets
var assets embed.FS

// What the page may do. Scripts and requests come from and go to this origin
// alone; the one style is told by its hash, for it stands in the page itself so
// that the first paint waits for nothing; markup can not be made from strings
// (Trusted Types); a form can not be sent to anywhere, because the page asks by
// script.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src %s; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Page of a Set: its file, and the styles that are written into it.
type Page struct {
	File   string
	Styles []string
}

// pages of a box, by their paths.
var pages = map[string]Page{
	"/":        {"index.html", []string{"base.css", "page.css"}},
	"/station": {"station/station.html", []string{"base.css", "station/uPlot.min.css", "station/panels.css", "station/station.css"}},
}

// file is one embedded file, ready to be served.
type file struct {
	body        []byte
	contentType string
	etag        string
	style       string // that the policy lets it have: a page's own, by its hash
}

// The types are fixed here: what mime.TypeByExtension says depends on the machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// Set of pages with their files, ready to be served: each page at its path, files at
// "/assets/…"; any other path is not found. A page names its files under
// /assets/VERSION/, a digest of their contents, and those are cached for good;
// "/assets/NAME" without a version is revalidated by its ETag.
type Set struct {
	files   map[string]file
	version string
	pages   map[string]Page
	lost    string // what is said where there is no such page
}

// own are the pages of a box.
var own = sync.OnceValue(func() *Set {
	root, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the path is fixed at compile time
	}
	s, err := NewSet(pages, "There is no such page here; the page for questions is at /, the one for technicians at /station.", root)
	if err != nil {
		panic(err) // embedded files: found by the first test
	}
	return s
})

// Handler serves the pages of a box.
func Handler() http.Handler { return own() }

// Shared are files of a box's pages that other pages are made of too, under the same
// names: the base of all styles, panels and tables, elements, numbers as people read
// them, the charts.
func Shared() fs.FS { return shared{} }

type shared struct{}

var sharedNames = []string{"base.css", "dom.js", "icon.svg", "station/panels.css", "station/format.js", "station/tables.js"}

// Open implements fs.FS.
func (shared) Open(name string) (fs.File, error) {
	if name == "." || name == "station" {
		return assets.Open(path.Join("assets", name))
	}
	if !slices.Contains(sharedNames, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return assets.Open(path.Join("assets", name))
}

// ServeHTTP implements http.Handler.
func (s *Set) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, cache := "", "no-cache"
	if p, ok := s.pages[r.URL.Path]; ok {
		name = p.File
	} else if rest, ok := strings.CutPrefix(r.URL.Path, "/assets/"); ok {
		name = rest
		if versioned, ok := strings.CutPrefix(rest, s.version+"/"); ok {
			name, cache = versioned, "public, max-age=31536000, immutable"
		}
		if path.Ext(name) == ".html" {
			name = "" // a page stands at its own path alone
		}
	}

	f, ok := s.files[name]
	style := f.style
	if style == "" {
		style = "'none'"
	}
	h := w.Header()
	h.Set("Content-Security-Policy", fmt.Sprintf(contentSecurityPolicy, style))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// No Cross-Origin-Opener-Policy: it makes the browser start a second process
	// once the header has come, and the first paint waits for that. Who opens this
	// page from elsewhere may close it or send it away, and can read nothing of it;
	// it listens to no messages, and no frame may hold it.
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")

	if !ok {
		h.Set("Cache-Control", "no-store")
		http.Error(w, s.lost, http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "This page can only be read.", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", cache)
	h.Set("ETag", f.etag)
	// ServeContent answers If-None-Match, HEAD and ranges.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// NewSet of the files of trees, with pages by their paths; of a name that two trees have
// the later counts. lost is said where there is no such page.
func NewSet(pages map[string]Page, lost string, trees ...fs.FS) (*Set, error) {
	files := map[string]file{}
	for _, tree := range trees {
		if err := read(tree, files); err != nil {
			return nil, err
		}
	}
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(all, "%s %d\n", name, len(files[name].body))
		all.Write(files[name].body)
	}
	version := hex.EncodeToString(all.Sum(nil))[:12]
	for _, p := range pages {
		var style []byte
		for _, name := range p.Styles {
			style = append(style, files[name].body...)
		}
		if _, ok := files[p.File]; !ok || len(style) == 0 {
			return nil, fmt.Errorf("the page %s has no file, or no style", p.File)
		}
		sum := sha256.Sum256(style)
		f := files[p.File]
		f.style = fmt.Sprintf("'sha256-%s'", base64.StdEncoding.EncodeToString(sum[:]))
		f.body = bytes.ReplaceAll(f.body, []byte("{{VERSION}}"), []byte(version))
		f.body = bytes.ReplaceAll(f.body, []byte("{{STYLE}}"), style)
		files[p.File] = f
	}
	for name, f := range files {
		sum := sha256.Sum256(f.body)
		f.etag = `"` + hex.EncodeToString(sum[:12]) + `"`
		files[name] = f
	}
	return &Set{files, version, pages, lost}, nil
}

// read the files of a tree.
func read(tree fs.FS, files map[string]file) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // listed and not shared
		}
		if err != nil {
			return err
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("%s: no content type is known for it", name)
		}
		files[name] = file{body: body, contentType: contentType}
		return nil
	})
}
