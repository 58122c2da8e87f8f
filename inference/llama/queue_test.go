package llama

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/inference"
)

// clocked is a queue whose time stands still.
func clocked(slots, bound int) (*queue, *time.Time) {
	now := time.Unix(0, 0)
	q := newQueue(slots, bound)
	q.now = func() time.Time { return now }
	return q, &now
}

func asked(t *testing.T, q *queue, key string, p inference.Priority) *ticket {
	t.Helper()
	ticket, err := q.enter(inference.Caller{Key: key, Priority: p})
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// order lets one request after the other end and says whose turn it is then.
func order(q *queue, tickets []*ticket) string {
	var out []string
	for range tickets {
		for i, t := range tickets {
			if t != nil && t.granted {
				out = append(out, t.caller.Key)
				tickets[i] = nil
				t.leave()
				break
			}
		}
	}
	return strings.Join(out, " ")
}

func TestQueueTakesTurns(t *testing.T) {
	t.Parallel()
	q, _ := clocked(1, 100)
	var all []*ticket
	for _, key := range strings.Fields("a a a a b b c") {
		all = append(all, asked(t, q, key, inference.Question))
	}
	if got, want := order(q, all), "a a b c a b a"; got != want {
		t.Errorf("turns %q, want %q", got, want)
	}
	if running, waiting := q.counts(); running != 0 || waiting != 0 {
		t.Errorf("%d running, %d waiting at the end", running, waiting)
	}
}

func TestQueuePriorities(t *testing.T) {
	t.Parallel()
	q, _ := clocked(1, 100)
	all := []*ticket{asked(t, q, "now", inference.Question)}
	for i := range 3 {
		all = append(all, asked(t, q, fmt.Sprint("work", i), inference.Background))
	}
	for i := range 9 {
		all = append(all, asked(t, q, fmt.Sprint("q", i), inference.Question))
	}
	if got, want := order(q, slices.Clone(all)), "now q0 q1 q2 q3 q4 q5 q6 q7 q8 work0 work1 work2"; got != want {
		t.Errorf("young work: %q, want %q", got, want)
	}
	// Work that has waited long has one place in four.
	q, now := clocked(1, 100)
	all = []*ticket{asked(t, q, "now", inference.Question)}
	for i := range 3 {
		all = append(all, asked(t, q, fmt.Sprint("work", i), inference.Background))
	}
	*now = now.Add(ageing)
	for i := range 9 {
		all = append(all, asked(t, q, fmt.Sprint("q", i), inference.Question))
	}
	if got, want := order(q, all), "now q0 q1 work0 q2 q3 q4 work1 q5 q6 q7 work2 q8"; got != want {
		t.Errorf("old work: %q, want %q", got, want)
	}
	// Of several slots, one is left to questions.
	q, _ = clocked(3, 100)
	for range 5 {
		asked(t, q, "work", inference.Background)
	}
	if running, waiting := q.counts(); running != 2 || waiting != 3 {
		t.Errorf("work takes %d of 3 slots, %d wait", running, waiting)
	}
	if !asked(t, q, "q", inference.Question).granted {
		t.Error("a question waits for work")
	}
}

func TestQueueBound(t *testing.T) {
	t.Parallel()
	q, now := clocked(1, 4)
	held := asked(t, q, "greedy", inference.Question)
	var waiting []*ticket
	for range 4 {
		waiting = append(waiting, asked(t, q, "greedy", inference.Question))
	}
	_, err := q.enter(inference.Caller{Key: "greedy"})
	var busy *inference.BusyError
	if !errors.As(err, &busy) || !errors.Is(err, inference.ErrBusy) || busy.Waiting != 4 || busy.RetryAfter != 10*time.Second {
		t.Fatalf("full: %v (%+v)", err, busy)
	}
	// Another takes the latest place of who holds the most.
	modest := asked(t, q, "modest", inference.Question)
	if last := waiting[3]; last.refused == nil || !errors.Is(last.refused, inference.ErrBusy) {
		t.Error("nobody made room")
	}
	select {
	case <-waiting[3].called:
	default:
		t.Error("who was refused does not know")
	}
	// Background work gives way to a question, and no question to it.
	if _, err := q.enter(inference.Caller{Key: "work", Priority: inference.Background}); !errors.Is(err, inference.ErrBusy) {
		t.Errorf("work at a queue full of questions: %v", err)
	}
	*now = now.Add(7 * time.Second)
	held.leave()
	held.leave() // once is enough
	if !waiting[0].granted || waiting[0].waited != 7*time.Second {
		t.Errorf("granted %v after %v", waiting[0].granted, waiting[0].waited)
	}
	waiting[1].leave() // cancelled while it waits
	waiting[0].leave()
	if !modest.granted && !waiting[2].granted {
		t.Error("nobody is next")
	}
	modest.leave()
	waiting[2].leave()
	if running, left := q.counts(); running != 0 || left != 0 {
		t.Errorf("%d running, %d waiting at the end", running, left)
	}
	// Nobody may wait: who finds a slot is served.
	q, _ = clocked(1, 0)
	asked(t, q, "a", inference.Question)
	if _, err := q.enter(inference.Caller{Key: "b"}); !errors.Is(err, inference.ErrBusy) {
		t.Errorf("no waiting: %v", err)
	}
}

// Whatever comes and goes, no more run than there are slots, no slot is empty
// while someone waits, and all is accounted for.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 130, 129, 5, 6, 200})
	f.Fuzz(func(t *testing.T, steps []byte) {
		q, now := clocked(2, 5)
		var in []*ticket
		for _, s := range steps {
			*now = now.Add(time.Duration(s) * 100 * time.Millisecond)
			if s < 128 {
				ticket, err := q.enter(inference.Caller{Key: string('a' + rune(s%4)), Priority: inference.Priority(s / 4 % 2)})
				if err == nil {
					in = append(in, ticket)
				}
			} else if len(in) > 0 {
				i := int(s) % len(in)
				in[i].leave()
				in = slices.Delete(in, i, i+1)
			}
			running, waiting := 0, 0
			questions := 0
			for _, ticket := range in {
				switch {
				case ticket.granted:
					running++
				case ticket.refused == nil:
					waiting++
					if ticket.caller.Priority == inference.Question {
						questions++
					}
				}
			}
			r, w := q.counts()
			if r != running || w != waiting || running > 2 || waiting > 5 || questions > 0 && running < 2 || waiting > 0 && running == 0 {
				t.Fatalf("%d running (counted %d), %d waiting (counted %d), %d of them questions", r, running, w, waiting, questions)
			}
		}
	})
}
