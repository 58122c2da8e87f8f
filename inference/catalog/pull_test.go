package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

func TestPins(t *testing.T) {
	t.Parallel()
	pins, err := embeddedPins()
	if err != nil {
		t.Fatal(err)
	}
	if len(pins) < 25 {
		t.Errorf("%d pins", len(pins))
	}
	for _, word := range []string{"://", "www.", ".co/", ".com"} {
		if strings.Contains(string(pinsJSON), word) {
			t.Errorf("the pins name a host: %q", word)
		}
	}
	p, err := FindPin("all-minilm-l6-V2-q8_0")
	if err != nil || p.Name != "all-MiniLM-L6-v2-Q8_0" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := FindPin("abacus"); !errors.Is(err, inference.ErrModelNotFound) {
		t.Error(err)
	}
	for bad, want := range map[string]string{
		`{"pins":[{"name":"a b"}]}`:              "name",
		`{"pins":[{"name":"a","colour":"red"}]}`: "unknown field",
		`{"pins":[]} {}`:                         "follows the end",
		`{"pins":[{"name":"a","kind":"generator","format":"gguf","quantisation":"Q8_0","repo":"x/y","files":[{"path":"../etc/passwd"}]}]}`:    "path",
		`{"pins":[{"name":"a","kind":"generator","format":"gguf","quantisation":"Q8_0","repo":"x","files":[{"path":"a"}]}]}`:                  "repo",
		`{"pins":[{"name":"a","kind":"generator","format":"gguf","quantisation":"Q8_0","repo":"x/y","files":[{"path":"a","sha256":"ABC"}]}]}`: "sha256",
	} {
		if _, err := parsePins([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

// hub serves one file, as badly as a test wants it to.
type hub struct {
	*httptest.Server
	mu       sync.Mutex
	content  []byte
	etag     string
	requests []string // their ranges
	// spoil answers the n-th request in place of the hub, where it returns true.
	spoil func(n int, w http.ResponseWriter, r *http.Request) bool
}

func newHub(t *testing.T, content []byte) *hub {
	h := &hub{content: content, etag: `"v1"`}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	n := len(h.requests)
	h.requests = append(h.requests, r.Header.Get("Range"))
	content, etag := h.content, h.etag
	h.mu.Unlock()
	if h.spoil != nil && h.spoil(n, w, r) {
		return
	}
	if r.URL.Path != "/o/r/resolve/main/m.gguf" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", etag)
	from := 0
	if s := r.Header.Get("Range"); s != "" && (r.Header.Get("If-Range") == "" || r.Header.Get("If-Range") == etag) {
		from, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(s, "bytes="), "-"))
		if from >= len(content) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}
	w.Write(content[from:])
}

func (h *hub) ranges() []string { h.mu.Lock(); defer h.mu.Unlock(); return h.requests }

// cut sends half of what is left and breaks the connection.
func (h *hub) cut(w http.ResponseWriter, r *http.Request) bool {
	from, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"))
	w.Header().Set("ETag", h.etag)
	w.Header().Set("Content-Length", strconv.Itoa(len(h.content)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(h.content)-1, len(h.content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(h.content[from : from+(len(h.content)-from)/2])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func digest(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

// pinned is a pin of one GGUF file, and its bytes. Each has its own text.
func pinned(t *testing.T, text string) (Pin, []byte) {
	t.Helper()
	name := model(t, t.TempDir(), "m.gguf", func(m *gguf.Metadata) { m.Set("general.description", text+strings.Repeat("x", 300<<10)) })
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return Pin{Name: "tiny", Kind: Generator, Format: "gguf", Quantisation: "Q8_0", Repo: "o/r", Licence: "MIT",
		Files: []PinFile{{Path: "m.gguf", Size: int64(len(b)), SHA256: digest(b)}}}, b
}

func from(mirror string) PullOptions {
	return PullOptions{Mirror: mirror, Stall: 5 * time.Second, retry: &backoff.ZeroBackOff{}, Client: &http.Client{Transport: &http.Transport{}}}
}

// left lists what a pull has left behind.
func left(t *testing.T, c *Catalog) []string {
	t.Helper()
	var out []string
	filepath.WalkDir(filepath.Join(c.dir, "pull"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(p, ".lock") {
			out = append(out, filepath.Base(p))
		}
		return nil
	})
	return out
}

func TestPullSurvives(t *testing.T) {
	t.Parallel()
	pin, content := pinned(t, "one")
	_, other := pinned(t, "two")
	for name, tt := range map[string]struct {
		spoil    func(h *hub) func(n int, w http.ResponseWriter, r *http.Request) bool
		requests int
	}{
		"nothing": {nil, 1},
		"connections that break": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 12 && h.cut(w, r) }
		}, 13},
		"errors of the server": {func(*hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, _ *http.Request) bool {
				if n < 4 {
					w.Header().Set("Retry-After", "0")
					w.WriteHeader([]int{500, 502, 503, 429}[n])
				}
				return n < 4
			}
		}, 5},
		"a server without ranges": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					h.cut(w, r)
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(h.content)))
				w.Write(h.content)
				return true
			}
		}, 2},
		"a range that was not asked for": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool {
				switch n {
				case 0:
					h.cut(w, r)
				case 1:
					w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-%d/%d", len(h.content)-1, len(h.content)))
					w.WriteHeader(http.StatusPartialContent)
					w.Write(h.content[7:])
					return true
				}
				return false
			}
		}, 3},
		"a range without its head": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool {
				switch n {
				case 0:
					h.cut(w, r)
				case 1:
					w.WriteHeader(http.StatusPartialContent)
					w.Write(h.content)
					return true
				}
				return false
			}
		}, 3},
		"a file that changes and says so": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					w.Header().Set("ETag", `"v0"`)
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					w.Write(other[:1000])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
				return false // If-Range does not hold: the whole file comes
			}
		}, 2},
		"a file that changes and does not say so": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					w.Header().Set("ETag", h.etag)
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					w.Write(other[:100000])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
				return false
			}
		}, 3}, // half of each has the wrong hash: begun anew, once
		"a connection that goes silent": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					w.Header().Set("ETag", h.etag)
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					w.Write(content[:50000])
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}
				return n == 0
			}
		}, 2},
		"a file that shrinks": {func(h *hub) func(int, http.ResponseWriter, *http.Request) bool {
			return func(n int, w http.ResponseWriter, r *http.Request) bool {
				switch n {
				case 0:
					h.cut(w, r)
				case 1:
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
					return true
				}
				return false
			}
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, h := open(t), newHub(t, content)
			if tt.spoil != nil {
				h.spoil = tt.spoil(h)
			}
			o := from(h.URL)
			if strings.Contains(name, "silent") {
				o.Stall = 50 * time.Millisecond
			}
			var last PullProgress
			e, err := c.pull(t.Context(), pin, o, func(p PullProgress) { last = p })
			if err != nil {
				t.Fatal(err)
			}
			if e.SHA256 != pin.Files[0].SHA256 || e.Name != "tiny" || e.Licence != "MIT" || last.Stage != "importing" || last.Done != pin.Files[0].Size {
				t.Errorf("%+v, %+v", e, last)
			}
			if n := len(h.ranges()); n != tt.requests {
				t.Errorf("%d requests, want %d: %q", n, tt.requests, h.ranges())
			}
			if l := left(t, c); len(l) != 0 {
				t.Errorf("left behind: %q", l)
			}
		})
	}
}

func TestPullRefuses(t *testing.T) {
	t.Parallel()
	pin, content := pinned(t, "one")
	_, other := pinned(t, "two") // of the same size
	status := func(code int) func(*hub) {
		return func(h *hub) {
			h.spoil = func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
		}
	}
	for name, tt := range map[string]struct {
		change   func(*hub)
		want     string
		requests int
	}{
		"another file":         {func(h *hub) { h.content = other }, "it was discarded", 1},
		"a longer file":        {func(h *hub) { h.content = append(other, 0) }, "it has another file", 1},
		"no such file":         {status(404), "is the mirror complete", 1},
		"no entry":             {status(403), "wants an account", 1},
		"an odd answer":        {status(418), "418", 1},
		"a server that is ill": {status(500), "8 attempts", 8},
		"more bytes than said": {func(h *hub) {
			h.spoil = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				w.(http.Flusher).Flush() // no length
				w.Write(append(content, 0))
				return true
			}
		}, "sends more than", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, h := open(t), newHub(t, content)
			tt.change(h)
			_, err := c.pull(t.Context(), pin, from(h.URL), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(h.ranges()) != tt.requests {
				t.Errorf("%v after %d requests, want %q after %d", err, len(h.ranges()), tt.want, tt.requests)
			}
			var wrong *HashError
			if errors.As(err, &wrong) && len(left(t, c)) != 0 {
				t.Errorf("left behind: %q", left(t, c))
			}
			if list, _ := c.List(); len(list) != 0 {
				t.Errorf("%+v", list)
			}
		})
	}
}

// A pull that ends with the process goes on where it was, and a file damaged
// in between is found out.
func TestPullResumes(t *testing.T) {
	t.Parallel()
	pin, content := pinned(t, "one")
	for name, damage := range map[string]bool{"whole": false, "damaged": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, h := open(t), newHub(t, content)
			ctx, cancel := context.WithCancel(t.Context())
			h.spoil = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n > 0 {
					return false
				}
				w.Header().Set("ETag", h.etag)
				w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				w.Write(content[:100000])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return true
			}
			_, err := c.pull(ctx, pin, from(h.URL), func(p PullProgress) {
				if p.Done == 100000 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			part := filepath.Join(c.dir, "pull", "tiny", "m.gguf.part")
			b, err := os.ReadFile(part)
			if err != nil || len(b) != 100000 {
				t.Fatalf("%d bytes kept, %v", len(b), err)
			}
			// Other work on the catalog leaves it alone.
			if _, err := c.Import(t.Context(), model(t, t.TempDir(), "other.gguf", nil), ImportOptions{}, nil); err != nil {
				t.Fatal(err)
			}
			want := []string{"", "bytes=100000-"}
			if damage {
				b[17] ^= 1
				os.WriteFile(part, b, 0o644)
				want = append(want, "")
			}
			e, err := c.pull(t.Context(), pin, from(h.URL), nil)
			if err != nil || e.SHA256 != pin.Files[0].SHA256 || !reflect.DeepEqual(h.ranges(), want) {
				t.Errorf("%+v, %v, %q", e, err, h.ranges())
			}
		})
	}
}

func TestPullOffline(t *testing.T) {
	t.Parallel()
	pin, content := pinned(t, "one")
	for _, at := range []string{"o/r/m.gguf", "tiny/m.gguf", pin.Files[0].SHA256, "m.gguf"} {
		dir := t.TempDir()
		name := filepath.Join(dir, filepath.FromSlash(at))
		os.MkdirAll(filepath.Dir(name), 0o755)
		os.WriteFile(name, content, 0o644)
		for _, mirror := range []string{dir, "file://" + dir} {
			c := open(t)
			if e, err := c.pull(t.Context(), pin, from(mirror), nil); err != nil || e.SHA256 != pin.Files[0].SHA256 || len(left(t, c)) != 0 {
				t.Errorf("%s in %s: %v, left %q", at, mirror, err, left(t, c))
			}
		}
		os.WriteFile(name, content[:len(content)-1], 0o644)
		var wrong *HashError
		if _, err := open(t).pull(t.Context(), pin, from(dir), nil); !errors.As(err, &wrong) {
			t.Errorf("a truncated file: %v", err)
		}
	}
	_, err := open(t).pull(t.Context(), pin, from(t.TempDir()), nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "o/r/m.gguf") {
		t.Error(err)
	}
	for mirror, want := range map[string]string{"": "model.mirror|mirror = ", "ftp://x/y": "must begin with", "/no/such/folder": "no such file", "https://": "names no host", "file://far/x": "names no host"} {
		_, err := open(t).pull(t.Context(), pin, from(mirror), nil)
		ok := false
		for w := range strings.SplitSeq(want, "|") {
			ok = ok || err != nil && strings.Contains(err.Error(), w)
		}
		if !ok {
			t.Errorf("%q: %v, want %q", mirror, err, want)
		}
	}
	if _, err := open(t).pull(t.Context(), pin, PullOptions{}, nil); !errors.Is(err, ErrNoMirror) {
		t.Error(err)
	}
}

func TestPullTrust(t *testing.T) {
	t.Parallel()
	pin, content := pinned(t, "one")
	hash := pin.Files[0].SHA256
	pin.Files[0].SHA256, pin.Files[0].Size = "", 0
	h := newHub(t, content)
	pull := func(trust map[string]string) error {
		o := from(h.URL)
		o.Trust = trust
		_, err := open(t).pull(t.Context(), pin, o, nil)
		return err
	}
	var unpinned *UnpinnedError
	if err := pull(nil); !errors.As(err, &unpinned) || !strings.Contains(err.Error(), "--trust-sha256") || len(h.ranges()) != 0 {
		t.Errorf("%v after %d requests", err, len(h.ranges()))
	}
	if err := pull(map[string]string{"": "abc"}); err == nil || !strings.Contains(err.Error(), "64 hexadecimal") {
		t.Error(err)
	}
	if err := pull(map[string]string{"other.gguf": hash}); !errors.As(err, &unpinned) {
		t.Error(err)
	}
	if err := pull(map[string]string{"m.gguf": hash, "x": hash}); err == nil || !strings.Contains(err.Error(), "trust was given") {
		t.Error(err)
	}
	var wrong *HashError
	if err := pull(map[string]string{"": digest(nil)}); !errors.As(err, &wrong) {
		t.Error(err)
	}
	if err := pull(map[string]string{"": strings.ToUpper(hash)}); err != nil {
		t.Error(err)
	}
	if err := pull(map[string]string{"m.gguf": hash}); err != nil {
		t.Error(err)
	}
}

// Several files go to one folder, which is imported as one model.
func TestPullFolder(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"model.safetensors": []byte("weights"), "config.json": []byte("{}"), "tokenizer.json": []byte("[]")}
	var mu sync.Mutex
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		w.Write(files[filepath.Base(r.URL.Path)])
	}))
	t.Cleanup(srv.Close)
	pin := Pin{Name: "enc", Kind: "entailer", Format: "safetensors", Quantisation: "F32", Repo: "o/r", Revision: "abc"}
	for _, n := range []string{"model.safetensors", "config.json", "tokenizer.json"} {
		pin.Files = append(pin.Files, PinFile{Path: n, SHA256: digest(files[n])})
	}
	o := from(srv.URL + "/by/{revision}/{sha256}/{file}")
	var got map[string]string
	o.Import = func(_ context.Context, dir string, o ImportOptions, _ func(int64, int64)) (Entry, error) {
		got = map[string]string{}
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			b, _ := os.ReadFile(filepath.Join(dir, e.Name()))
			got[e.Name()] = string(b)
		}
		if len(asked) == 3 {
			return Entry{}, errors.New("the power fails")
		}
		return Entry{Name: o.Name}, err
	}
	c := open(t)
	if _, err := c.pull(t.Context(), pin, o, nil); err == nil || !strings.Contains(err.Error(), "power fails") {
		t.Fatal(err)
	}
	asked = append(asked, "again")
	e, err := c.pull(t.Context(), pin, o, nil)
	if err != nil || e.Name != "enc" || len(got) != 3 || got["config.json"] != "{}" {
		t.Errorf("%+v, %v, %v", e, err, got)
	}
	if len(asked) != 4 || asked[0] != "/by/abc/"+digest(files["model.safetensors"])+"/model.safetensors" {
		t.Errorf("%q: what was there was pulled again", asked)
	}
	if l := left(t, c); len(l) != 0 {
		t.Errorf("left behind: %q", l)
	}
}

func TestPullOnce(t *testing.T) {
	t.Parallel()
	pin, content := pinned(t, "one")
	c, h := open(t), newHub(t, content)
	h.spoil = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		if _, err := c.pull(context.Background(), pin, from(h.URL), nil); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("a second pull beside the first: %v", err)
		}
		return false
	}
	if _, err := c.pull(t.Context(), pin, from(h.URL), nil); err != nil {
		t.Fatal(err)
	}
}

func TestProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // read once by net/http, so only that it is asked is tested
	m, err := newMirror(PullOptions{Mirror: "http://hub.invalid"})
	if err != nil || m.client.Transport != nil || http.DefaultTransport.(*http.Transport).Proxy == nil {
		t.Errorf("%+v, %v: the default transport honours the proxy of the environment", m, err)
	}
	via, _ := http.NewRequest("GET", "https://a.invalid", nil)
	to, _ := http.NewRequest("GET", "http://b.invalid", nil)
	if sameSafety(to, []*http.Request{via}) == nil {
		t.Error("followed from https to http")
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-1/2", "bytes 5-9/*", "bytes */10", "bytes 9-5/10", "bytes -1-2/3", "items 0-1/2", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		from, total, ok := contentRange(s)
		if ok && (from < 0 || total < 0 || total > 0 && total <= from) {
			t.Errorf("%q: %d of %d", s, from, total)
		}
	})
}

var _ io.Writer = (*download)(nil)
