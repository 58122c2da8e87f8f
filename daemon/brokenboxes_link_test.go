package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/spool"
	"rxedge/sync/synctest"
)

// site makes the box one of a fleet.
func site(w *ward) {
	w.fleet = synctest.NewFleet(w.T)
	w.fleet.Enroll(w.T, filepath.Join(w.data, "sync"), "site-1", "stable")
	w.fleet.Release(w.T, central.Release{Documents: labels(func(int) int { return 0 }, 3)})
}

// file of the centre, with which the site is enrolled anew.
func (w *ward) file() {
	w.Helper()
	if _, err := w.fleet.Revoke(w.Context(), "site-1", []string{w.fleet.Address}); err != nil {
		w.Fatal(err)
	}
	w.write("site-1")
}

func (w *ward) write(id string, hubs ...string) {
	w.Helper()
	f, err := w.fleet.AddSite(id, "stable", time.Hour)
	w.must(err)
	if len(hubs) > 0 {
		f.Hubs = hubs
	}
	b, err := json.Marshal(f)
	w.must(err)
	w.path = filepath.Join(w.TempDir(), "site.enroll")
	w.must(os.WriteFile(w.path, b, 0o600))
}

// identity of the site is changed while the service is stopped.
func (w *ward) identity(change func(*enroll.Identity)) {
	w.Helper()
	w.stop()
	dir := filepath.Join(w.data, "sync")
	id, err := enroll.Load(dir, nil)
	w.must(err)
	change(id)
	w.must(id.Save(dir, nil))
	w.start()
}

const anew = `rxedge enroll FILE`

var linkBoxes = []sick{
	{
		name: "hub unreachable", fast: true, first: "hub-unreachable", says: "not connected since", acts: "ends by itself when the hub answers", before: site,
		breaks: func(w *ward) { w.fleet.StopHub() },
		act:    func(w *ward) { w.fleet.StartHub(w.T) },
	}, {
		name: "hub's name unknown", first: "hub-name", says: "lookup", before: site,
		breaks: func(w *ward) {
			w.identity(func(id *enroll.Identity) { id.Hubs = []string{"hub.invalid:4222"} })
			w.file()
		},
		runs: []string{anew},
	}, {
		name: "site revoked", first: "hub-refused", says: "does not admit this site", before: site,
		breaks: (*ward).file, runs: []string{anew},
	}, {
		name: "certificate expired", first: "certificate-expired", says: "was admitted until", before: site,
		breaks: func(w *ward) {
			// Of the same issuer, made out five years ago.
			_, err := w.fleet.Revoke(w.Context(), "site-1", []string{w.fleet.Address})
			w.must(err)
			f, err := w.fleet.AddSite("site-1", "stable", time.Hour)
			w.must(err)
			w.fleet.SetClock(func() time.Time { return time.Now().AddDate(-5, 0, 0) })
			old, err := enroll.Claim(w.Context(), filepath.Join(w.TempDir(), "sync"), f, enroll.Options{})
			w.fleet.SetClock(time.Now)
			w.must(err)
			w.identity(func(id *enroll.Identity) { id.Credentials = old.Credentials })
			w.file()
		},
		runs: []string{anew},
	}, {
		name: "certificate of another site", first: "certificate-foreign", says: "does not fit the site's key", before: site,
		breaks: func(w *ward) {
			other := w.fleet.Enroll(w.T, filepath.Join(w.TempDir(), "sync"), "site-2", "stable")
			w.identity(func(id *enroll.Identity) { id.Certificate = other.Certificate })
			w.file()
		},
		runs: []string{anew},
	}, {
		name: "spool full", first: "hub-unreachable", also: []string{"spool-full"}, config: "[sync]\nspool_mb = 1\n", before: site,
		breaks: func(w *ward) {
			w.fleet.StopHub()
			c, err := control.Dial(w.data)
			w.must(err)
			defer c.Close()
			r := box.Reports{Class: spool.High, Kind: "n"}
			for n := range 20 {
				r.Each = append(r.Each, report(n))
			}
			_, _ = c.SyncReport(w.Context(), r) // until it is full
		},
		acts: "ask the centre whether its hub runs", act: func(w *ward) { w.fleet.StartHub(w.T) },
	}, {
		name: "spool damaged", first: "spool-damaged", says: "it lies in", before: site,
		breaks: func(w *ward) {
			w.fleet.StopHub()
			c, err := control.Dial(w.data)
			w.must(err)
			_, err = c.SyncReport(w.Context(), box.Reports{Class: spool.High, Kind: "n", Each: []json.RawMessage{report(1)}})
			w.must(err)
			w.must(c.Close())
			w.stop()
			w.must(os.WriteFile(w.one("sync", "spool", "store", "jetstream", "*", "streams", "SPOOL", "meta.inf"), []byte("{"), 0o600))
			w.fleet.StartHub(w.T)
			w.start()
		},
		runs: []string{"rxedge doctor --fix --only spool-damaged"},
	}, {
		name: "key of the site for all to read", first: "secret-permissions", says: "site.json", before: site,
		breaks: func(w *ward) { w.must(os.Chmod(filepath.Join(w.data, "sync", "site.json"), 0o644)) },
		runs:   []string{"rxedge doctor --fix"},
	},
}
