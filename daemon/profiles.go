//go:build profiles

package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
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

// writeProfiles twice collects first: what a pool holds outlives one collection.
func writeProfiles(dir string, n int) error {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
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
	line := fmt.Sprintf("{\"heap\": %d, \"objects\": %d, \"stacks\": %d, \"goroutines\": %d}\n", m.HeapAlloc, m.HeapObjects, m.StackInuse, runtime.NumGoroutine())
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%03d.json", os.Getpid(), n)), []byte(line), 0o600)
}
