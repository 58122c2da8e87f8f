package index

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// buildRoom and updateRoom are what a build and a live update need at least,
	// in bytes: logs and tables of their stores.
	buildRoom  = 64 << 20
	updateRoom = 16 << 20
)

// DiskError says that there is too little room for what was to be written, in
// bytes. It is an ErrNoRoom.
type DiskError struct {
	What                string // "a new generation of the index"
	Free, Needed, Floor int64
}

func (e *DiskError) Error() string {
	return fmt.Sprintf("the disk has %d MB free; %s needs about %d MB and %d MB are to stay free: make room, or lower index.disk_floor_mb in rxedge.toml",
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
	if e.Free < e.Needed+e.Floor {
		return e
	}
	return nil
}

// buildNeeds is about what a new generation takes beside the old one, with
// vectors of its own where it is embedded anew.
func (b *build) buildNeeds() int64 {
	i := b.old.Info()
	n := i.Bytes + buildRoom
	if b.embeds() && i.Embedder != b.ix.opt.EmbedderInfo {
		n += int64(i.Passages) * vectorBytes(b.ix.opt.EmbedderInfo.Dimension)
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
