package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// checkTables looks at the end of each table file: its index, the index's
// length, a checksum of it, that one's length. Badger panics over some of what
// may be wrong there, in goroutines where nobody can catch it.
func checkTables(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(name) // of a few megabytes
		if err != nil {
			return err
		}
		if err := checkTable(b); err != nil {
			return &DamagedError{dir, fmt.Errorf("%s: %w", filepath.Base(name), err)}
		}
	}
	return nil
}

func checkTable(b []byte) error {
	cut := errors.New("its end is damaged")
	last := func(n int) []byte {
		if n < 0 || n > len(b) {
			return nil
		}
		out := b[len(b)-n:]
		b = b[:len(b)-n]
		return out
	}
	field := func() []byte {
		n := last(4)
		if n == nil {
			return nil
		}
		return last(int(binary.BigEndian.Uint32(n)))
	}
	sum, index := field(), field()
	if len(sum) == 0 || len(index) == 0 {
		return cut
	}
	want := &pb.Checksum{}
	if err := proto.Unmarshal(sum, want); err != nil {
		return cut
	}
	if want.Algo != pb.Checksum_CRC32C && want.Algo != pb.Checksum_XXHash64 {
		return cut
	}
	return y.VerifyChecksum(index, want)
}
