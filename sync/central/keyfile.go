package central

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// ReadPrivateKey reads an Ed25519 key as MakeRootKey writes it.
func ReadPrivateKey(b []byte) (ed25519.PrivateKey, error) { return parseSigningKey(b) }

// ReadPublicKey reads an Ed25519 key as MakeRootKey writes it.
func ReadPublicKey(b []byte) (ed25519.PublicKey, error) {
	p, _ := pem.Decode(b)
	if p == nil {
		return nil, errors.New("is damaged")
	}
	k, err := x509.ParsePKIXPublicKey(p.Bytes)
	if err != nil {
		return nil, errors.New("is damaged")
	}
	pub, ok := k.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("is of another kind")
	}
	return pub, nil
}
