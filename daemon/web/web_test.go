package web

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHandlerServes(t *testing.T) {
	t.Parallel()
	files, version := load()
	for _, tt := range []struct {
		method, target string
		status         int
		contentType    string
		cache          string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/assets/page.js", 200, "text/javascript; charset=utf-8", "no-cache"},
		{"GET", "/assets/" + version + "/page.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/assets/" + version + "/page.css", 200, "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/assets/" + version + "/icon.svg", 200, "image/svg+xml", "public, max-age=31536000, immutable"},
		{"GET", "/assets/000000000000/page.js", 404, "", "no-store"}, // another version's page would not fit these files
		{"GET", "/assets/index.html", 404, "", "no-store"},
		{"GET", "/assets/", 404, "", "no-store"},
		{"GET", "/assets/../web.go", 404, "", "no-store"},
		{"GET", "/elsewhere", 404, "", "no-store"},
		{"POST", "/", 405, "", ""},
	} {
		res := get(t, tt.method, tt.target, nil)
		if res.StatusCode != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.target, res.StatusCode, tt.status)
			continue
		}
		if got := res.Header.Get("Cache-Control"); got != tt.cache {
			t.Errorf("%s %s: Cache-Control %q, want %q", tt.method, tt.target, got, tt.cache)
		}
		if got := res.Header.Get("Content-Type"); tt.contentType != "" && got != tt.contentType {
			t.Errorf("%s %s: Content-Type %q, want %q", tt.method, tt.target, got, tt.contentType)
		}
		if got := res.Header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
			t.Errorf("%s %s: Content-Security-Policy %q", tt.method, tt.target, got)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s %s: security headers are missing", tt.method, tt.target)
		}
	}

	// What the page names is there.
	page := string(files["index.html"].body)
	named := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(named) < 2 {
		t.Fatalf("the page names %d files", len(named))
	}
	// And what its scripts import.
	for name, f := range files {
		for _, m := range regexp.MustCompile(`(?:from|import\()\s*"\./([^"]+)"`).FindAllStringSubmatch(string(f.body), -1) {
			if _, ok := files[m[1]]; !ok {
				t.Errorf("%s imports %s, which is not there", name, m[1])
			}
		}
	}
	for _, m := range named {
		if res := get(t, "GET", m[1], nil); res.StatusCode != 200 {
			t.Errorf("the page names %s: status %d", m[1], res.StatusCode)
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	t.Parallel()
	first := get(t, "GET", "/", nil)
	etag := first.Header.Get("ETag")
	if etag == "" {
		t.Fatal("no ETag")
	}
	again := get(t, "GET", "/", http.Header{"If-None-Match": {etag}})
	if again.StatusCode != http.StatusNotModified || body(t, again) != "" {
		t.Errorf("status %d with the ETag of the page, want 304", again.StatusCode)
	}
}

// The files must work under the strict policy and without a network: no inline
// script or style, no other host, no markup from strings, nothing kept.
func TestFilesKeepTheRules(t *testing.T) {
	t.Parallel()
	files, _ := load()
	forbidden := map[string][]*regexp.Regexp{
		".html": {
			regexp.MustCompile(`(?i)\sstyle=`), regexp.MustCompile(`(?i)\son[a-z]+=`),
			regexp.MustCompile(`(?i)<style`), regexp.MustCompile(`(?i)<script[^>]*>[^<]`), regexp.MustCompile(`https?://`),
		},
		".js": {
			regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function`),
			regexp.MustCompile(`localStorage|sessionStorage|indexedDB|document\.cookie`),
			regexp.MustCompile(`https?://[a-z]*\.[a-z]`),
		},
		".css": {regexp.MustCompile(`@import|url\(`)},
	}
	for name, f := range files {
		body := f.body
		if name == "index.html" { // the one style, which the policy tells by its hash
			body = bytes.Replace(body, append(append([]byte("<style>"), files[styleFile].body...), "</style>"...), nil, 1)
		}
		for _, re := range forbidden[path.Ext(name)] {
			if m := re.Find(body); m != nil {
				t.Errorf("%s: %q does not belong there", name, m)
			}
		}
	}
}
