//go:build unix

package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockPoll  = 50 * time.Millisecond
	spareRoom = 64 << 20 // left free for the rest of the box, bytes
)

// lock takes the catalog's lock file, waiting until ctx ends. The kernel lets
// go of it when the process ends, however that happens.
func (c *Catalog) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("model catalog: %w", err)
	}
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		if err := ctx.Err(); err != nil {
			f.Close()
			return nil, err
		}
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("model catalog: locking %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another import holds the model catalog: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// room says whether the disk can take so many bytes more.
func (c *Catalog) room(size int64) error {
	if c.Room != nil {
		if err := c.Room(size); err != nil {
			return err
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(c.dir, &st); err != nil {
		return fmt.Errorf("model catalog: free space of %s: %w", c.dir, err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free-spareRoom < size {
		return fmt.Errorf("the model needs %d MiB and the disk of %s has %d MiB free; make room or set another data folder", size>>20, c.dir, free>>20)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
