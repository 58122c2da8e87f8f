package telemetry

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// A slow question leaves its stages, over a restart, and none of its text; the 500
// latest are kept, for eight days.
func TestSlow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &clock{t: noon}
	r := open(t, dir, c, nil)
	a := anAnswer("one")
	r.Observe(a, nil, "65+", -1) // 5 ms
	a.Timings.Retrieve, a.Timings.Generate, a.Timings.Total = 40, 250, 310
	r.Observe(a, nil, "65+", -1)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	c.set(noon.Add(time.Hour))
	a.Timings.Total, a.Fallbacks, a.Mode = 900, nil, canary
	r.Observe(a, nil, "", -1)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir, c, nil)
	got, err := r.Slow(noon)
	if err != nil || len(got) != 2 || got[0].Total != 900 || got[1].Stages["generate"] != 250 || got[1].Rest != 20 || got[1].Kind != "dose" || got[1].Outcome != "answered" || got[0].Mode != Other {
		t.Fatalf("%+v, %v", got, err)
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range strings.Fields(canary) {
		if strings.Contains(string(b), w) {
			t.Errorf("a trace holds %q: %s", w, b)
		}
	}
	if late, err := r.Slow(noon.Add(time.Minute)); err != nil || len(late) != 1 {
		t.Errorf("%d since then, %v", len(late), err)
	}
	// Many: the slowest of each minute, the latest of all.
	for i := range 12 {
		for k := range 100 {
			a.Timings.Total = 1000 + float64(k)
			c.set(noon.Add(2*time.Hour + time.Duration(i)*time.Minute + time.Duration(k)*time.Millisecond))
			r.Observe(a, nil, "", -1)
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	got, err = r.Slow(noon)
	if err != nil || len(got) != mostSlow || got[0].Total != 1099 || got[len(got)-1].Total < 1036 {
		t.Errorf("%d traces, the last of %g ms, %v", len(got), got[len(got)-1].Total, err)
	}
	c.set(noon.AddDate(0, 0, 20))
	r.Observe(a, nil, "", -1)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, err = r.Slow(time.Unix(0, 0)); err != nil || len(got) != 1 {
		t.Errorf("%d traces after three weeks, %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	if len(Anchors()) > mostValues {
		t.Fatal("more anchors than a window holds values")
	}
	vs := [][]float32{{1, 0}, nil, {0, 1}, {-1, 0}}
	for _, c := range []struct {
		v    []float32
		want int
	}{{[]float32{0.9, 0.1}, 0}, {[]float32{0.1, 0.9}, 2}, {[]float32{-1, 0.1}, 3}, {nil, -1}, {[]float32{1, 0, 0}, -1}} {
		if got := Nearest(vs, c.v); got != c.want {
			t.Errorf("%v: %d, want %d", c.v, got, c.want)
		}
	}
}
