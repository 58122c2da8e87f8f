package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
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
	files, version := own().files, own().version
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
		{"GET", "/station", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/assets/station/main.js", 200, "text/javascript; charset=utf-8", "no-cache"},
		{"GET", "/assets/station/station.html", 404, "", "no-store"},
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
	page := string(files["index.html"].body) + string(files["station/station.html"].body)
	named := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(named) < 2 {
		t.Fatalf("the page names %d files", len(named))
	}
	// And what its scripts import.
	for name, f := range files {
		for _, m := range regexp.MustCompile(`(?:from|import\()\s*"(\.[^"]+)"`).FindAllStringSubmatch(string(f.body), -1) {
			if _, ok := files[path.Join(path.Dir(name), m[1])]; !ok {
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
	files := own().files
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
		if path.Ext(name) == ".html" { // the one style, which the policy tells by its hash
			from, to := bytes.Index(body, []byte("<style>")), bytes.Index(body, []byte("</style>"))
			sum := sha256.Sum256(body[from+len("<style>") : to])
			if want := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(f.style, want) {
				t.Errorf("%s: the policy lets another style through than the page has", name)
			}
			body = append(body[:from:from], body[to+len("</style>"):]...)
		}
		for _, re := range forbidden[path.Ext(name)] {
			if m := re.Find(body); m != nil && (name != chartsFile || !strings.Contains(string(m), "//github.c")) { // its makers' own address, in a comment
				t.Errorf("%s: %q does not belong there", name, m)
			}
		}
	}
}

const chartsFile = "station/uPlot.iife.min.js"

// uPlot 1.6.32 is served as its makers publish it, with its licence.
func TestVendoredCharts(t *testing.T) {
	t.Parallel()
	files := own().files
	for name, want := range map[string]string{
		chartsFile:                  "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
		"station/uPlot.min.css":     "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
		"station/uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
	} {
		if sum := sha256.Sum256(files[name].body); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not the published file: %x", name, sum)
		}
	}
}
