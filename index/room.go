package index

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// buildRoom and updateRoom are what a build and a live update need at least,
	// in bytes: logs and tables of their stores.
	buildRoom  = 64 << 20
	updateRoom = 48 << 20
)

// DiskError says that there is too little room for what was to be written, in
// bytes. It is an ErrNoRoom.
type DiskError struct {
	What                string // "a new generation of the index"
	Free, Needed, Floor int64
	// Used by the index and Budget of it, where that is what is in the way; else 0.
	Used, Budget int64
}

func (e *DiskError) Error() string {
	if e.Budget > 0 {
		return fmt.Sprintf("the index takes %d MB of the %d MB that it may; %s needs about %d MB: withdraw documents, or raise disk.index_mb in rxedge.toml",
			e.Used/1e6, e.Budget/1e6, e.What, e.Needed/1e6)
	}
	return fmt.Sprintf("the disk has %d MB free; %s needs about %d MB and %d MB are to stay free: make room, or lower disk.floor_mb in rxedge.toml",
		e.Free/1e6, e.What, e.Needed/1e6, e.Floor/1e6)
}

// Is says that it is an ErrNoRoom.
func (e *DiskError) Is(target error) bool { return target == ErrNoRoom }

// room says whether there is room for something that needs so many bytes.
func (ix *Index) room(what string, needed int64) error {
	free, known := ix.opt.DiskFree(ix.store.Dir(""))
	if !known {
		return nil // it will be seen soon enough
	}
	e := &DiskError{What: what, Free: free, Needed: needed}
	if ix.opt.DiskFloor != nil {
		e.Floor = ix.opt.DiskFloor()
	}
	if missing := e.Needed + e.Floor - e.Free; missing > 0 && ix.opt.MakeRoom != nil {
		ix.opt.MakeRoom(missing)
		e.Free, _ = ix.opt.DiskFree(ix.store.Dir(""))
	}
	if e.Free < e.Needed+e.Floor {
		return e
	}
	if ix.opt.DiskBudget == nil {
		return nil
	}
	if most := ix.opt.DiskBudget(); most > 0 {
		if used := ix.store.Used(); used+needed > most {
			e.Used, e.Budget = used, most
			return e
		}
	}
	return nil
}

// goesOn says whether what was begun may go on: others may have filled the disk since.
// To write on where nothing is free would end the process, for the store writes through
// mapped files.
func (ix *Index) goesOn() error {
	if free, known := ix.opt.DiskFree(ix.store.Dir("")); known && free < buildRoom {
		return &DiskError{What: "what was begun", Free: free, Needed: buildRoom}
	}
	return nil
}

// buildNeeds is about what a new generation takes beside the old one, with
// vectors of its own where it is embedded anew.
func (b *build) buildNeeds() int64 {
	i := b.old.Info()
	n := i.Bytes + buildRoom
	if b.embeds() && i.Embedder != b.by.Info {
		n += int64(i.Passages) * vectorBytes(b.by.Info.Dimension)
	}
	return n
}

// vectorBytes of one passage: float32, while it is built once more, and what
// dense search scans.
func vectorBytes(dim int) int64 { return int64(10*dim + 64) }

func diskFree(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * st.Bsize, true
}
