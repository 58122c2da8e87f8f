package bundle

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// File is an artefact of a staged bundle, as it is handed to whoever puts it to
// use. Its bytes were those of SHA256 when it got its name; it is not to be changed.
type File struct {
	Artefact
	Path string
	// Bundle that brought it to this site, and the ids of the keys that signed it,
	// by the root that this site trusts.
	Bundle int64
	Signed []string
}

// Files of the bundle in the order of its manifest. The error is ErrNotFound, or
// of the code TamperedChunk, where this disk has lost one: see Receiver.Discard.
func (s *Staged) Files() ([]File, error) {
	signed, err := s.r.trust.signers()
	if err != nil {
		return nil, err
	}
	var out []File
	for _, a := range s.Set.Manifest.Artefacts {
		f := File{Artefact: a, Path: s.Artefact(a), Bundle: s.Number, Signed: signed}
		fi, err := os.Stat(f.Path)
		if err != nil {
			return nil, fmt.Errorf("%s of bundle %d: %w", a.Name, s.Number, ErrNotFound)
		}
		if fi.Size() != a.Size {
			return nil, refuse(TamperedChunk, nil, "%s of bundle %d has %d bytes on this disk; it is to have %d", a.Name, s.Number, fi.Size(), a.Size)
		}
		out = append(out, f)
	}
	return out, nil
}

// TargetsKeys are the public keys, hex, that the root of this site names for targets.
func (r *Receiver) TargetsKeys() (map[string]bool, error) {
	r.trust.mu.RLock()
	b := r.trust.kept.Root
	r.trust.mu.RUnlock()
	root, err := metadata.Root().FromBytes(b)
	if err != nil {
		return nil, fmt.Errorf("the root of this site: %w", err)
	}
	out := map[string]bool{}
	if role := root.Signed.Roles[metadata.TARGETS]; role != nil {
		for _, id := range role.KeyIDs {
			if k := root.Signed.Keys[id]; k != nil {
				out[k.Value.PublicKey] = true
			}
		}
	}
	return out, nil
}

// signers are the ids of the keys whose signatures of the targets are good.
func (t *trust) signers() ([]string, error) {
	t.mu.RLock()
	k := t.kept
	t.mu.RUnlock()
	root, err := metadata.Root().FromBytes(k.Root)
	if err != nil {
		return nil, fmt.Errorf("the root of this site: %w", err)
	}
	m, err := metadata.Targets().FromBytes(k.Targets)
	if err != nil {
		return nil, fmt.Errorf("the signed metadata of this site: %w", err)
	}
	role := root.Signed.Roles[metadata.TARGETS]
	if role == nil {
		return nil, refuse(TamperedMetadata, nil, "the root names no key for targets")
	}
	role.Threshold = 1 // of a copy: each signature is asked after by itself
	ids := map[string]bool{}
	all := m.Signatures
	for _, s := range all {
		m.Signatures = []metadata.Signature{s}
		if slices.Contains(role.KeyIDs, s.KeyID) && root.VerifyDelegate(metadata.TARGETS, m) == nil {
			ids[s.KeyID] = true
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}
