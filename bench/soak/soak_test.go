package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// RXEDGE_SOAK=3m lives through every event once and asks by every interface. Slopes
// of so short a time say nothing; that nothing failed does.
func TestSoak(t *testing.T) {
	lasting, err := time.ParseDuration(os.Getenv("RXEDGE_SOAK"))
	if err != nil {
		t.Skip("RXEDGE_SOAK=3m runs it")
	}
	if err := os.Chdir(filepath.Join("..", "..")); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r, err := run(context.Background(), options{lasting: lasting, each: lasting / 60, rate: 3, passages: 1000, real: filepath.Join("..", "shared", "data"), dir: t.TempDir(), disk: 1500, warm: 500}, &out)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range r.Why {
		if !strings.HasPrefix(why, "phase ") {
			t.Error(why)
		}
	}
	for _, e := range events {
		if h := r.Events[e.name]; h == nil || h.Times == 0 {
			t.Errorf("%s did not come", e.name)
		}
	}
	for _, k := range kinds {
		if r.Requests.Sent[k.name] == 0 {
			t.Errorf("no request was sent of the kind %s", k.name)
		}
	}
}
