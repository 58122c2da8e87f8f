// Package bundle is what travels from the centre to a site: signed sets of
// documents and model files, their form, how they are built, checked, fetched
// and kept. See ../DESIGN.md.
package bundle

import (
	"errors"
	"fmt"
)

// Code says why something was refused. It is what the centre sees.
type Code string

// Codes of refusals. ../DESIGN.md has the table with what each asks of people.
const (
	Unsigned         Code = "unsigned"          // not signed by enough of the keys that the root names
	Rollback         Code = "rollback"          // older signed metadata than this site has seen
	Replay           Code = "replay"            // older than what was there when the site was enrolled
	Expired          Code = "expired"           // signed metadata that has run out: a freeze, or a clock ahead
	Mixed            Code = "mixed"             // files of different releases put together
	TamperedMetadata Code = "tampered_metadata" // metadata that is no metadata, or of the wrong kind
	TamperedManifest Code = "tampered_manifest" // a manifest that is not the one that was signed
	TamperedChunk    Code = "tampered_chunk"    // a chunk that is not the one that the manifest names
	MissingChunk     Code = "missing_chunk"     // the hub does not have it
	MissingMetadata  Code = "missing_metadata"  // the hub does not have what was announced
	TooLarge         Code = "too_large"         // more than was announced, or than is allowed
	BadManifest      Code = "bad_manifest"      // signed, and not well formed
	BadContent       Code = "bad_content"       // signed and whole, and does not hold what it should
	WrongChannel     Code = "wrong_channel"     // made for another channel
	WrongProfile     Code = "wrong_profile"     // made for other firmware profiles
	NeedsRxedge      Code = "needs_rxedge"      // made for a newer rxedge
	NeedsSchema      Code = "needs_schema"      // documents in a form that this rxedge does not read
	NeedsEmbedder    Code = "needs_embedder"    // vectors of another embedder
	Downgrade        Code = "downgrade"         // a number below the active one
	NoRoom           Code = "no_room"           // the disk
	NotApplied       Code = "not_applied"       // the site could not put it to use
	BadGate          Code = "bad_gate"          // gates that are signed, and not well formed
	NotValidated     Code = "not_validated"     // the site's checks said no before it was served
	RolledBack       Code = "rolled_back"       // it was served, and taken back
	OtherEmbedder    Code = "other_embedder"    // of vectors: this site makes its own
	BadVectors       Code = "bad_vectors"       // vectors that are signed, and not what they should be
)

// Error is a refusal.
type Error struct {
	Code   Code
	Reason string // for people; names no internals
	Err    error  // cause, or nil
}

func (e *Error) Error() string { return fmt.Sprintf("refused (%s): %s", e.Code, e.Reason) }
func (e *Error) Unwrap() error { return e.Err }

func refuse(c Code, err error, format string, args ...any) *Error {
	return &Error{Code: c, Reason: fmt.Sprintf(format, args...), Err: err}
}

// CodeOf err; "" where it is no refusal but, say, a link that is down.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// ErrNotFound is what a Source answers where it does not have something.
var ErrNotFound = errors.New("not there")
