package supportbundle

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Process is what the daemon's own process says of itself: names of functions in its
// program, counts and bytes. Go's own forms of these are not taken: a dump of goroutines
// has the arguments of calls, and a profile's labels may be anything.
type Process struct {
	Goroutines []Stack `json:"goroutines"`
	Heap       []Stack `json:"heap"` // that hold memory, sampled
	Memory     Memory  `json:"memory"`
	Lines      []Line  `json:"lines"`
}

// Stack is a place in the program, the innermost function first.
type Stack struct {
	Count int64    `json:"count"`
	Bytes int64    `json:"bytes,omitempty"`
	Calls []string `json:"calls"` // function:line
}

// Memory of the process in bytes.
type Memory struct {
	HeapInUse uint64 `json:"heap_in_use"`
	HeapIdle  uint64 `json:"heap_idle"`
	Stacks    uint64 `json:"stacks"`
	System    uint64 `json:"system"`
	Objects   uint64 `json:"objects"`
	GCs       uint32 `json:"gcs"`
}

// stacksKept of the heap, those with the most bytes.
const stacksKept = 200

// Look at this process.
func Look() Process {
	p := Process{}
	records := make([]runtime.StackRecord, runtime.NumGoroutine()+64)
	for {
		n, ok := runtime.GoroutineProfile(records)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.StackRecord, 2*n)
	}
	g := map[string]*Stack{}
	for _, r := range records {
		sum(g, calls(r.Stack()), 1, 0)
	}
	p.Goroutines = sorted(g)
	mem := make([]runtime.MemProfileRecord, 512)
	for {
		n, ok := runtime.MemProfile(mem, false)
		if ok {
			mem = mem[:n]
			break
		}
		mem = make([]runtime.MemProfileRecord, 2*n)
	}
	h := map[string]*Stack{}
	for _, r := range mem {
		sum(h, calls(r.Stack()), r.InUseObjects(), r.InUseBytes())
	}
	p.Heap = sorted(h)
	p.Heap = p.Heap[:min(len(p.Heap), stacksKept)]
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p.Memory = Memory{m.HeapInuse, m.HeapIdle, m.StackInuse, m.Sys, m.HeapObjects, m.NumGC}
	return p
}

func calls(pcs []uintptr) []string {
	var out []string
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if f.Function != "" {
			out = append(out, fmt.Sprintf("%s:%d", f.Function, f.Line))
		}
		if !more {
			return out
		}
	}
}

func sum(of map[string]*Stack, calls []string, n, bytes int64) {
	k := strings.Join(calls, "\n")
	s := of[k]
	if s == nil {
		s = &Stack{Calls: calls}
		of[k] = s
	}
	s.Count += n
	s.Bytes += bytes
}

func sorted(of map[string]*Stack) []Stack {
	out := []Stack{}
	for _, s := range slices.Collect(maps.Values(of)) {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Stack) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Count, a.Count), slices.Compare(a.Calls, b.Calls))
	})
	return out
}

// callForm is a function of a Go program and a line.
var callForm = regexp.MustCompile(`^[A-Za-z0-9_./·\-\[\]()*{},~@$]{1,300}:[0-9]{1,6}$`)
