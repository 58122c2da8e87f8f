package central

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rxedge/sync/durable"
)

// The root is renewed by people: 'next' writes the next one, unsigned; two of the
// three who keep root keys sign it where their keys are; 'publish' checks it by the
// keys of before and of now, and puts it beside the others. Sites follow the
// chain of roots, also one that was away while several came.

// RootFacts for people.
type RootFacts struct {
	Version   int64               `json:"version"`
	Expires   time.Time           `json:"expires"`
	Keys      map[string][]string `json:"keys"` // ids by role
	Threshold int                 `json:"threshold"`
	Signed    []string            `json:"signed"` // ids of root keys with a good signature
}

// RootChange is what the next root has otherwise.
type RootChange struct {
	// Rotate are roles whose key is replaced by a new one, made here: targets,
	// snapshot, timestamp. The old key counts for nothing once it is published.
	Rotate []string
	// Drop is the id of a root key that was lost or stolen, Add a public key (PEM)
	// in its place; "": none.
	Drop, Add string
}

// ErrRoot: a root was refused.
var ErrRoot = errors.New("the root was refused")

func (f *Folder) latestRoot() (*metadata.Metadata[metadata.RootType], error) {
	b, _, err := f.anchor()
	if err != nil {
		return nil, err
	}
	return metadata.Root().FromBytes(b)
}

// Root that sites follow now.
func (f *Folder) Root() (RootFacts, error) {
	r, err := f.latestRoot()
	if err != nil {
		return RootFacts{}, err
	}
	return factsOf(r), nil
}

func factsOf(r *metadata.Metadata[metadata.RootType]) RootFacts {
	x := RootFacts{Version: r.Signed.Version, Expires: r.Signed.Expires, Keys: map[string][]string{}}
	for name, role := range r.Signed.Roles {
		x.Keys[name] = slices.Sorted(slices.Values(role.KeyIDs))
	}
	if role := r.Signed.Roles[metadata.ROOT]; role != nil {
		x.Threshold = role.Threshold
		b, err := r.ToBytes(false)
		if err != nil {
			return x
		}
		by, err := metadata.Root().FromBytes(b)
		if err != nil {
			return x
		}
		by.Signed.Roles[metadata.ROOT].Threshold = 1 // each signature is asked after by itself
		one := *r
		for _, s := range r.Signatures {
			one.Signatures = []metadata.Signature{s}
			if slices.Contains(role.KeyIDs, s.KeyID) && by.VerifyDelegate(metadata.ROOT, &one) == nil {
				x.Signed = append(x.Signed, s.KeyID)
			}
		}
	}
	return x
}

// NextRoot is the next root, unsigned. New keys of roles lie in tuf/keys beside
// the old ones until it is published.
func (f *Folder) NextRoot(c RootChange) ([]byte, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	root, err := f.latestRoot()
	if err != nil {
		return nil, err
	}
	root.Signed.Version++
	root.Signed.Expires = f.expires(rootValid)
	root.ClearSignatures()
	for _, role := range c.Rotate {
		if role != metadata.TARGETS && role != metadata.SNAPSHOT && role != metadata.TIMESTAMP {
			return nil, fmt.Errorf("%w: there is no role %q; it is targets, snapshot or timestamp", ErrRoot, role)
		}
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		mk, err := metadata.KeyFromPublicKey(key.Public())
		if err != nil {
			return nil, err
		}
		for _, id := range slices.Clone(root.Signed.Roles[role].KeyIDs) {
			if err := root.Signed.RevokeKey(id, role); err != nil {
				return nil, err
			}
		}
		if err := root.Signed.AddKey(mk, role); err != nil {
			return nil, err
		}
		if err := f.saveSigningKey("tuf/keys/"+role+".next", key); err != nil {
			return nil, err
		}
	}
	if c.Drop != "" || c.Add != "" {
		if err := root.Signed.RevokeKey(c.Drop, metadata.ROOT); err != nil {
			return nil, fmt.Errorf("%w: %q is no root key: %w", ErrRoot, c.Drop, err)
		}
		p, _ := pem.Decode([]byte(c.Add))
		if p == nil {
			return nil, fmt.Errorf("%w: the new public key can't be read", ErrRoot)
		}
		pub, err := x509.ParsePKIXPublicKey(p.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: the new public key can't be read: %w", ErrRoot, err)
		}
		mk, err := metadata.KeyFromPublicKey(crypto.PublicKey(pub))
		if err != nil {
			return nil, err
		}
		if err := root.Signed.AddKey(mk, metadata.ROOT); err != nil {
			return nil, err
		}
	}
	return root.ToBytes(true)
}

// ReadRoot tells what is in a root file.
func ReadRoot(b []byte) (RootFacts, error) {
	r, err := metadata.Root().FromBytes(b)
	if err != nil {
		return RootFacts{}, fmt.Errorf("%w: the file can't be read: %w", ErrRoot, err)
	}
	return factsOf(r), nil
}

// SignRoot adds a signature by a root key (PEM). It needs no folder, so that it
// can be done on the machine that the key never leaves.
func SignRoot(root, key []byte) ([]byte, error) {
	r, err := metadata.Root().FromBytes(root)
	if err != nil {
		return nil, fmt.Errorf("%w: the file can't be read: %w", ErrRoot, err)
	}
	k, err := parseSigningKey(key)
	if err != nil {
		return nil, fmt.Errorf("the root key %w", err)
	}
	mk, err := metadata.KeyFromPublicKey(k.Public())
	if err != nil {
		return nil, err
	}
	id, err := mk.ID()
	if err != nil {
		return nil, err
	}
	r.Signatures = slices.DeleteFunc(r.Signatures, func(s metadata.Signature) bool { return s.KeyID == id })
	if err := sign(r, k); err != nil {
		return nil, err
	}
	return r.ToBytes(true)
}

// MakeRootKey makes a root key for who keeps it: private and public, PEM.
func MakeRootKey() (private, public []byte, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	pd, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pd}), nil
}

// PublishRoot takes the next root into use: it is signed by enough keys of the
// root before it and of its own. Cut off, it can be done again. Push gives it to
// the hub.
func (f *Folder) PublishRoot(b []byte) (RootFacts, error) {
	unlock, err := f.lock()
	if err != nil {
		return RootFacts{}, err
	}
	defer unlock()
	next, err := metadata.Root().FromBytes(b)
	if err != nil {
		return RootFacts{}, fmt.Errorf("%w: the file can't be read: %w", ErrRoot, err)
	}
	now, err := f.latestRoot()
	if err != nil {
		return RootFacts{}, err
	}
	path := f.path(fmt.Sprintf("tuf/repo/%d.root.json", next.Signed.Version))
	if have, err := os.ReadFile(path); err != nil || string(have) != string(b) || next.Signed.Version != now.Signed.Version {
		if next.Signed.Version != now.Signed.Version+1 {
			return RootFacts{}, fmt.Errorf("%w: it is version %d, and the next is %d", ErrRoot, next.Signed.Version, now.Signed.Version+1)
		}
		if !next.Signed.Expires.After(f.now()) {
			return RootFacts{}, fmt.Errorf("%w: it ran out on %s", ErrRoot, next.Signed.Expires.Format(time.DateOnly))
		}
		if err := now.VerifyDelegate(metadata.ROOT, next); err != nil {
			return RootFacts{}, fmt.Errorf("%w: it is not signed by enough of the root keys of before: %w", ErrRoot, err)
		}
		if err := next.VerifyDelegate(metadata.ROOT, next); err != nil {
			return RootFacts{}, fmt.Errorf("%w: it is not signed by enough of its own root keys: %w", ErrRoot, err)
		}
		for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
			if _, err := f.keyOf(next, role); err != nil {
				return RootFacts{}, err
			}
		}
		if err := durable.Write(path, b); err != nil {
			return RootFacts{}, err
		}
	}
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		name, err := f.keyOf(next, role)
		if err != nil {
			return RootFacts{}, err
		}
		if name != "tuf/keys/"+role {
			if err := os.Rename(f.path(name+".key"), f.path("tuf/keys/"+role+".key")); err != nil {
				return RootFacts{}, err
			}
		}
	}
	if err := durable.SyncDir(f.path("tuf/keys")); err != nil {
		return RootFacts{}, err
	}
	r, err := f.repository()
	if err != nil {
		return RootFacts{}, err
	}
	r.targets.Signed.Version++
	r.snapshot.Signed.Version++
	r.timestamp.Signed.Version++
	r.targets.Signed.Expires = f.expires(targetsValid)
	return factsOf(next), f.release(r.targets, r.snapshot, r.timestamp)
}

// keyOf finds the signing key that a root names for a role: the one in use, or
// the one that NextRoot made.
func (f *Folder) keyOf(root *metadata.Metadata[metadata.RootType], role string) (string, error) {
	for _, name := range []string{"tuf/keys/" + role, "tuf/keys/" + role + ".next"} {
		k, err := f.signingKey(name)
		if err != nil {
			continue
		}
		mk, err := metadata.KeyFromPublicKey(k.Public())
		if err != nil {
			return "", err
		}
		id, err := mk.ID()
		if err != nil {
			return "", err
		}
		if slices.Contains(root.Signed.Roles[role].KeyIDs, id) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: the key that it names for %s is not in tuf/keys here", ErrRoot, role)
}
