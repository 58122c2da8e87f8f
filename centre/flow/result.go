package flow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Of a result, bytes of JSON.
const (
	resultBytes = 4 << 20 // that go together
	maxResult   = 1 << 30 // that are taken
)

// putResult gives a result to the bus, in as many messages as it needs. The same result
// again, as of a unit that was done twice, is told by its id.
func (q *Queue) putResult(ctx context.Context, r *result) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	id := hex.EncodeToString(sum[:16])
	data := packer.EncodeAll(raw, nil)
	size := int(min(q.nc.MaxPayload(), maxPayload)) - 64<<10
	n := max(1, (len(data)+size-1)/size)
	keys := keysOf(r.Sources, r.Done)
	for k := range n {
		m := nats.NewMsg(subjectCommit + r.Unit)
		m.Data = data[k*size : min(len(data), (k+1)*size)]
		m.Header.Set(nats.MsgIdHdr, id+"."+strconv.Itoa(k))
		m.Header.Set(headerPack, id)
		m.Header.Set(headerPart, fmt.Sprintf("%d/%d", k+1, n))
		if k == 0 {
			m.Header.Set(headerOf, keys)
			m.Header.Set(headerBlob, r.Blob.ID)
		}
		if err := q.put(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func keysOf(lists ...[]placed) string {
	seen := map[string]bool{}
	var keys []string
	for _, l := range lists {
		for i := range l {
			if k := l[i].key(); !seen[k] {
				seen[k] = true
				keys = append(keys, k)
			}
		}
	}
	return strings.Join(keys, ",")
}

func decodeResult(data []byte) (*result, error) {
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	raw, err := io.ReadAll(io.LimitReader(z, maxResult+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxResult {
		return nil, errors.New("it is too large")
	}
	r := &result{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, err
	}
	in := func(i int) bool { return i >= 0 && i < len(r.Sources) }
	for _, it := range r.Items {
		if !in(it.Source) || it.Document == nil || it.Document.ID == "" {
			return nil, errors.New("an item of it is of no source, or no document")
		}
	}
	for _, p := range r.Refused {
		if !in(p.Source) {
			return nil, errors.New("a problem of it is of no source")
		}
	}
	return r, nil
}

// arrived is a result whose messages are all here; they are acknowledged together.
type arrived struct {
	msgs []jetstream.Msg
	data []byte
}

// gatherer puts the messages of results together again. What is incomplete waits: its
// messages are on the bus until they are acknowledged.
type gatherer struct{ open map[string][]jetstream.Msg }

// add returns the result that m makes whole, or nil. A message that is none of ours is
// an error.
func (g *gatherer) add(m jetstream.Msg) (*arrived, error) {
	id := m.Headers().Get(headerPack)
	a, b, ok := strings.Cut(m.Headers().Get(headerPart), "/")
	k, err := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if !ok || err != nil || err2 != nil || k < 1 || k > n || n > maxResult/partSize || id == "" {
		return nil, errors.New("a message on the bus is no part of a result")
	}
	if n == 1 {
		return &arrived{[]jetstream.Msg{m}, m.Data()}, nil
	}
	if g.open == nil {
		g.open = map[string][]jetstream.Msg{}
	}
	ms := g.open[id]
	if len(ms) != n {
		ms = make([]jetstream.Msg, n)
		g.open[id] = ms
	}
	ms[k-1] = m // of two deliveries the later one can be acknowledged
	var data []byte
	for _, m := range ms {
		if m == nil {
			return nil, nil
		}
		data = append(data, m.Data()...)
	}
	delete(g.open, id)
	return &arrived{ms, data}, nil
}
