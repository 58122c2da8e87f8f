package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Dead is a source that was given up: a dead letter. It names no text of it.
type Dead struct {
	Key    string    `json:"key"`
	Run    string    `json:"run"`
	Source Source    `json:"source"`
	Stage  Stage     `json:"stage"`
	Reason string    `json:"reason"`
	Tries  int       `json:"tries"`
	At     time.Time `json:"at"`
	// Kept says whether its content is kept too, so that it can be sent again.
	Kept bool `json:"kept"`

	Content blob `json:"content"`
}

// giveUp makes a dead letter of s, whole, before the unit it is of is done.
func (w *Worker) giveUp(ctx context.Context, u *Unit, s placed, t try, from io.ReaderAt) error {
	return w.q.bury(ctx, Dead{Key: s.key(), Run: u.Run, Source: s.Source, Stage: t.Stage, Reason: t.Reason, Tries: t.Tries, At: time.Now().UTC()},
		io.NewSectionReader(from, s.At, s.Bytes))
}

// bury keeps a dead letter; what it was about is kept as long as there is room.
func (q *Queue) bury(ctx context.Context, d Dead, from io.Reader) error {
	if from != nil {
		// Where there is no room for it, the file has to be given again.
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		b, err := q.putBlob(within, subjectDead, d.Key, from)
		cancel()
		switch {
		case err == nil && b.Hash != d.Source.Content:
			return errors.New("the content on the bus is not what it was")
		case err == nil:
			d.Content, d.Kept = b, true
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := q.put(ctx, &nats.Msg{Subject: subjectLetter + d.Key, Data: data}); err != nil {
		return err
	}
	return q.forget(ctx, d.Key)
}

// DeadLetters lists what was given up, the oldest first.
func (q *Queue) DeadLetters(ctx context.Context) ([]Dead, error) {
	fail := func(err error) ([]Dead, error) { return nil, fmt.Errorf("reading the dead letters: %w", err) }
	info, err := q.info(ctx, q.dead, jetstream.WithSubjectFilter(subjectLetter+"*"))
	if err != nil {
		return fail(err)
	}
	out := []Dead{}
	for subject := range info.State.Subjects {
		var d *Dead
		err := again(ctx, func(ctx context.Context) (err error) {
			d, err = q.letter(ctx, strings.TrimPrefix(subject, subjectLetter))
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // sent again meanwhile
		}
		if err != nil {
			return fail(err)
		}
		out = append(out, *d)
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].At.Equal(out[j].At) {
			return out[i].At.Before(out[j].At)
		}
		return out[i].Key < out[j].Key
	})
	return out, nil
}

func (q *Queue) letter(ctx context.Context, key string) (*Dead, error) {
	m, err := q.dead.GetLastMsgForSubject(ctx, subjectLetter+key)
	if err != nil {
		return nil, err
	}
	d := &Dead{}
	return d, json.Unmarshal(m.Data, d)
}

// ErrNoLetter: there is no dead letter of that key.
var ErrNoLetter = errors.New("there is no such dead letter")

// ErrNotKept: the content of a dead letter is not there; the file is to be given again.
var ErrNotKept = errors.New("its content was not kept; give the file again")

// Retry sends a dead letter again: its tries begin anew. It stays a part of its run.
func (q *Queue) Retry(ctx context.Context, key string) error {
	d, err := q.find1(ctx, key)
	if err != nil {
		return err
	}
	if !d.Kept {
		return fmt.Errorf("%s: %w", d.Source.Name, ErrNotKept)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(q.copyBlob(ctx, q.dead, subjectDead, d.Content, w)) }()
	id := newID()
	b, err := q.putBlob(ctx, subjectBlob, id, r)
	_ = r.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", d.Source.Name, err)
	}
	if err := q.forget(ctx, d.Key); err != nil {
		return err
	}
	if err := q.putUnit(ctx, &Unit{ID: id, Run: d.Run, Blob: b, Sources: []placed{{Source: d.Source}}}); err != nil {
		return err
	}
	return q.unbury(ctx, d)
}

// Forget a dead letter and its content.
func (q *Queue) Forget(ctx context.Context, key string) error {
	d, err := q.find1(ctx, key)
	if err != nil {
		return err
	}
	return q.unbury(ctx, d)
}

func (q *Queue) find1(ctx context.Context, key string) (d *Dead, err error) {
	err = again(ctx, func(ctx context.Context) error {
		d, err = q.letter(ctx, key)
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = fmt.Errorf("%s: %w", key, ErrNoLetter)
	}
	return d, err
}

func (q *Queue) unbury(ctx context.Context, d *Dead) error {
	for _, s := range []string{subjectLetter + d.Key, subjectDead + d.Key + ".*"} {
		if err := again(ctx, func(ctx context.Context) error { return q.dead.Purge(ctx, jetstream.WithPurgeSubject(s)) }); err != nil {
			return fmt.Errorf("taking out the dead letter: %w", err)
		}
	}
	return nil
}
