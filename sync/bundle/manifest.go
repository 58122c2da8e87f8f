package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of what comes from outside.
const (
	// ChunkSize is what of a model file travels as one; a chunk in flight is what
	// a kill costs, and what a message behind it waits for on a slow line.
	ChunkSize = 64 << 10
	// MaxChunk is the most bytes of any chunk as it travels.
	MaxChunk    = 320 << 10
	MaxManifest = 960 << 10 // some 60,000 labels
	maxPackRaw  = 1 << 20
	maxPacks    = 100_000
	maxFile     = int64(1) << 40
)

// Format of a manifest, and Schema of the documents in it.
const (
	Format = 1
	Schema = 1
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// HashOf b.
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return errors.New("not a SHA-256")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Manifest is one bundle: all that a site of the channel should have. What a
// site has to fetch follows from what it has.
type Manifest struct {
	Format  int       `json:"format"`
	Channel string    `json:"channel"`
	Number  int64     `json:"number"` // greater than any before it in the channel
	Created time.Time `json:"created"`
	Note    string    `json:"note,omitempty"`

	Requires  Requires   `json:"requires"`
	Documents *Documents `json:"documents,omitempty"`
	// Withdrawn are ids of documents that no site may have, however it got them.
	Withdrawn []string   `json:"withdrawn,omitempty"`
	Artefacts []Artefact `json:"artefacts,omitempty"`
	Vectors   []Vectors  `json:"vectors,omitempty"`
}

// Requires says who can use it.
type Requires struct {
	Rxedge   string   `json:"rxedge,omitempty"` // at least, such as 0.2.0
	Schema   int      `json:"schema"`           // of the documents
	Embedder *Hash    `json:"embedder,omitempty"`
	Profiles []string `json:"profiles,omitempty"` // none: all
}

// Documents is a tree of content: pages list documents, items list the parts of
// one, and all of these lie in packs.
type Documents struct {
	Count int    `json:"count"`
	Packs []Pack `json:"packs"`
	Pages []Ref  `json:"pages"`
}

func (d *Documents) check() error {
	if d.Count < 0 || len(d.Packs) > maxPacks || len(d.Pages) > d.Count {
		return errors.New("documents")
	}
	for _, r := range d.Pages {
		if int(r.Pack) >= len(d.Packs) || d.Packs[r.Pack].Size == 0 {
			return errors.New("page")
		}
	}
	return nil
}

// Pack is a chunk that holds many objects, compressed. The zero Pack is a hole:
// what lay there is no longer part of the set, and the others keep their places.
type Pack struct {
	Hash Hash
	Size int // as it travels
	Raw  int
}

// MarshalText implements encoding.TextMarshaler.
func (p Pack) MarshalText() ([]byte, error) {
	if p.Size == 0 {
		return []byte{}, nil
	}
	b := binary.AppendUvarint(append([]byte(nil), p.Hash[:]...), uint64(p.Size))
	return base64.RawStdEncoding.AppendEncode(nil, binary.AppendUvarint(b, uint64(p.Raw))), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Pack) UnmarshalText(text []byte) error {
	*p = Pack{}
	if len(text) == 0 {
		return nil
	}
	b, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil || len(b) < len(p.Hash) {
		return errors.New("not a pack")
	}
	b = b[copy(p.Hash[:], b):]
	for _, v := range []*int{&p.Size, &p.Raw} {
		u, n := binary.Uvarint(b)
		if n <= 0 || u < 1 || u > maxPackRaw {
			return errors.New("not a pack")
		}
		*v, b = int(u), b[n:]
	}
	if len(b) > 0 || p.Size > MaxChunk {
		return errors.New("not a pack")
	}
	return nil
}

// Ref is where an object lies, and a hash of its content, by which sets are
// compared: of a part the SHA-256 of its bytes, of an item that of its parts'
// hashes, of a page that of its documents' ids and hashes.
type Ref struct {
	Hash  Hash
	Pack  uint32 // index in Documents.Packs
	Index uint32 // in the pack
}

func (r Ref) append(b []byte) []byte {
	b = append(b, r.Hash[:]...)
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.Pack)), uint64(r.Index))
}

func readRef(b []byte) (Ref, []byte, error) {
	var r Ref
	if len(b) < len(r.Hash) {
		return r, nil, io.ErrUnexpectedEOF
	}
	b = b[copy(r.Hash[:], b):]
	for _, v := range []*uint32{&r.Pack, &r.Index} {
		u, n := binary.Uvarint(b)
		if n <= 0 || u > 1<<30 {
			return r, nil, io.ErrUnexpectedEOF
		}
		*v, b = uint32(u), b[n:]
	}
	return r, b, nil
}

// MarshalText implements encoding.TextMarshaler.
func (r Ref) MarshalText() ([]byte, error) {
	return base64.RawStdEncoding.AppendEncode(nil, r.append(nil)), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Ref) UnmarshalText(text []byte) error {
	b, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	v, rest, err := readRef(b)
	if err != nil || len(rest) > 0 {
		return errors.New("not a reference")
	}
	*r = v
	return nil
}

// Kinds of artefacts.
const (
	KindModel   = "model"
	KindAdapter = "adapter"
	KindProfile = "profile"
	KindGolden  = "golden" // questions that a site asks itself before it uses the bundle
	// KindTrial is a plan by which a site tries the bundle beside what serves, and
	// KindApproval somebody's signed word that it may take its place.
	KindTrial    = "trial"
	KindApproval = "approval"
	// KindThresholds is a proposal of the guard's thresholds by cohort, with its approval.
	KindThresholds = "thresholds"
)

// MaxGolden is the most bytes of a file of golden questions, MaxPlan that of a plan or
// an approval.
const (
	MaxGolden = 8 << 20
	MaxPlan   = 64 << 10
)

var mostOf = map[string]int64{KindModel: maxFile, KindAdapter: maxFile, KindProfile: maxFile, KindGolden: MaxGolden, KindTrial: MaxPlan, KindApproval: MaxPlan, KindThresholds: MaxPlan}

// Artefact is a file: a model, an adapter, a firmware profile, golden questions, a plan
// of a trial, an approval.
type Artefact struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Version for people; where nobody gave one, the number of the bundle that
	// brought these bytes.
	Version string `json:"version,omitempty"`
	Size    int64  `json:"size"`
	SHA256  Hash   `json:"sha256"`
	// Lists are chunks that hold the hashes of the file's chunks, in order, each
	// of ChunkSize but the last.
	Lists []Hash `json:"lists"`
}

// hashesPerList is how many hashes a list has, but the last.
const hashesPerList = ChunkSize / sha256.Size

// Chunks of the file.
func (a *Artefact) Chunks() int64 { return (a.Size + ChunkSize - 1) / ChunkSize }

// Compiled when first used: a box that is not enrolled needs none.
var (
	validName    = pattern(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	validVersion = pattern(`^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$`)
	validChannel = pattern(`^[a-z0-9][a-z0-9-]{0,31}$`)
)

func pattern(s string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(s) })
}

// MaxID is the length of a document's id in bytes.
const MaxID = 512

// ParseManifest reads a manifest that has been verified, and still believes
// nothing of it. The error is an *Error.
func ParseManifest(b []byte) (*Manifest, error) {
	bad := func(format string, args ...any) (*Manifest, error) {
		return nil, refuse(BadManifest, nil, "the manifest is not well formed: "+format, args...)
	}
	if len(b) > MaxManifest {
		return nil, refuse(TooLarge, nil, "the manifest has %d bytes; the most is %d", len(b), MaxManifest)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&m); err != nil {
		return nil, refuse(BadManifest, err, "the manifest can't be read")
	}
	if m.Format != Format {
		return nil, refuse(NeedsRxedge, nil, "the manifest is of format %d; this rxedge reads %d", m.Format, Format)
	}
	switch {
	case dec.More():
		return bad("there is more behind it")
	case !validChannel().MatchString(m.Channel):
		return bad("channel")
	case m.Number < 1:
		return bad("number %d", m.Number)
	case m.Created.IsZero():
		return bad("no time")
	case m.Requires.Rxedge != "" && !validVersion().MatchString(m.Requires.Rxedge):
		return bad("version of rxedge")
	case len(m.Note) > 1000:
		return bad("note")
	}
	for _, p := range m.Requires.Profiles {
		if !validName().MatchString(p) {
			return bad("profile")
		}
	}
	for _, id := range m.Withdrawn {
		if id == "" || len(id) > MaxID {
			return bad("withdrawn id")
		}
	}
	if m.Documents != nil {
		if err := m.Documents.check(); err != nil {
			return bad("%v", err)
		}
	}
	if err := m.checkVectors(); err != nil {
		return bad("%v", err)
	}
	seen := map[string]bool{}
	for _, a := range m.Artefacts {
		switch {
		case !validName().MatchString(a.Name) || strings.Contains(a.Name, ".."):
			return bad("name of an artefact")
		case mostOf[a.Kind] == 0:
			return bad("kind of an artefact")
		case a.Version != "" && !validName().MatchString(a.Version):
			return bad("version of an artefact")
		case a.Size < 1 || a.Size > mostOf[a.Kind]:
			return bad("size of an artefact")
		case int64(len(a.Lists)) != (a.Chunks()+hashesPerList-1)/hashesPerList:
			return bad("chunks of an artefact")
		case seen[a.Kind+"/"+a.Name]:
			return bad("two artefacts of one name")
		}
		seen[a.Kind+"/"+a.Name] = true
	}
	return &m, nil
}

// Facts of the site that a bundle must suit.
type Facts struct {
	Rxedge   string // version
	Profile  string // firmware profile
	Embedder *Hash
	// NoVectors: it makes its own, whatever is published.
	NoVectors bool
}

// Suits says whether the site can use it; the error is an *Error.
func (m *Manifest) Suits(f Facts) error {
	r := m.Requires
	if r.Rxedge != "" && compareVersions(f.Rxedge, r.Rxedge) < 0 {
		return refuse(NeedsRxedge, nil, "it needs rxedge %s; this is %s", r.Rxedge, f.Rxedge)
	}
	if m.Documents != nil && r.Schema != Schema {
		return refuse(NeedsSchema, nil, "its documents are in form %d; this rxedge reads %d", r.Schema, Schema)
	}
	if r.Embedder != nil && (f.Embedder == nil || *f.Embedder != *r.Embedder) {
		return refuse(NeedsEmbedder, nil, "its vectors are of the embedder %.12s…, which this box does not use", r.Embedder)
	}
	if len(r.Profiles) > 0 {
		for _, p := range r.Profiles {
			if p == f.Profile {
				return nil
			}
		}
		return refuse(WrongProfile, nil, "it is for the profiles %s; this box is %q", strings.Join(r.Profiles, ", "), f.Profile)
	}
	return nil
}

func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i])
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i])
		}
		if m != n {
			return m - n
		}
	}
	return 0
}

// TargetPath of a bundle in the signed metadata.
func TargetPath(channel string, number int64) string {
	return fmt.Sprintf("%s/%d.json", channel, number)
}

// ParseTargetPath is the reverse; ok is false for what is none of these.
func ParseTargetPath(p string) (channel string, number int64, ok bool) {
	channel, rest, found := strings.Cut(p, "/")
	digits, json := strings.CutSuffix(rest, ".json")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !found || !json || err != nil || n < 1 || strconv.FormatInt(n, 10) != digits || !validChannel().MatchString(channel) {
		return "", 0, false
	}
	return channel, n, true
}

// EncodeManifest writes it, or says that it is too large.
func EncodeManifest(m *Manifest) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("the manifest has %d bytes, the most is %d: split the set over channels, or publish fewer documents", len(b), MaxManifest)
	}
	return b, nil
}
