package generation

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"

	"rxedge/index/document"
	"rxedge/index/names"
)

// Keys. The first byte is the kind of record.
const (
	kindDocument   = 'd' // d/<document id>: Header
	kindSection    = 's' // s/<document id>\0<index>: document.Section
	kindLookup     = 'i' // i/<section id or alias>: place
	kindPassage    = 'p' // a passage by its number; no key, they lie in blocks
	kindPassages   = 'b' // b/<number>: block of passages
	kindLexical    = 'l' // l/<number>: blob of postings
	kindVectors    = 'v' // v/<number>: block of vectors
	kindNames      = 'n' // n/: words that the analyser protects
	kindCodes      = 'q' // q/<number>: block of what dense search scans
	kindCodesOf    = 'c' // c/<number>: blob of documents by code
	kindLearned    = 'w' // w/<number>: blob of what documents teach about names
	kindFacts      = 'f' // f/: effective date, kind and source of each document
	kindTable      = 't' // t/: documents by id, sections' codes by passage
	kindAdaptation = 'e' // e/<number>: blob of what the embedder learned from the passages
	kindDead       = 'x' // x/: withdrawn passages of the base, after an update
	kindUnit       = 'm' // m/: what an update holds
)

var kindNamesOf = map[byte]string{
	kindDocument: "document", kindSection: "section", kindLookup: "section lookup",
	kindPassage: "passage", kindPassages: "passage block", kindLexical: "lexical blob", kindVectors: "vector block", kindNames: "name list",
	kindCodes: "dense block", kindCodesOf: "code blob", kindLearned: "name blob", kindTable: "document table", kindFacts: "document facts", kindAdaptation: "adaptation blob", kindDead: "list of withdrawn passages", kindUnit: "update record",
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

// labelled is what the document teaches about names.
func labelled(d *document.Document) names.Labelled {
	l := names.Labelled{ID: d.ID, Title: d.Title, Label: len(d.Names) > 0 || d.Kind == document.KindSPL || d.Kind == document.KindOpenFDA}
	for _, n := range d.Names {
		if n.Kind == "brand" {
			l.Brands = append(l.Brands, n.Text)
		} else {
			l.Generics = append(l.Generics, n.Text)
		}
	}
	return l
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

// updatePrefix is before each key of a live update.
func updatePrefix(n int) []byte {
	if n == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint32([]byte{'u'}, uint32(n))
}

// describe names a key for a person.
func describe(k []byte) string {
	if len(k) >= 7 && k[0] == 'u' {
		return fmt.Sprintf("update %d, %s", binary.BigEndian.Uint32(k[1:]), describe(k[5:]))
	}
	if len(k) < 2 {
		return fmt.Sprintf("record %q", k)
	}
	kind, rest := kindNamesOf[k[0]], k[2:]
	switch {
	case kind == "":
		return fmt.Sprintf("record %q", k)
	case len(rest) == 0:
		return kind
	case (k[0] == kindPassage || k[0] == kindPassages || k[0] == kindLexical || k[0] == kindVectors || k[0] == kindCodes || k[0] == kindCodesOf || k[0] == kindLearned) && len(rest) == 4:
		return fmt.Sprintf("%s %d", kind, binary.BigEndian.Uint32(rest))
	case k[0] == kindSection && len(rest) > 5:
		return fmt.Sprintf("%s %d of document %q", kind, binary.BigEndian.Uint32(rest[len(rest)-4:]), rest[:len(rest)-5])
	case k[0] == kindDocument:
		return strings.TrimPrefix(fmt.Sprintf("%s of document %q", kind, rest), "document of ")
	}
	return fmt.Sprintf("%s %q", kind, rest)
}

// openValue checks the checksum of key and value at the value's end, so that a
// value that lies under another's key is noticed too.
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
