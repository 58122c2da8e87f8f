package flow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// blob is content on the bus: compressed, in parts, under an id that no other has, so
// that it can go when the work that it is for is done.
type blob struct {
	ID    string `json:"id"`
	Hash  string `json:"hash"`  // SHA-256 of the content, hex
	Parts int    `json:"parts"` // messages
	Bytes int64  `json:"bytes"` // of the content
	Seq   uint64 `json:"seq"`   // of the last part in its stream
}

// partSize of a blob on the bus, bytes; every server takes a message of this size.
const partSize = 512 << 10

// errGone: the content is not on the bus.
var errGone = errors.New("its content is no longer on the bus")

var packer, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(4))

// putBlob gives the content of src to the bus under the prefix.
func (q *Queue) putBlob(ctx context.Context, prefix, id string, src io.Reader) (blob, error) {
	b := blob{ID: id}
	out := &parts{size: partSize, put: func(p []byte) error {
		m := nats.NewMsg(prefix + id + "." + strconv.Itoa(b.Parts))
		m.Data = p
		b.Parts++
		seq, err := q.putAt(ctx, m)
		b.Seq = max(b.Seq, seq)
		return err
	}}
	w, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return b, err
	}
	h := sha256.New()
	b.Bytes, err = io.Copy(w, io.TeeReader(src, h))
	if err := errors.Join(err, w.Close(), out.close()); err != nil {
		return b, err
	}
	b.Hash = hex.EncodeToString(h.Sum(nil))
	return b, nil
}

// parts cuts what is written into messages.
type parts struct {
	size int
	put  func([]byte) error
	buf  []byte
	any  bool
}

// Write implements io.Writer.
func (p *parts) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		k := min(len(b), p.size-len(p.buf))
		p.buf, b = append(p.buf, b[:k]...), b[k:]
		if len(p.buf) == p.size {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (p *parts) flush() error {
	err := p.put(p.buf)
	p.buf, p.any = make([]byte, 0, p.size), true
	return err
}

func (p *parts) close() error {
	if len(p.buf) == 0 && p.any {
		return nil
	}
	return p.flush()
}

// blobReader reads a blob's messages one after another.
type blobReader struct {
	ctx    context.Context
	from   jetstream.Stream
	prefix string
	b      blob
	next   int
	cur    []byte
}

// Read implements io.Reader. The error is errGone where a message is missing.
func (r *blobReader) Read(p []byte) (int, error) {
	for len(r.cur) == 0 {
		if r.next == r.b.Parts {
			return 0, io.EOF
		}
		err := again(r.ctx, r.part)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = r.missing()
		}
		if err != nil {
			return 0, err
		}
		r.next++
	}
	n := copy(p, r.cur)
	r.cur = r.cur[n:]
	return n, nil
}

func (r *blobReader) part(ctx context.Context) error {
	m, err := r.from.GetLastMsgForSubject(ctx, r.prefix+r.b.ID+"."+strconv.Itoa(r.next))
	if err == nil {
		r.cur = m.Data
	}
	return err
}

// looks at a part that a server of a cluster does not have, before it is gone.
const looks = 3

// missing is errGone where the part is gone for certain: for then its unit is done, and
// not done again. A server that has just come to lead a cluster's stream may lack the
// latest yet; one that has what came after the part, and not the part, has seen it go.
func (r *blobReader) missing() error {
	wait := 50 * time.Millisecond
	for n := 0; n < looks; {
		var last uint64
		err := again(r.ctx, func(ctx context.Context) error {
			info, err := r.from.Info(ctx)
			if err == nil {
				last = info.State.LastSeq
			}
			return err
		})
		if err != nil {
			return err
		}
		if last >= r.b.Seq {
			n++
		} else if wait >= 20*time.Second {
			return errors.New("the bus does not have content that it had acknowledged")
		}
		if err := again(r.ctx, r.part); !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		if err := sleep(r.ctx, wait); err != nil {
			return err
		}
		if last < r.b.Seq {
			wait *= 2
		}
	}
	return errGone
}

// copyBlob writes the content of b to w. What is not what its hash says is an error.
func (q *Queue) copyBlob(ctx context.Context, from jetstream.Stream, prefix string, b blob, w io.Writer) error {
	z, err := zstd.NewReader(&blobReader{ctx: ctx, from: from, prefix: prefix, b: b}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(z, b.Bytes+1))
	if err != nil {
		return err
	}
	if n != b.Bytes || hex.EncodeToString(h.Sum(nil)) != b.Hash {
		return errors.New("the content on the bus is not what it was")
	}
	return nil
}

// getBlob is copyBlob of what fits in memory.
func (q *Queue) getBlob(ctx context.Context, b blob) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, b.Bytes+512))
	if err := q.copyBlob(ctx, q.blobs, subjectBlob, b, out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (q *Queue) dropBlob(ctx context.Context, id string) error {
	return again(ctx, func(ctx context.Context) error {
		err := q.blobs.Purge(ctx, jetstream.WithPurgeSubject(subjectBlob+id+".*"))
		if err != nil {
			return fmt.Errorf("clearing the bus of what is done: %w", err)
		}
		return nil
	})
}
