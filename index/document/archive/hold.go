package archive

import (
	"errors"
	"io"
	"os"
)

var errTooLarge = errors.New("too large to be held")

// Held is something that was read to its end: in memory, or in a file without a name.
type Held struct {
	data []byte
	file *os.File
	size int64
	free func([]byte)
}

// ReadAt is io.ReaderAt.
func (h *Held) ReadAt(p []byte, off int64) (int, error) {
	if h.file != nil {
		return h.file.ReadAt(p, off)
	}
	if off < 0 || off >= int64(len(h.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size in bytes.
func (h *Held) Size() int64 { return h.size }

// Bytes is all of it, until Close, where it lies in memory, else nil.
func (h *Held) Bytes() []byte { return h.data }

// Close lets it go.
func (h *Held) Close() error {
	if h.free != nil && h.data != nil {
		h.free(h.data)
	}
	h.data = nil
	if h.file != nil {
		return h.file.Close()
	}
	return nil
}

// Hold reads r to its end: up to memory bytes into memory, up to most into a file in dir
// ("": the system's own) that has no name any more, so that nothing is left of it
// whatever happens. TooLarge tells the error where there is more.
func Hold(r io.Reader, stated, memory, most int64, dir string) (*Held, error) {
	return hold(r, stated, memory, most, dir, nil)
}

// TooLarge: more came than may be held.
func TooLarge(err error) bool { return errors.Is(err, errTooLarge) }

func hold(r io.Reader, stated, memory, most int64, dir string, buf []byte) (*Held, error) {
	if stated > most {
		return nil, errTooLarge
	}
	memory = min(memory, most)
	if stated >= 0 && stated < memory && int64(cap(buf)) <= stated {
		buf = make([]byte, 0, stated+1)
	}
	buf = buf[:0]
	for int64(len(buf)) <= memory {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), max(64<<10, 2*cap(buf)))
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):min(int64(cap(buf)), memory+1)])
		buf = buf[:len(buf)+n]
		if err == io.EOF && int64(len(buf)) <= memory {
			return &Held{data: buf, size: int64(len(buf))}, nil
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
	if memory == most {
		return nil, errTooLarge
	}
	f, err := os.CreateTemp(dir, ".rxedge-unpacked-*")
	if err != nil {
		return nil, err
	}
	n := int64(len(buf))
	if err = os.Remove(f.Name()); err == nil {
		_, err = f.Write(buf)
	}
	if err == nil {
		var more int64
		more, err = io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(r, most-n+1), buf[:min(cap(buf), 1<<20)])
		n += more
	}
	if err == nil && n > most {
		err = errTooLarge
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Held{file: f, size: n}, nil
}

// hold is Hold with the walk's own bounds; its memory is used again.
func (w *walker) hold(r io.Reader, stated, most int64) (*Held, error) {
	var buf []byte
	if n := len(w.pool); n > 0 {
		buf, w.pool = w.pool[n-1], w.pool[:n-1]
	}
	h, err := hold(r, stated, w.lim.Memory, most, w.lim.Dir, buf)
	if err == nil {
		h.free = func(b []byte) { w.pool = append(w.pool, b) }
	}
	return h, err
}

// Hold reads the entry whole, as the function of that name does; it must be closed
// before the visit ends.
func (e *Entry) Hold(most int64) (*Held, error) {
	rc, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return e.HoldFrom(rc, most)
}

// HoldFrom is Hold of what Open gave.
func (e *Entry) HoldFrom(r io.Reader, most int64) (*Held, error) { return e.w.hold(r, e.Size, most) }
