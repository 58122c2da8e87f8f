package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"rxedge/sync/durable"
	"rxedge/sync/link"
)

// Request is what a box asks on "enroll.SITE".
type Request struct {
	PublicKey string `json:"public_key"` // nkey of the user
	CSR       string `json:"csr"`        // PEM
}

// Reply to it. Code is "" where the box is now the site.
type Reply struct {
	Code        string `json:"code,omitempty"`
	Reason      string `json:"reason,omitempty"`
	JWT         string `json:"jwt,omitempty"`
	Certificate string `json:"certificate,omitempty"` // PEM
}

// Codes of a refusal.
const (
	CodeClaimUsed    = "claim_used"    // another box has used it
	CodeClaimExpired = "claim_expired" // its time is over
	CodeClaimUnknown = "claim_unknown" // the site was taken out, or claimed anew
	CodeBadRequest   = "bad_request"
	CodeInternal     = "internal"
)

// RefusedError is the centre's no.
type RefusedError struct{ Code, Reason string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the centre refused the enrolment (%s): %s", e.Code, e.Reason)
}

// Subject of a site's request.
func Subject(site string) string { return "enroll." + site }

// Options of Claim.
type Options struct {
	Proxy string
	Now   func() time.Time // nil: time.Now
	Seal  *durable.Seal    // nil: secrets are kept in the clear
}

// Claim makes the box whose sync folder is dir the site of f. The keys are made
// here and never leave; they are on disk before anything is asked, so that a
// claim whose answer was lost can be made again.
func Claim(ctx context.Context, dir string, f *File, opt Options) (*Identity, error) {
	now := time.Now
	if opt.Now != nil {
		now = opt.Now
	}
	if now().After(f.Expires) {
		return nil, &RefusedError{CodeClaimExpired, "the file was good until " + f.Expires.Format(time.RFC3339) + "; ask the centre for a new one, or mend this box's clock"}
	}
	keys, err := makeKeys(dir, f.Site, opt.Seal)
	if err != nil {
		return nil, err
	}
	pub, err := keys.public()
	if err != nil {
		return nil, err
	}
	csr, err := keys.csr(f.Site)
	if err != nil {
		return nil, err
	}
	cfg := link.Config{Name: f.Site, Hubs: f.Hubs, CA: f.CA, Credentials: f.Claim, Proxy: opt.Proxy, Now: func() time.Time { return later(now(), f.Issued) }}
	nc, err := link.Connect(cfg, false, nats.CustomInboxPrefix("_INBOX_claim_"+f.Site))
	if err != nil {
		return nil, fmt.Errorf("reaching the hub %v: %w", f.Hubs, err)
	}
	defer nc.Close()
	b, err := json.Marshal(Request{PublicKey: pub, CSR: csr})
	if err != nil {
		return nil, err
	}
	msg, err := nc.RequestWithContext(ctx, Subject(f.Site), b)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, errors.New("the hub is there, and nobody answers enrolments at it; is 'rxedge central hub' running?")
	}
	if err != nil {
		return nil, fmt.Errorf("asking to be enrolled: %w", err)
	}
	var r Reply
	if err := json.Unmarshal(msg.Data, &r); err != nil {
		return nil, errors.New("the hub's answer can't be read")
	}
	if r.Code != "" {
		return nil, &RefusedError{r.Code, r.Reason}
	}
	id := &Identity{Site: f.Site, Channel: f.Channel, Hubs: f.Hubs, CA: f.CA,
		Credentials: link.Credentials{JWT: r.JWT, Seed: keys.Seed, Certificate: r.Certificate, Key: keys.Key},
		Root:        f.Root, Floor: f.Floor, Issued: f.Issued, Enrolled: now().UTC()}
	if err := id.Save(dir, opt.Seal); err != nil {
		return nil, err
	}
	return id, os.Remove(filepath.Join(dir, keysFile))
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

const keysFile = "claim-keys.json"

type keys struct {
	Site string `json:"site"`
	Seed string `json:"seed"`
	Key  string `json:"key"` // PEM
}

// makeKeys makes the site's keys, or takes those of a claim that was cut off.
func makeKeys(dir, site string, seal *durable.Seal) (*keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, keysFile)
	if b, err := seal.Read(path); err == nil {
		var k keys
		if json.Unmarshal(b, &k) == nil && k.Site == site {
			return &k, nil
		}
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	seed, err := user.Seed()
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	k := &keys{Site: site, Seed: string(seed), Key: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
	b, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	return k, seal.Write(path, b)
}

func (k *keys) public() (string, error) {
	kp, err := nkeys.FromSeed([]byte(k.Seed))
	if err != nil {
		return "", err
	}
	return kp.PublicKey()
}

func (k *keys) csr(site string) (string, error) {
	block, _ := pem.Decode([]byte(k.Key))
	if block == nil {
		return "", errors.New("the key can't be read")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: site}}, key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}
