package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
)

// asked is a question over HTTP.
type askedOnce struct {
	began, ended time.Time
	stages       answer.Timings
	failed       string
}

type span struct{ from, to time.Time }

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// Pairs of index and model are swapped, and rolled back, under a steady load over
// HTTP. No question fails, and each is answered by one pair. 'make bench-swaps' has
// 200 swaps and 50 rollbacks at 20 questions a second, and the times.
func TestSwapsUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it asks for a while")
	}
	swaps, rollbacks, rate := number("RXEDGE_SWAPS", 4), number("RXEDGE_ROLLBACKS", 1), number("RXEDGE_RATE", 5)
	data, models := twoVersions(t, 70, "")
	s := startDaemon(t, func(c *config.Config) {
		noFloor(c)
		c.Data, c.Sample, c.Model.Embedder = data, false, config.None
		c.Rollout.Defer, c.Rollout.Questions, c.Answer.MaxTokens, c.Answer.Passages = config.Wait(time.Second), 4, 8, 1
		c.Cache.Enabled, c.Answer.ShortPath = false, false
	})
	k, err := control.Dial(data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	gs, err := k.Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var label [2]string
	for _, g := range gs {
		if g.Documents == 70 && g.Current {
			label[1] = g.Label()
		} else if g.Documents == 70 && label[0] == "" {
			label[0] = g.Label()
		}
	}
	if label[0] == "" || label[1] == "" {
		t.Fatalf("%+v", gs)
	}
	body, err := json.Marshal(answer.Question{Text: asksVersion, Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []askedOnce
	by := map[string]int{}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}
	ask := func() {
		o := askedOnce{began: time.Now()}
		resp, err := client.Post(s.url+"/v1/ask", "application/json", bytes.NewReader(body))
		var a answer.Answer
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(&a)
			_ = resp.Body.Close()
		}
		o.ended, o.stages = time.Now(), a.Timings
		v, ok := versionOfAnswer(&a)
		switch {
		case err != nil:
			o.failed = err.Error()
		case resp.StatusCode != http.StatusOK || !ok:
			o.failed = resp.Status + " " + a.Message
		case a.Generation != label[v]:
			o.failed = "of version " + strconv.Itoa(v) + " from " + a.Generation
		case models && (a.Verification == nil || a.Verification.Model != string(rune('a'+v))):
			o.failed = "of version " + strconv.Itoa(v) + " by another model"
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, o)
		by[a.Generation]++
	}
	for range 10 { // engines are loaded
		ask()
	}
	all, by = nil, map[string]int{}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		var wg sync.WaitGroup
		defer wg.Wait()
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				wg.Go(ask)
			}
		}
	}()
	var during []span
	var moves, backs []time.Duration
	at := 1
	move := func(q box.RolloutRequest) time.Duration {
		began := time.Now()
		if _, err := k.RolloutDo(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		at = 1 - at
		during = append(during, span{began, time.Now()})
		return time.Since(began)
	}
	began := time.Now()
	for n := range swaps {
		time.Sleep(time.Duration(number("RXEDGE_PAUSE_MS", 120)) * time.Millisecond) // a load goes on between
		q := box.RolloutRequest{Action: box.RolloutPromoteIndex, Name: label[1-at]}
		if models {
			q.Model = string(rune('a' + 1 - at))
		}
		moves = append(moves, move(q))
		if len(backs) < rollbacks && (n+1)*rollbacks/swaps > len(backs) {
			backs = append(backs, move(box.RolloutRequest{Action: box.RolloutBack}))
		}
	}
	took := time.Since(began)
	close(stop)
	<-stopped
	var in, out []float64
	var slow []string // during a swap, the slowest first
	slices.SortFunc(all, func(a, b askedOnce) int { return cmp.Compare(b.ended.Sub(b.began), a.ended.Sub(a.began)) })
	for _, o := range all {
		if o.failed != "" {
			t.Errorf("a question failed: %s", o.failed)
			continue
		}
		ms := float64(o.ended.Sub(o.began).Microseconds()) / 1000
		if i := slices.IndexFunc(during, func(s span) bool { return o.began.Before(s.to) && o.ended.After(s.from) }); i >= 0 {
			in = append(in, ms)
			if len(slow) < number("RXEDGE_SLOWEST", 3) {
				slow = append(slow, fmt.Sprintf("%.1f ms, of which %.1f finding, %.1f writing, %.1f judging; came %.0f ms after the beginning of a swap of %.0f ms",
					ms, o.stages.Retrieve, o.stages.Generate, o.stages.Verify, o.began.Sub(during[i].from).Seconds()*1000, during[i].to.Sub(during[i].from).Seconds()*1000))
			}
		} else {
			out = append(out, ms)
		}
	}
	slices.Sort(in)
	slices.Sort(out)
	slices.Sort(moves)
	slices.Sort(backs)
	at99 := func(v []float64) float64 {
		if len(v) == 0 {
			return 0
		}
		return v[min(len(v)-1, len(v)*99/100)]
	}
	if len(by) < 2 {
		t.Errorf("one pair answered all: %v", by)
	}
	t.Logf("%d swaps and %d rollbacks in %.0f s under %d questions a second, with models: %v; %d questions, by generation %v", len(moves), len(backs), took.Seconds(), rate, models, len(all), by)
	t.Logf("during a swap: %d questions, p50 %.1f ms, p99 %.1f ms; outside: %d, p50 %.1f ms, p99 %.1f ms; ratio of p99 %.2f", len(in), at50(in), at99(in), len(out), at50(out), at99(out), at99(in)/max(at99(out), 0.001))
	t.Logf("the slowest during a swap:\n%s", strings.Join(slow, "\n"))
	t.Logf("a swap with its checks: median %v, most %v; a rollback: median %v, most %v", moves[len(moves)/2].Round(time.Millisecond), moves[len(moves)-1].Round(time.Millisecond),
		backs[len(backs)/2].Round(time.Millisecond), backs[len(backs)-1].Round(time.Millisecond))
	if backs[len(backs)-1] > 5*time.Second {
		t.Error("a rollback took longer than five seconds")
	}
}

func at50(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}
