package vectors

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"rxedge/sync/bundle"
)

func text(i int) (t Text) {
	t[0], t[1] = byte(i), byte(i>>8)
	return t
}

func rowsOf(from, to int, first uint16) (rows []byte) {
	for i := from; i < to; i++ {
		rows = bundle.AppendRow(rows, text(i), []uint16{first, uint16(i % 1000)})
	}
	return rows
}

// What was put is there, also after a start, in whichever process it is asked; the first
// that came stays; another embedder has none of it; no rows are refused.
func TestStore(t *testing.T) {
	t.Parallel()
	centre, e := t.TempDir(), bundle.HashOf([]byte("e"))
	open := func(e bundle.Hash) *Store {
		t.Helper()
		s, err := Open(t.Context(), centre, e, 2)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s, other := open(e), open(e)
	if n, err := s.Put(t.Context(), rowsOf(0, 1200, 0x3c00)); n != 1200 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := other.Put(t.Context(), rowsOf(1199, 1201, 0x4000)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := s.Put(t.Context(), nil); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(e)
	var ask []Text
	for i := range 1210 {
		ask = append(ask, text(i))
	}
	got := map[Text][]uint16{}
	if err := s.Get(t.Context(), ask, func(t Text, v []uint16) { got[t] = v }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1201 || !slices.Equal(got[text(1199)], []uint16{0x3c00, 199}) || !slices.Equal(got[text(1200)], []uint16{0x4000, 200}) {
		t.Errorf("%d rows: %v %v", len(got), got[text(1199)], got[text(1200)])
	}
	if n, err := open(bundle.HashOf([]byte("another"))).Count(t.Context()); n != 0 || err != nil {
		t.Errorf("another embedder has %d, %v", n, err)
	}
	for what, rows := range map[string][]byte{"part of a row": rowsOf(0, 1, 1)[:19], "infinite": bundle.AppendRow(nil, text(1), []uint16{0x7c00, 1}), "zero": bundle.AppendRow(nil, text(1), []uint16{0, 0})} {
		if _, err := s.Put(t.Context(), rows); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	// Of another dimension than it says: not used.
	wrong, err := Open(t.Context(), centre, e, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if err := wrong.Get(t.Context(), ask[:1], func(Text, []uint16) {}); err == nil {
		t.Error("rows of another dimension were used")
	}
}

// Writers beside one another lose nothing.
func TestWritersTogether(t *testing.T) {
	t.Parallel()
	centre, e := t.TempDir(), bundle.HashOf([]byte("e"))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), centre, e, 2)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for i := range 10 {
				if _, err := s.Put(t.Context(), rowsOf(100*w+10*i, 100*w+10*i+20, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s, err := Open(t.Context(), centre, e, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Count(t.Context()); n != 410 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A damaged file is told with what mends it, and a centre that is not there is not made.
func TestDamaged(t *testing.T) {
	t.Parallel()
	centre, e := t.TempDir(), bundle.HashOf([]byte("e"))
	s, err := Open(t.Context(), centre, e, 2)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if err := os.WriteFile(Path(centre, e), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), centre, e, 2); err == nil || !strings.Contains(err.Error(), "take the file away") || !strings.Contains(err.Error(), e.String()) {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.Context(), centre+"/nowhere", e, 2); err == nil {
		t.Error("a centre was made")
	}
}
