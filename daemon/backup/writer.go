package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Writer writes a backup from front to back; in memory are a few megabytes and the
// names of what was written. Not safe for concurrent use.
type Writer struct {
	ctx     context.Context
	zip     *zstd.Encoder
	tar     *tar.Writer
	created time.Time
	entries []Entry
	buf     []byte
	done    int64
	report  func(done int64)
	to      age.Recipient // records of stores are sealed to; nil: they are not
}

// NewID of a backup.
func NewID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// NewWriter writes the header. report, which may be nil, hears of the bytes that are
// done, before compression.
func NewWriter(ctx context.Context, w io.Writer, h Header, report func(done int64)) (*Writer, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	if report == nil {
		report = func(int64) {}
	}
	b := &Writer{ctx: ctx, zip: z, tar: tar.NewWriter(z), created: h.Created, buf: make([]byte, 256<<10), report: report}
	text, err := json.MarshalIndent(h, "", " ")
	if err != nil {
		return nil, err
	}
	if err := b.Bytes(headerName, append(text, '\n')); err != nil {
		return nil, err
	}
	return b, z.Flush() // so that who reads along knows at once what is coming
}

// File of the data folder, rel, of which size bytes are read from r.
func (w *Writer) File(rel string, size int64, r io.Reader) error {
	return w.add(filesPrefix+rel, size, r)
}

// Part of the records of a store, rel; parts count from 0.
func (w *Writer) Part(rel string, number int, records []byte) error {
	if w.to != nil && !strings.HasPrefix(rel, "index/") {
		var err error
		if records, err = encrypt(records, w.to); err != nil {
			return fmt.Errorf("sealing the store %s: %w", rel, err)
		}
	}
	return w.Bytes(fmt.Sprintf("%s%s/%08d", storesPrefix, rel, number), records)
}

// Bytes of an entry.
func (w *Writer) Bytes(name string, b []byte) error {
	return w.add(name, int64(len(b)), bytes.NewReader(b))
}

func (w *Writer) add(name string, size int64, r io.Reader) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("%q can't be in a backup: %w", name, err)
	}
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.created, Format: tar.FormatPAX}); err != nil {
		return err
	}
	h := sha256.New()
	for left := size; left > 0; {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, w.buf[:min(left, int64(len(w.buf)))])
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		h.Write(w.buf[:n])
		if _, err := w.tar.Write(w.buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
		w.done += int64(n)
		w.report(w.done)
	}
	w.entries = append(w.entries, Entry{name, size, hex.EncodeToString(h.Sum(nil))})
	return nil
}

// Close writes the manifest, without which the file is no backup.
func (w *Writer) Close() ([]Entry, error) {
	body, err := json.Marshal(manifest{w.entries})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	text, err := json.Marshal(sealedManifest{body, hex.EncodeToString(sum[:])})
	if err != nil {
		return nil, err
	}
	entries := w.entries
	if err := w.Bytes(manifestName, text); err != nil {
		return nil, err
	}
	if err := w.tar.Close(); err != nil {
		return nil, err
	}
	return entries, w.zip.Close()
}
