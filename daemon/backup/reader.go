package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// source remembers what reading the file itself failed of, so that a fault of the disk
// is not taken for damage.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Read reads a backup from front to back and checks all of it: names, sizes, hashes,
// that nothing is missing and nothing follows. header is called first, then visit for
// each entry; what it leaves of the reader is read all the same. The hashes are known
// at the end alone: until Read returns without an error nothing that was visited may be
// put to use. Errors: ErrNotBackup, *DamagedError, *NewerError, those of header and visit.
func Read(ctx context.Context, r io.Reader, header func(Header) error, visit func(e Entry, r io.Reader) error) (h Header, entries []Entry, err error) {
	src := &source{ctx: ctx, r: r}
	defer func() {
		if src.err != nil {
			err = fmt.Errorf("reading the backup: %w", src.err)
		}
	}()
	// The compression has a checksum of its own, which says that something is wrong before
	// the manifest could say where. What it would find and the manifest does not are bits
	// that nobody reads.
	z, err := zstd.NewReader(src, zstd.IgnoreChecksum(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return h, nil, err
	}
	defer z.Close()
	t := tar.NewReader(z)
	seen := map[string]bool{}
	last := ""
	for {
		th, err := t.Next()
		if errors.Is(err, io.EOF) {
			return h, nil, &DamagedError{last, "it ends there, without its manifest"}
		}
		if err != nil {
			if last == "" {
				return h, nil, fmt.Errorf("%w: %w", ErrNotBackup, err)
			}
			return h, nil, &DamagedError{"what follows " + last, err.Error()}
		}
		if last == "" && th.Name != headerName {
			return h, nil, ErrNotBackup
		}
		if err := checkEntry(th, seen); err != nil {
			return h, nil, &DamagedError{fmt.Sprintf("%.200q", th.Name), err.Error()}
		}
		last = th.Name
		seen[last] = true
		switch last {
		case headerName:
			b, e, err := small(t, th)
			if err != nil {
				return h, nil, err
			}
			if err := json.Unmarshal(b, &h); err != nil {
				return h, nil, &DamagedError{headerName, "it does not parse"}
			}
			if h.Format > Format {
				return h, nil, &NewerError{"file", h.Format, Format, h.Rxedge}
			}
			entries = append(entries, e)
			if header != nil {
				if err := header(h); err != nil {
					return h, nil, err
				}
			}
			continue
		case manifestName:
			b, _, err := small(t, th)
			if err != nil {
				return h, nil, err
			}
			if err := compare(b, entries); err != nil {
				return h, nil, err
			}
			return h, entries, ends(t, z)
		}
		sum := &hashing{t: t, sum: sha256.New()}
		e := Entry{Name: th.Name, Size: th.Size}
		if visit != nil {
			err = visit(e, sum)
		}
		if err == nil || sum.err != nil {
			_, err = io.Copy(io.Discard, sum)
		}
		if sum.err != nil {
			return h, nil, &DamagedError{last, sum.err.Error()}
		}
		if err != nil {
			return h, nil, err
		}
		e.SHA256 = hex.EncodeToString(sum.sum.Sum(nil))
		entries = append(entries, e)
	}
}

// hashing reads an entry.
type hashing struct {
	t   *tar.Reader
	sum hash.Hash
	err error
}

func (h *hashing) Read(p []byte) (int, error) {
	n, err := h.t.Read(p)
	h.sum.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		h.err = err
	}
	return n, err
}

func checkEntry(th *tar.Header, seen map[string]bool) error {
	switch {
	case th.Typeflag != tar.TypeReg:
		return errors.New("it is no plain file, and a backup has no others")
	case th.Size < 0 || th.Size > maxEntry:
		return errors.New("its size is not possible")
	case seen[th.Name]:
		return errors.New("it is there twice")
	case len(seen) >= maxEntries:
		return errors.New("there are too many entries")
	}
	if err := checkName(th.Name); err != nil {
		return err
	}
	most := int64(maxEntry)
	switch {
	case th.Name == headerName:
		most = maxHeader
	case th.Name == manifestName:
		most = maxManifest
	case th.Name == SecretsName || th.Name == ConfigName:
		most = maxSmall
	case strings.HasPrefix(th.Name, storesPrefix):
		most = maxPart
	}
	if th.Size > most {
		return errors.New("it is too large")
	}
	return nil
}

// small reads an entry into memory. It grows with what is there, whatever size is told.
func small(r io.Reader, th *tar.Header) ([]byte, Entry, error) {
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		return nil, Entry{}, &DamagedError{th.Name, err.Error()}
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), Entry{th.Name, th.Size, hex.EncodeToString(sum[:])}, nil
}

// compare what was read with what the manifest says was written.
func compare(text []byte, read []Entry) error {
	var s sealedManifest
	if err := json.Unmarshal(text, &s); err != nil {
		return &DamagedError{manifestName, "it does not parse"}
	}
	if sum := sha256.Sum256(s.Manifest); hex.EncodeToString(sum[:]) != s.SHA256 {
		return &DamagedError{manifestName, "its checksum does not fit"}
	}
	var m manifest
	if err := json.Unmarshal(s.Manifest, &m); err != nil {
		return &DamagedError{manifestName, "it does not parse"}
	}
	for i, want := range m.Entries {
		switch {
		case i >= len(read) || read[i].Name != want.Name:
			return &DamagedError{want.Name, "it is missing"}
		case read[i].Size != want.Size:
			return &DamagedError{want.Name, fmt.Sprintf("it has %d bytes instead of %d", read[i].Size, want.Size)}
		case read[i].SHA256 != want.SHA256:
			return &DamagedError{want.Name, "its SHA-256 is not what was written"}
		}
	}
	if len(read) > len(m.Entries) {
		return &DamagedError{read[len(m.Entries)].Name, "the manifest does not know it"}
	}
	return nil
}

// ends says whether the file ends after the manifest, with a checksum that fits.
func ends(t *tar.Reader, z io.Reader) error {
	if th, err := t.Next(); err == nil {
		return &DamagedError{fmt.Sprintf("%.200q", th.Name), "it follows the manifest"}
	} else if !errors.Is(err, io.EOF) {
		return &DamagedError{"its end", err.Error()}
	}
	n, err := io.Copy(io.Discard, z)
	if err != nil {
		return &DamagedError{"its end", err.Error()}
	}
	if n > 0 {
		return &DamagedError{"its end", fmt.Sprintf("%d bytes follow", n)}
	}
	return nil
}
