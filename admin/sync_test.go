package main

import (
	"bytes"
	"strings"
	"testing"

	"rxedge/sync/bundle"
)

// What a pull came to, in words: what is watched is not called active.
func TestShowPull(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]bundle.Result{
		"Bundle 3 is active; 1000 B were fetched.":                        {Staged: 3, Active: 3, Bytes: 1000},
		"Bundle 3 (1000 B were fetched) answers questions and is watched": {Staged: 3, Active: 2, Bytes: 1000, Pending: 3, Slot: "provisional"},
		"Bundle 3 has passed its checks and waits to be let in":           {Active: 2, Pending: 3, Slot: "validated"},
		"Bundle 3 is here and not in use yet":                             {Active: 2, Pending: 3, Slot: "staged"},
		"Nothing new: bundle 3 is active.":                                {Active: 3},
		"There is nothing for this site yet.":                             {},
	} {
		var out bytes.Buffer
		(&app{out: &out}).showPull(r)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%+v: %s", r, out.String())
		}
		if r.Pending != 0 && !strings.Contains(out.String(), "bundle 2 is active") {
			t.Errorf("%+v: %s", r, out.String())
		}
	}
}
