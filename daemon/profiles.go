//go:build profiles

package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"syscall"
)

// In a build with the tag "profiles", which no package ships, SIGUSR2 makes the
// daemon collect what is garbage and write what is left (a heap profile, the
// goroutines, a line of counts) into the folder RXEDGE_PROFILES.
func init() {
	dir := os.Getenv("RXEDGE_PROFILES")
	if dir == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	go func() {
		for n := 1; ; n++ {
			<-asked
			if err := writeProfiles(dir, n); err != nil {
				fmt.Fprintln(os.Stderr, "profiles:", err)
			}
		}
	}()
}

// writeProfiles twice collects first: what a pool holds outlives one collection. The
// count is what that found alive, without what was made since.
func writeProfiles(dir string, n int) error {
	runtime.GC()
	debug.FreeOSMemory()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/objects:objects"}}
	metrics.Read(live)
	for _, name := range []string{"heap", "goroutine"} {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d-%03d.%s", os.Getpid(), n, name)))
		if err != nil {
			return err
		}
		if err := pprof.Lookup(name).WriteTo(f, 0); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	line := fmt.Sprintf("{\"heap\": %d, \"objects\": %d, \"goroutines\": %d}\n", live[0].Value.Uint64(), live[1].Value.Uint64(), runtime.NumGoroutine())
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%03d.json", os.Getpid(), n)), []byte(line), 0o600)
}
