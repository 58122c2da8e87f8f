package box

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/api"
	"rxedge/daemon/disk"
	"rxedge/daemon/health"
	"rxedge/daemon/store"
	"rxedge/index/pace"
)

const (
	// diskTick is how often it is looked how much is free, and measureEvery how often
	// the folder is walked.
	diskTick     = 10 * time.Second
	measureEvery = 10 * time.Minute
	// reserveBytes are kept in a file that is given up where a start has too little
	// room: what opening the stores writes. It is made only where reserveFrom is free
	// beside the floor.
	reserveBytes = 128 << 20
	reserveFrom  = 2 << 30
	reserveAfter = time.Minute
)

// room is what is known of the disk.
type room struct {
	mu    sync.Mutex
	usage disk.Usage
	at    time.Time // zero: it was never measured

	collecting sync.Mutex
	collected  time.Time // when last, by the steady clock
	tried      time.Time // to make room
}

// measure the data folder, standing back for questions.
func (b *Box) measure(ctx context.Context) (disk.Usage, error) {
	work := pace.BeginIn(pace.Behind(ctx, &b.rollout.asking))
	u, err := disk.Measure(ctx, b.Config.Data, work.Pause)
	if err != nil {
		return nil, err
	}
	b.room.mu.Lock()
	b.room.usage, b.room.at = u, time.Now()
	b.room.mu.Unlock()
	return u, nil
}

// usage as it was measured last.
func (b *Box) usage() (disk.Usage, time.Time) {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	return b.room.usage, b.room.at
}

// budgets of this disk beside a floor.
func (b *Box) budgets(floor int64) map[disk.Kind]int64 {
	_, size, ok := disk.Room(b.Config.Data)
	if !ok {
		size = math.MaxInt64 / 2
	}
	return disk.Budgets(size, floor, b.Config.Budgets())
}

// indexBudget in bytes.
func (b *Box) indexBudget() int64 { return b.budgets(b.diskFloor())[disk.Index] }

// knownFloor is the floor, 0 until the profile is chosen: to choose it may take a driver
// seconds, and status does not wait for that.
func (b *Box) knownFloor() int64 {
	if f := b.Config.Index.DiskFloorMB; f == nil && b.Models.profileName() == "" {
		return 0
	}
	return b.diskFloor()
}

// BudgetError says that a kind would have more than it may, in bytes.
type BudgetError struct {
	Kind                 disk.Kind
	Used, Needed, Budget int64
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("%s take %d MB of the %d MB that they may, and this needs %d MB: 'rxedge disk gc' removes what nothing needs, or raise disk.%s_mb in rxedge.toml", e.Kind, e.Used/1e6, e.Budget/1e6, e.Needed/1e6, e.Kind)
}

// Is says that it is a full disk's error.
func (e *BudgetError) Is(target error) bool { return target == store.ErrNoRoom }

// within says whether a kind may have so many bytes more. It is asked before something
// large, and so looks at the disk.
func (b *Box) within(kind disk.Kind, needed int64) error {
	most := b.budgets(b.diskFloor())[kind]
	u, err := b.measure(context.Background())
	if err != nil || most == 0 || u[kind]+needed <= most {
		return nil
	}
	return &BudgetError{kind, u[kind], needed, most}
}

// roomFor a model: beside the floor, and within what models may have.
func (b *Box) roomForModel(needed int64) error {
	free, _, ok := disk.Room(b.Config.Data)
	floor := b.diskFloor()
	if missing := needed + floor - free; ok && missing > 0 {
		b.makeRoomBut(disk.Models, missing)
		free, _, _ = disk.Room(b.Config.Data)
	}
	if ok && free < needed+floor {
		return &store.RoomError{Dir: "the catalog of models", Free: free, Needed: needed + floor}
	}
	return b.within(disk.Models, needed)
}

// stationDisk is what status, the page and /metrics show.
func (b *Box) stationDisk() api.StationDisk {
	u, at := b.usage()
	if at.IsZero() && !b.marked { // nobody watches it
		u, _ = b.measure(context.Background())
		at = time.Now()
	}
	free, size, _ := disk.Room(b.Config.Data)
	return api.StationDisk{Free: uint64(max(free, 0)), Size: uint64(max(size, 0)), Floor: b.knownFloor(), Index: b.Index.Stats().DiskBytes,
		Used: u.Sum(), Kinds: disk.Lines(u, b.budgets(b.knownFloor())), Measured: at}
}

// diskConditions that hold.
func (b *Box) diskConditions(d api.StationDisk) (found []health.Finding) {
	var over, near []string
	for _, l := range d.Kinds {
		words := fmt.Sprintf("%s: %d of %d MB", l.Kind, l.Bytes/1e6, l.Budget/1e6)
		if l.Over() {
			over = append(over, words)
		} else if l.Near() {
			near = append(near, words)
		}
	}
	if len(over) > 0 {
		found = append(found, health.DiskBudgetExceeded.Found("%s", strings.Join(over, ", ")))
	}
	if len(near) > 0 {
		found = append(found, health.DiskBudgetNear.Found("%s", strings.Join(near, ", ")))
	}
	return found
}

// diskFull says whether hardly anything can be written.
func (b *Box) diskFull() bool {
	free, _, ok := disk.Room(b.Config.Data)
	return ok && free < 2*store.Reserve
}

// giveUpReserve lets go of the file that is kept for a disk that is full.
func (b *Box) giveUpReserve() {
	if !b.diskFull() {
		return
	}
	path := filepath.Join(b.Config.Data, disk.ReserveName)
	if err := os.Remove(path); err == nil {
		b.log.Warn("the disk is full: the reserve was given up", "bytes", int64(reserveBytes))
	}
}

// keepReserve where there is room for it.
func (b *Box) keepReserve() error {
	path := filepath.Join(b.Config.Data, disk.ReserveName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	free, _, ok := disk.Room(b.Config.Data)
	if !ok || free < b.diskFloor()+reserveFrom {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, reserveBytes)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// WatchDisk measures what lies in the data folder, collects what nothing needs at night,
// and where the disk is short, and keeps the time, until ctx ends.
func (b *Box) WatchDisk(ctx context.Context) {
	tick := time.NewTicker(diskTick)
	defer tick.Stop()
	began := time.Now()
	for short := false; ; {
		if _, at := b.usage(); at.IsZero() || time.Since(at) >= measureEvery {
			if _, err := b.measure(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn("the data folder can't be measured", "error", err)
			}
		}
		b.keepTime(false)
		free, _, ok := disk.Room(b.Config.Data)
		was := short
		if short = ok && free < b.knownFloor(); short != was {
			b.log.Info("room on the disk", "short", short, "free_mb", free/1e6, "floor_mb", b.diskFloor()/1e6)
		}
		switch {
		case b.diskFull():
			if b.due(&b.room.tried) {
				b.giveUpReserve()
				b.makeRoom(2 * store.Reserve)
			}
		case short:
			if b.due(&b.room.tried) {
				b.collectAndTell(ctx, "the disk is short")
			}
		case b.nightly(time.Now()):
			b.collectAndTell(ctx, "it is night")
		}
		if time.Since(began) > reserveAfter && !short {
			if err := b.keepReserve(); err != nil {
				b.log.Warn("no reserve can be kept for a full disk", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			b.keepTime(true)
			return
		case <-tick.C:
		}
	}
}

// due says whether something that is tried again and again may be tried now.
func (b *Box) due(last *time.Time) bool {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	if !last.IsZero() && time.Since(*last) < measureEvery {
		return false
	}
	*last = time.Now()
	return true
}

// nightly says whether it is the hour, and nothing was collected for half a day.
func (b *Box) nightly(now time.Time) bool {
	b.room.mu.Lock()
	last := b.room.collected
	b.room.mu.Unlock()
	return b.Config.Night().Contains(now) && (last.IsZero() || time.Since(last) > 12*time.Hour)
}

func (b *Box) collectAndTell(ctx context.Context, why string) {
	rep, err := b.CollectDisk(ctx, CollectRequest{})
	switch {
	case err != nil && ctx.Err() == nil:
		b.log.Warn("not all that nothing needs could be removed", "error", err)
	case len(rep.Items) > 0:
		b.log.Info("what nothing needs was removed", "because", why, "things", len(rep.Items), "bytes", rep.Bytes, "took", time.Duration(rep.Seconds*float64(time.Second)).Round(time.Millisecond))
	}
}
