package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// How many may follow what changes at the same time, and how often a silent stream says
// that it is alive.
const (
	mostFollowers = 500
	heartbeat     = 15 * time.Second
)

// events tells which sections have changed, by their ETags, as server-sent events. The
// page then asks for those it shows.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if n := s.followers.Add(1); n > mostFollowers {
		s.followers.Add(-1)
		w.Header().Set("Retry-After", "60")
		problem(w, http.StatusServiceUnavailable, "too_many", "too many pages follow the fleet at the same time; this one asks now and then")
		return
	}
	defer s.followers.Add(-1)
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(20 * time.Second))
		_, err := fmt.Fprint(w, text)
		return err == nil && out.Flush() == nil
	}
	told := map[string]string{}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	token := s.token(r)
	for {
		news := s.views.next()
		if p := s.views.now.Load(); p != nil {
			changed := map[string]string{}
			for name, x := range p.sections {
				if told[name] != x.etag {
					told[name], changed[name] = x.etag, x.etag
				}
			}
			if len(changed) > 0 {
				b, _ := json.Marshal(changed)
				if !send("event: changed\ndata: " + string(b) + "\n\n") {
					return
				}
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-news:
		case <-tick.C:
			if _, ok := s.sessions.Who(token, false); !ok {
				send("event: over\ndata: {}\n\n")
				return
			}
			if !send(": alive\n\n") {
				return
			}
		}
	}
}
