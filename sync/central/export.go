package central

import (
	"fmt"

	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
)

// Export writes the newest bundle of a channel that is for all, whole, with the
// signed metadata, to a file for a medium.
func (f *Folder) Export(channel, path string) (number, size int64, err error) {
	if err := enroll.CheckChannel(channel); err != nil {
		return 0, 0, err
	}
	unlock, err := f.lock()
	if err != nil {
		return 0, 0, err
	}
	defer unlock()
	r, err := f.repository()
	if err != nil {
		return 0, 0, err
	}
	t, err := f.trail()
	if err != nil {
		return 0, 0, err
	}
	m, err := f.latest(r, channel, func(n int64) bool { return t.rolls.forAll(channel, n) })
	if err != nil {
		return 0, 0, err
	}
	if m == nil {
		return 0, 0, fmt.Errorf("nothing was published to all of the channel %q yet", channel)
	}
	files, err := f.files()
	if err != nil {
		return 0, 0, err
	}
	seen := map[bundle.Hash]bool{}
	size, err = bundle.WriteArchive(path, func(yield func(string, []byte) bool) {
		for _, x := range files {
			if !yield(x.name, x.data) {
				return
			}
		}
	}, func(yield func(bundle.Hash, func() ([]byte, error)) bool) {
		for h, content := range f.chunksOf(m, func(h bundle.Hash) bool { return seen[h] }) {
			seen[h] = true
			if !yield(h, content) {
				return
			}
		}
	})
	return m.Number, size, err
}
