package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func zipOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range names {
		w, err := z.Create(n)
		if err == nil {
			_, err = io.WriteString(w, strings.Repeat(n, 1000))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func walk(t *testing.T, data []byte, lim Limits) (names []string, faults []Fault, err error) {
	t.Helper()
	err = Walk(context.Background(), "a.zip", bytes.NewReader(data), int64(len(data)), lim, nil, func(e *Entry) error {
		h, err := e.Hold(1 << 20)
		if err == nil {
			names = append(names, fmt.Sprintf("%s %d", e.Name, h.Size()))
			err = h.Close()
		}
		return err
	}, func(f Fault) { faults = append(faults, f) })
	return names, faults, err
}

func TestBoundsOfTheWholeWalk(t *testing.T) {
	t.Parallel()
	data := zipOf(t, "a", "b", "c", "d")
	for name, c := range map[string]struct {
		lim    Limits
		read   int
		reason string
	}{
		"none":     {Limits{}, 4, ""},
		"entries":  {Limits{Entries: 3}, 0, "says it holds 4 files"},
		"unpacked": {Limits{Unpacked: 2500, Ratio: 1}, 2, "unpacks to more than 2500 bytes"},
	} {
		names, faults, err := walk(t, data, c.lim)
		if err != nil || len(names) != c.read || (c.reason == "") != (len(faults) == 0) || len(faults) > 0 && !strings.Contains(faults[0].Reason, c.reason) {
			t.Errorf("%s: %v, %v, %v", name, names, faults, err)
		}
	}
	// Entries are counted over the archives in it, too.
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range []string{"1.zip", "2.zip"} {
		w, err := z.Create(n)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	names, faults, err := walk(t, b.Bytes(), Limits{Entries: 7})
	if err != nil || len(names) != 5 || len(faults) != 1 || !strings.Contains(faults[0].Reason, "more than 7 files") {
		t.Errorf("%v, %v, %v", names, faults, err)
	}
}

// A directory that says it holds more than could be is refused before anything is made
// for it.
func TestDirectoryIsNotTrusted(t *testing.T) {
	t.Parallel()
	data := zipOf(t, "a")
	end := bytes.LastIndex(data, []byte("PK\x05\x06"))
	var z64 bytes.Buffer
	z64.WriteString("PK\x06\x06")
	for _, v := range []any{uint64(44), uint16(45), uint16(45), uint32(0), uint32(0), uint64(1) << 40, uint64(1) << 40, uint64(0), uint64(0)} {
		if err := binary.Write(&z64, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	locator := append([]byte("PK\x06\x07\x00\x00\x00\x00"), binary.LittleEndian.AppendUint64(nil, uint64(end))...)
	locator = append(locator, 1, 0, 0, 0)
	tail := bytes.Clone(data[end:])
	binary.LittleEndian.PutUint16(tail[8:], 0xffff)
	binary.LittleEndian.PutUint16(tail[10:], 0xffff)
	all := append(append(append(bytes.Clone(data[:end]), z64.Bytes()...), locator...), tail...)
	if n, err := entriesOf(bytes.NewReader(all), int64(len(all))); err != nil || n != 1<<40 {
		t.Fatalf("%d, %v", n, err)
	}
	if names, faults, err := walk(t, all, Limits{}); err != nil || len(names) > 0 || len(faults) != 1 || !strings.Contains(faults[0].Reason, "says it holds") {
		t.Errorf("%v, %v, %v", names, faults, err)
	}
	// Where the directory lies is not trusted either.
	off := bytes.Clone(data)
	binary.LittleEndian.PutUint32(off[end+16:], 0xfffffff0)
	if names, faults, err := walk(t, off, Limits{}); err != nil || len(names) > 0 || len(faults) != 1 {
		t.Errorf("%v, %v, %v", names, faults, err)
	}
}

// badDisk fails at its end as a disk does.
type badDisk struct{ *bytes.Reader }

var errDisk = errors.New("input/output error")

func (f badDisk) ReadAt(p []byte, off int64) (int, error) {
	if off < 64 && len(p) > 64 {
		return 0, errDisk
	}
	return f.Reader.ReadAt(p, off)
}

// An error of the disk is never taken for one of the archive.
func TestErrorsOfTheDiskEndTheWalk(t *testing.T) {
	t.Parallel()
	data := zipOf(t, "a", "b")
	err := Walk(context.Background(), "a.zip", badDisk{bytes.NewReader(data)}, int64(len(data)), Limits{}, nil, func(*Entry) error { return nil }, func(f Fault) { t.Error(f) })
	if !errors.Is(err, errDisk) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = Walk(ctx, "a.zip", bytes.NewReader(data), int64(len(data)), Limits{}, nil, func(*Entry) error { cancel(); return nil }, func(f Fault) { t.Error(f) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	stop := errors.New("stop")
	err = Walk(context.Background(), "a.zip", bytes.NewReader(data), int64(len(data)), Limits{}, nil, func(*Entry) error { return stop }, func(f Fault) { t.Error(f) })
	if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}
