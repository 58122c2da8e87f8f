package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// silent is how long a stream may give nothing before it is asked whether there is more.
const silent = 2 * time.Second

// answers is how long the hub has for one question about a stream. One that went down with
// a node is never answered, and a reader may have minutes for all; so it is asked again, for
// as long as nodes that were all started anew take to agree on a leader.
var answers = 5 * time.Second

const asks = 6

// ask the hub one question.
func ask[T any](ctx context.Context, question func(context.Context) (T, error)) (out T, err error) {
	for range asks {
		one, cancel := context.WithTimeout(ctx, answers)
		out, err = question(one)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			break
		}
	}
	return out, err
}

// ReadStream gives do what a stream holds now of what cfg asks for, in order, each with
// its metadata; what comes while it reads may be among it. It ends with an error where
// the stream is not read to its end: a hub that is silent has not said that there is no
// more. do's own error ends it too, and is returned as it is.
//
// The client's own ways are not used as they are: an ordered consumer that is fetched
// from is made anew for each batch, and tries that without end, whatever the context.
func ReadStream(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, do func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	info, err := ask(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.Info(ctx) })
	if err != nil {
		return err
	}
	last := info.State.LastSeq
	cfg.MaxResetAttempts = 2
	c, err := ask(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return s.OrderedConsumer(ctx, cfg) })
	if err != nil {
		return err
	}
	if c.CachedInfo().NumPending == 0 {
		return forget(ctx, s, c)
	}
	it, err := c.Messages(jetstream.PullMaxMessages(500), jetstream.PullExpiry(8*time.Second), jetstream.PullHeartbeat(2*time.Second))
	if err != nil {
		return err
	}
	defer it.Stop()
	for seen, silences := uint64(0), 0; ; {
		next, cancel := context.WithTimeout(ctx, silent)
		m, err := it.Next(jetstream.NextContext(next))
		cancel()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout):
			// What was last to come may have been taken away meanwhile.
			now, err := ask(ctx, c.Info)
			if err != nil {
				return fmt.Errorf("the hub gives no more of %s, and does not say whether there is: %w", info.Config.Name, err)
			}
			if now.NumPending == 0 && now.Delivered.Consumer <= seen {
				return forget(ctx, s, c)
			}
			if silences++; silences > 5 {
				return fmt.Errorf("the hub gives no more of %s, of which it has %d messages", info.Config.Name, now.NumPending)
			}
			continue
		default:
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		seen, silences = meta.Sequence.Consumer, 0
		if err := do(m, meta); err != nil {
			return err
		}
		if meta.NumPending == 0 || meta.Sequence.Stream >= last {
			return forget(ctx, s, c)
		}
	}
}

// forget the consumer: else the hub keeps it for minutes. That it does so is no error.
func forget(ctx context.Context, s jetstream.Stream, c jetstream.Consumer) error {
	ctx, cancel := context.WithTimeout(ctx, silent)
	defer cancel()
	_ = s.DeleteConsumer(ctx, c.CachedInfo().Name)
	return nil
}
