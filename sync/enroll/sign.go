package enroll

import (
	"errors"
	"fmt"

	"github.com/nats-io/nkeys"
)

// A signed report is "RXS1", an Ed25519 signature by the site's own key, and the
// data. The signature is over signContext, the site, the kind and the data, so that
// a hub that passes on one site's as another's, or as of another kind, is found out.
const (
	signMagic     = "RXS1"
	signContext   = "rxedge report 1\n"
	signatureSize = 64
)

// ErrUnsigned: a report is not signed by the site that it is said to be of.
var ErrUnsigned = errors.New("it is not signed by this site's key")

func signedText(site, kind string, data []byte) []byte {
	return append([]byte(signContext+site+"\n"+kind+"\n"), data...)
}

// Sign a report of a kind by the site's key.
func (i *Identity) Sign(kind string, data []byte) ([]byte, error) {
	kp, err := nkeys.FromSeed([]byte(i.Seed))
	if err != nil {
		return nil, fmt.Errorf("the site's key is damaged: %w", err)
	}
	defer kp.Wipe()
	sig, err := kp.Sign(signedText(i.Site, kind, data))
	if err != nil {
		return nil, fmt.Errorf("signing a report: %w", err)
	}
	return append(append([]byte(signMagic), sig...), data...), nil
}

// CheckSigned gives the data of a report that Sign has signed for a site with the
// public key. The error is ErrUnsigned.
func CheckSigned(public, site, kind string, b []byte) ([]byte, error) {
	const head = len(signMagic) + signatureSize
	if len(b) < head || string(b[:len(signMagic)]) != signMagic {
		return nil, ErrUnsigned
	}
	kp, err := nkeys.FromPublicKey(public)
	if err != nil || kp.Verify(signedText(site, kind, b[head:]), b[len(signMagic):head]) != nil {
		return nil, ErrUnsigned
	}
	return b[head:], nil
}

// SignedData is the data of a report that was checked before.
func SignedData(b []byte) []byte { return b[min(len(b), len(signMagic)+signatureSize):] }
