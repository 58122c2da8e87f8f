package spool_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/nats-io/nats.go"

	"rxedge/sync/spool"
)

type part struct {
	site string
	h    nats.Header
	data []byte
}

func partsOf(site string, m spool.Message) (out []part) {
	for h, data := range m.Parts() {
		out = append(out, part{site, h, data})
	}
	return out
}

// Messages of two sites, in parts that arrive in any order and some twice, are what
// they were; of the same id of two sites each is its own.
func TestParts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	want := map[string][]byte{}
	var sent []part
	for _, site := range []string{"a", "b"} {
		for i, size := range []int{0, 1, spool.PartSize, spool.PartSize + 1, 2 * spool.PartSize, spool.MaxMessage} {
			m := spool.Message{ID: string(rune('A' + i)), Data: make([]byte, size)}
			for j := range m.Data {
				m.Data[j] = byte(r.Uint32())
			}
			want[site+m.ID] = m.Data
			ps := partsOf(site, m)
			if most := (size + spool.PartSize - 1) / spool.PartSize; len(ps) != max(1, most) {
				t.Errorf("%d bytes in %d parts", size, len(ps))
			}
			if len(ps) > 1 {
				ps = append(ps, ps[0]) // the hub forgot that it has it
			}
			sent = append(sent, ps...)
		}
	}
	r.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
	var a spool.Assembler
	got := 0
	for _, p := range sent {
		id, whole, ok := a.Add(p.site, p.h, p.data)
		if !ok {
			continue
		}
		got++
		if !bytes.Equal(whole, want[p.site+id]) {
			t.Errorf("message %q of %s has %d bytes, want %d", id, p.site, len(whole), len(want[p.site+id]))
		}
	}
	if got != len(want) {
		t.Errorf("%d messages, want %d", got, len(want))
	}
}

// Whatever a site says of parts, nothing breaks, and what has no right part header
// is a message as it stands.
func FuzzAssembler(f *testing.F) {
	f.Add("id.1", "1/2", []byte("x"), "id.2", "2/2", []byte("y"))
	f.Add("id", "", []byte("x"), "id", "0/0", []byte{})
	f.Add("id.1", "1/17", []byte("x"), "id.1", "1/3", []byte{})
	f.Fuzz(func(t *testing.T, id1, p1 string, d1 []byte, id2, p2 string, d2 []byte) {
		var a spool.Assembler
		for range 2 {
			for _, p := range []part{{"s", nats.Header{"Nats-Msg-Id": {id1}, "Rxedge-Part": {p1}}, d1}, {"s", nats.Header{"Nats-Msg-Id": {id2}, "Rxedge-Part": {p2}}, d2}} {
				if _, whole, ok := a.Add(p.site, p.h, p.data); ok && len(whole) > len(d1)+len(d2) {
					t.Errorf("%d bytes of parts of %d and %d", len(whole), len(d1), len(d2))
				}
			}
		}
	})
}
