package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Convert puts all that waits in the spool from into a new one at to, in its order, with
// another key, or none. from is a copy of the caller's, as opening a spool changes its
// files. Messages keep their ids; when they were put is now.
func Convert(ctx context.Context, from, to, fromKey, toKey string) (messages int, err error) {
	src, err := Open(from, Options{Key: fromKey})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if len(src.aside) > 0 {
		return 0, fmt.Errorf("%w: nothing of it is lost, it lies where it was", errStore)
	}
	info, err := src.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	dst, err := Open(to, Options{Key: toKey, MaxBytes: max(src.opt.MaxBytes, int64(info.State.Bytes)*2)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
		raw, err := src.stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // the hub had it
		}
		if err != nil {
			return messages, err
		}
		if err := dst.publish(ctx, &nats.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data}); err != nil {
			return messages, err
		}
		messages++
	}
	if n := uint64(messages); n != info.State.Msgs {
		return messages, fmt.Errorf("%d of %d messages were read", n, info.State.Msgs)
	}
	for _, name := range []string{"dropped.a", "dropped.b"} { // how many were dropped, by class
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return messages, err
		}
	}
	return messages, nil
}
