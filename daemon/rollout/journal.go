package rollout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"
)

const journalName = "journal"

// maxRecord is the most bytes of a line.
const maxRecord = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal is the file of records, open for appending. Not safe for concurrent use.
type journal struct {
	fs   FS
	dir  string
	file Handle
	size int64
	note string // what was met when it was opened
	bad  error  // nothing more can be written
}

func (j *journal) path() string { return filepath.Join(j.dir, journalName) }

// openJournal reads the records that there are and what they come to.
func openJournal(fsys FS, dir string, now func() time.Time) (*journal, []Record, *State, error) {
	j := &journal{fs: fsys, dir: dir}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, nil, nil, err
	}
	data, err := fsys.ReadFile(j.path())
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, nil, nil, err
	}
	records, state, whole, rest := parse(data)
	if rest != nil && !torn(data[whole:]) {
		aside := j.path() + ".damaged-" + now().UTC().Format("20060102-150405")
		if err := j.begin(data, data[:whole], aside); err != nil {
			return nil, nil, nil, fmt.Errorf("putting a damaged journal aside: %w", err)
		}
		j.note = fmt.Sprintf("the journal of rollouts was damaged after record %d (%v); it lies in %s", state.seq, rest, filepath.Base(aside))
	}
	if j.file == nil {
		if j.file, err = fsys.Append(j.path()); err != nil {
			return nil, nil, nil, err
		}
		if missing {
			err = fsys.SyncDir(dir)
		} else if whole < len(data) { // an append that never returned
			if err = j.file.Truncate(int64(whole)); err == nil {
				err = j.file.Sync()
			}
		}
	}
	j.size = int64(whole)
	if err != nil {
		return nil, nil, nil, errors.Join(err, j.file.Close())
	}
	return j, records, state, nil
}

// begin a new file with good, and keep all of what is there under another name.
func (j *journal) begin(all, good []byte, aside string) error {
	if f, err := j.put(aside, all); err != nil {
		return err
	} else if err := f.Close(); err != nil {
		return err
	}
	tmp := j.path() + ".new"
	f, err := j.put(tmp, good)
	if err != nil {
		return err
	}
	if err = j.fs.Rename(tmp, j.path()); err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.file = f
	return nil
}

func (j *journal) put(name string, data []byte) (Handle, error) {
	f, err := j.fs.Append(name)
	if err != nil {
		return nil, err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// torn says whether what follows the last good record is an append that was cut
// off: one line, whole or not.
func torn(rest []byte) bool {
	i := bytes.IndexByte(rest, '\n')
	return i < 0 || i == len(rest)-1
}

// parse reads records as far as they are whole and allowed; whole is how many
// bytes they take, and bad what is wrong with what follows.
func parse(data []byte) (rs []Record, s *State, whole int, bad error) {
	s = &State{}
	for whole < len(data) {
		line, _, ended := bytes.Cut(data[whole:], []byte("\n"))
		if !ended {
			return rs, s, whole, errors.New("the last line is not whole")
		}
		r, err := parseLine(line)
		if err == nil {
			err = s.apply(r)
		}
		if err != nil {
			return rs, s, whole, err
		}
		rs = append(rs, r)
		whole += len(line) + 1
	}
	return rs, s, whole, nil
}

func parseLine(line []byte) (Record, error) {
	var r Record
	sum, body, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(sum) != 8 || len(line) > maxRecord {
		return r, errors.New("a line is no record")
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || crc32.Checksum(body, castagnoli) != uint32(want) {
		return r, errors.New("a checksum does not fit")
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, errors.New("a record can't be read")
	}
	return r, nil
}

func encode(r Record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(body) > maxRecord-16 {
		return nil, fmt.Errorf("a record of %d bytes is too long", len(body))
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli), body), nil
}

// append a record; it is on disk when this returns without an error, and not in
// the file where it returns one.
func (j *journal) append(r Record) error {
	if j.bad != nil {
		return j.bad
	}
	line, err := encode(r)
	if err != nil {
		return err
	}
	_, err = j.file.Write(line)
	if err == nil {
		err = j.file.Sync()
	}
	if err == nil {
		j.size += int64(len(line))
		return nil
	}
	err = fmt.Errorf("writing the journal of rollouts: %w", err)
	back := j.file.Truncate(j.size)
	if back == nil {
		back = j.file.Sync()
	}
	if back != nil {
		// Whether the record is on disk is not known: the next start reads what is.
		j.bad = fmt.Errorf("%w; nothing more is written until rxedged starts again", err)
		return j.bad
	}
	return err
}

func (j *journal) close() error { return j.file.Close() }
