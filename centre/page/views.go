package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"rxedge/centre/survey"
	"rxedge/sync/central"
)

// A section is a part of what the page shows, made once for all who look, as JSON,
// compressed, with its ETag: nobody waits for a fleet to be added up.
type section struct {
	etag       string
	body, gzip []byte
}

func newSection(v any) *section {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // types of this package
	}
	sum := sha256.Sum256(body)
	s := &section{etag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = z.Write(body)
	_ = z.Close()
	s.gzip = b.Bytes()
	return s
}

// Names of sections.
const (
	sectionFleet    = "fleet"
	sectionSites    = "sites"
	sectionRollouts = "rollouts"
	sectionDrift    = "drift"
	sectionFairness = "fairness"
	sectionRequests = "requests"
	sectionAudit    = "audit"
)

// views are the sections of the newest overview.
type views struct {
	now atomic.Pointer[published]

	mu   sync.Mutex
	news chan struct{}
}

type published struct {
	overview *survey.Overview
	sections map[string]*section
}

func newViews() *views { return &views{news: make(chan struct{})} }

// least is the time between two sets of sections; making them takes at most a tenth of
// the processor's.
const least = 500 * time.Millisecond

func (v *views) run(ctx context.Context, live *survey.Live) {
	for {
		o, news := live.Now()
		began := time.Now()
		if o != nil {
			v.publish(o)
		}
		// The rest is for what the making took, not for how long there was nothing new.
		rest := max(least, 10*time.Since(began))
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
	}
}

func (v *views) publish(o *survey.Overview) {
	was := v.now.Load()
	next := &published{overview: o, sections: map[string]*section{}}
	put := func(name string, value any) {
		s := newSection(value)
		if was != nil && was.sections[name] != nil && was.sections[name].etag == s.etag {
			s = was.sections[name]
		}
		next.sections[name] = s
	}
	put(sectionFleet, o.Summary())
	put(sectionSites, map[string]any{"sites": o.Sites})
	put(sectionRollouts, rolloutsView(o))
	put(sectionRequests, requestsView(o))
	put(sectionAudit, map[string]any{"entries": o.Audit[:min(len(o.Audit), mostAudit)], "all": len(o.Audit)})
	if was != nil && was.overview.Answers == o.Answers {
		next.sections[sectionDrift], next.sections[sectionFairness] = was.sections[sectionDrift], was.sections[sectionFairness]
	} else {
		put(sectionDrift, driftView(o.Answers))
		put(sectionFairness, fairnessView(o.Answers))
	}
	v.now.Store(next)
	v.mu.Lock()
	close(v.news)
	v.news = make(chan struct{})
	v.mu.Unlock()
}

// next is closed when there are other sections.
func (v *views) next() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.news
}

// mostAudit entries of the trail that the page is given; 'rxedge central rollout audit'
// and 'fleet record' have all.
const mostAudit = 2000

// section sends one, where it is another than the page has. The page remembers it by its
// ETag; the browser keeps nothing on disk that would outlive the session.
func (s *Server) section(w http.ResponseWriter, r *http.Request) {
	p := s.views.now.Load()
	if p == nil {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "starting", "the fleet is being read")
		return
	}
	x := p.sections[r.PathValue("section")]
	if x == nil {
		problem(w, http.StatusNotFound, "not_found", "there is no such section")
		return
	}
	h := w.Header()
	h.Set("ETag", x.etag)
	h.Set("Vary", "Accept-Encoding, Cookie")
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), x.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	body := x.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = x.gzip
	}
	_, _ = w.Write(body)
}

// Rollout as the page shows it: the standing, and what may be done with it now.
type Rollout struct {
	central.Standing
	Steps []string `json:"steps"`
}

func rolloutsView(o *survey.Overview) map[string]any {
	out := []Rollout{}
	for _, r := range slices.Backward(o.Rollouts) {
		out = append(out, Rollout{r, r.Steps()})
	}
	slices.SortStableFunc(out, func(a, b Rollout) int {
		open := func(r Rollout) int {
			if r.UnderWay() {
				return 0
			}
			return 1
		}
		return open(a) - open(b)
	})
	return map[string]any{"rollouts": out}
}

func requestsView(o *survey.Overview) map[string]any {
	out := []*central.Matter{}
	for _, m := range slices.Backward(o.Matters) {
		if m.Action != central.ReviewRequested { // documents have a view of their own
			out = append(out, m)
		}
	}
	return map[string]any{"requests": out[:min(len(out), mostAudit)], "all": len(out)}
}
