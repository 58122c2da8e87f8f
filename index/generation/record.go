package generation

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/badger/v4"

	"rxedge/index/chunk"
	"rxedge/index/document"
)

// Keys. The first byte is the kind of record.
const (
	kindDocument = 'd' // d/<document id>: Header
	kindRange    = 'r' // r/<document id>: Range
	kindSection  = 's' // s/<document id>\0<index>: document.Section
	kindLookup   = 'i' // i/<section id or alias>: place
	kindPassage  = 'p' // p/<number>: Passage
	kindLexical  = 'l' // l/<number>: blob of postings
	kindVectors  = 'v' // v/<number>: block of vectors
	kindNames    = 'n' // n/: words that the analyser protects
)

var kindNamesOf = map[byte]string{
	kindDocument: "document", kindRange: "passage range", kindSection: "section", kindLookup: "section lookup",
	kindPassage: "passage", kindLexical: "lexical blob", kindVectors: "vector block", kindNames: "name list",
}

// maxID is the longest id of a document in bytes; longer ones are refused.
const maxID = 1024

// Header is a document without its sections.
type Header struct {
	document.Document
	Hash  string `json:"hash"`
	Count int    `json:"count"` // of sections
}

// Range is where the passages of a document lie.
type Range struct {
	First    uint32 `json:"first"`
	Passages int    `json:"passages"`
	Cut      string `json:"cut"` // how they were cut; another way means cutting again
}

// Passage is a passage with what a hit shows of it.
type Passage struct {
	chunk.Passage
	Text         string `json:"text"`
	SectionTitle string `json:"section_title"`
	LOINC        string `json:"loinc,omitempty"`
}

// CutMixed stands for passages that were cut in several ways.
const CutMixed = "mixed"

// place is where a section is.
type place struct {
	ID       string `json:"id"` // the id or alias that was looked up
	Document string `json:"document"`
	Section  int    `json:"section"`
}

func key(kind byte, id string) []byte { return append([]byte{kind, '/'}, id...) }

func numberKey(kind byte, n int) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind, '/'}, uint32(n))
}

func sectionKey(id string, n int) []byte {
	return binary.BigEndian.AppendUint32(append(key(kindSection, id), 0), uint32(n))
}

// lookupKey keeps keys short: sources choose the ids of sections.
func lookupKey(id string) []byte {
	if len(id) > 200 {
		sum := sha256.Sum256([]byte(id))
		return append([]byte{kindLookup, '#'}, sum[:]...)
	}
	return key(kindLookup, id)
}

// describe names a key for a person.
func describe(k []byte) string {
	if len(k) < 2 {
		return fmt.Sprintf("record %q", k)
	}
	kind, rest := kindNamesOf[k[0]], k[2:]
	switch {
	case kind == "":
		return fmt.Sprintf("record %q", k)
	case k[0] == kindNames:
		return kind
	case (k[0] == kindPassage || k[0] == kindLexical || k[0] == kindVectors) && len(rest) == 4:
		return fmt.Sprintf("%s %d", kind, binary.BigEndian.Uint32(rest))
	case k[0] == kindSection && len(rest) > 5:
		return fmt.Sprintf("%s %d of document %q", kind, binary.BigEndian.Uint32(rest[len(rest)-4:]), rest[:len(rest)-5])
	case k[0] == kindDocument || k[0] == kindRange:
		return strings.TrimPrefix(fmt.Sprintf("%s of document %q", kind, rest), "document of ")
	}
	return fmt.Sprintf("%s %q", kind, rest)
}

// seal appends a checksum of key and value, so that a value that lies under
// another's key is noticed too.
func sealValue(k, v []byte) []byte {
	return binary.LittleEndian.AppendUint64(v, checksum(k, v))
}

func openValue(k, v []byte) ([]byte, error) {
	if len(v) < 8 {
		return nil, damaged(describe(k), "it is shorter than its checksum")
	}
	body := v[:len(v)-8]
	if binary.LittleEndian.Uint64(v[len(v)-8:]) != checksum(k, body) {
		return nil, damaged(describe(k), "its checksum does not fit")
	}
	return body, nil
}

func checksum(k, v []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(k)
	_, _ = d.Write(v)
	return d.Sum64()
}

// get reads a record into a copy. errNoRecord where there is none.
func get(txn *badger.Txn, k []byte) (body []byte, err error) {
	defer guard(&err, func() string { return describe(k) })
	item, err := txn.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, errNoRecord
	}
	if err != nil {
		return nil, damaged(describe(k), err.Error())
	}
	return itemBody(item)
}

func itemBody(item *badger.Item) ([]byte, error) {
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, damaged(describe(item.Key()), err.Error())
	}
	return openValue(item.Key(), v)
}

var errNoRecord = errors.New("no such record")

// guard turns a panic of the store over damaged files into an error.
func guard(err *error, where func() string) {
	if p := recover(); p != nil {
		*err = damaged(where(), fmt.Sprintf("the store could not read it (%v)", p))
	}
}
