package telemetry

import (
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// ahead is how far a window may lie in the future: its time comes soon, and it is then a
// window like all others.
const ahead = 7 * 24 * time.Hour

// bringBack what was counted while the clock was far ahead. Its questions were asked, at a
// time that nobody knows, before now: hours go into this hour, days into yesterday, where
// they are still to leave. Otherwise they would lie there for years.
func (r *Recorder) bringBack(now time.Time) error {
	move := func(span byte, from time.Time, length time.Duration) error {
		var late []*Window
		if err := r.each(span, now.Add(ahead), func(_ string, w *Window) error {
			late = append(late, w)
			return nil
		}); err != nil {
			return err
		}
		for _, w := range late {
			if w.From.Before(now.Add(ahead)) {
				continue
			}
			was := key(span, w.From, w.Model, w.Generation)
			w.From, w.To = from, from.Add(length)
			k := key(span, w.From, w.Model, w.Generation)
			if err := r.db.Update(func(txn *badger.Txn) error {
				old, err := get(txn, k)
				switch {
				case err == nil:
					if err := old.Merge(w, false); err != nil {
						return err
					}
				case errors.Is(err, badger.ErrKeyNotFound), errors.Is(err, ErrDamaged):
					old = w
				default:
					return err
				}
				return errors.Join(put(txn, k, old), txn.Delete([]byte(was)))
			}); err != nil {
				return err
			}
		}
		if len(late) > 0 {
			r.opt.Log.Warn("windows of telemetry lay in the future and were brought back", "windows", len(late))
		}
		return nil
	}
	yesterday := now.Truncate(24*time.Hour).AddDate(0, 0, -1)
	return errors.Join(move(spanHour, now.Truncate(time.Hour), time.Hour), move(spanDay, yesterday, 24*time.Hour), move(spanOut, yesterday, 24*time.Hour))
}
