package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"rxedge/daemon/box"
)

// A backup comes as frames, for it is bytes: a kind, a length (4 bytes, big endian), so
// many bytes. The last is a result or an error; without it the backup was cut off.
const (
	frameData   = 'd'
	frameLine   = 'l' // a line as other calls have it
	maxFrame    = 1 << 20
	frameHeader = 5
)

func serveBackup(mux *http.ServeMux, b *box.Box) {
	mux.HandleFunc("POST /control/backup", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		out := &frames{w: w}
		var q box.BackupRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&q); err != nil {
			out.line(line{Error: &failure{Code: codeInvalid, Detail: "the request can't be read"}})
			return
		}
		flush := http.NewResponseController(w).Flush
		res, err := b.Backup(r.Context(), q, out, func(p box.BackupProgress) {
			out.line(line{Progress: p})
			_ = flush()
		})
		if err != nil {
			out.line(line{Error: toFailure(err)})
			return
		}
		out.line(line{Result: res})
	})
}

// frames are written to w.
type frames struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frames) frame(kind byte, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(b)))
	if _, err := f.w.Write(head); err != nil {
		return err
	}
	_, err := f.w.Write(b)
	return err
}

func (f *frames) line(l line) {
	if b, err := json.Marshal(l); err == nil {
		_ = f.frame(frameLine, b)
	}
}

// Write is of the backup.
func (f *frames) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+maxFrame)]
		if err := f.frame(frameData, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// Backup writes a backup of the box to w. An error of w ends it and is returned.
func (c *Client) Backup(ctx context.Context, q box.BackupRequest, w io.Writer, progress func(box.BackupProgress)) (res box.BackupResult, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return res, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://rxedge/control/backup", bytes.NewReader(body))
	if err != nil {
		return res, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
		return res, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return res, fmt.Errorf("rxedged answered %q; is it of the same version as this tool?", resp.Status)
	}
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	var head [frameHeader]byte
	buf := make([]byte, maxFrame)
	for {
		_, err := io.ReadFull(in, head[:])
		n := binary.BigEndian.Uint32(head[1:])
		if err == nil && n > maxFrame {
			return res, errors.New("rxedged answered something that can't be read")
		}
		if err == nil {
			_, err = io.ReadFull(in, buf[:n])
		}
		if err != nil {
			if ctx.Err() != nil {
				return res, ctx.Err()
			}
			return res, fmt.Errorf("%w: it stopped while it was at work; there is no backup", ErrUnreachable)
		}
		if head[0] == frameData {
			if _, err := w.Write(buf[:n]); err != nil {
				return res, err
			}
			continue
		}
		var l struct {
			Progress *box.BackupProgress `json:"progress"`
			Result   *box.BackupResult   `json:"result"`
			Error    *failure            `json:"error"`
		}
		if err := json.Unmarshal(buf[:n], &l); err != nil {
			return res, fmt.Errorf("rxedged answered something that can't be read: %w", err)
		}
		switch {
		case l.Error != nil:
			return res, fromFailure(l.Error)
		case l.Result != nil:
			return *l.Result, nil
		case l.Progress != nil && progress != nil:
			progress(*l.Progress)
		}
	}
}
