package box

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rxedge/daemon/answer"
	"rxedge/index/pace"
)

// A question of a validation is begun again where somebody asks meanwhile, but not
// for ever, and the wait is not its time.
func TestPutOff(t *testing.T) {
	t.Parallel()
	const takes = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		var askers pace.Askers
		work := pace.BeginIn(pace.Behind(t.Context(), &askers))
		d := &aside{askers: &askers, work: &work}
		asked, whole := 0, 0
		ask := func(ctx context.Context) (*answer.Answer, error) {
			asked++
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(takes):
				whole++
				return &answer.Answer{}, nil
			}
		}
		check := func(what string, times int, queue float64) {
			t.Helper()
			asked, whole, d.ran = 0, 0, 0
			a, err := d.ask(t.Context(), ask)
			if err != nil || asked != times || whole != 1 || a.Timings.Queue != queue {
				t.Errorf("%s: asked %d times, %d to the end; %+v, %v", what, asked, whole, a, err)
			}
			askers.Idle(t.Context(), time.Hour)
			time.Sleep(time.Minute)
		}
		// somebody asks for a while after some time.
		somebody := func(after, during time.Duration) {
			go func() {
				time.Sleep(after)
				askers.Begin()
				time.Sleep(during)
				askers.End()
			}()
		}
		check("nobody asks", 1, 0)

		// It ran for 4 ms, was put off, rested for 12, of which the other needed 5.
		somebody(4*time.Millisecond, 5*time.Millisecond)
		check("somebody asks meanwhile", 2, 16)

		askers.Begin()
		go func() {
			time.Sleep(time.Second)
			askers.End()
		}()
		// Once what work may be made to stand back that has done none, and what a question waits.
		check("somebody always asks", 1, 500)

		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(takes / 2)
			cancel()
		}()
		if a, err := d.ask(ctx, ask); !errors.Is(err, context.Canceled) || a != nil {
			t.Errorf("a validation that ended: %+v, %v", a, err)
		}

		// One after another comes in the middle of it.
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(takes / 2):
					askers.Begin()
					time.Sleep(time.Millisecond)
					askers.End()
				}
			}
		}()
		asked, whole = 0, 0
		if _, err := d.ask(t.Context(), ask); err != nil || asked > mostPutOff+1 || whole != 1 {
			t.Errorf("asked %d times, %d to the end, %v", asked, whole, err)
		}
		close(stop)
	})
}
