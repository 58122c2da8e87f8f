package enroll

import (
	"bytes"
	"errors"
	"testing"

	"github.com/nats-io/nkeys"

	"rxedge/sync/link"
)

func TestSignedReports(t *testing.T) {
	t.Parallel()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err1 := kp.Seed()
	public, err2 := kp.PublicKey()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	id := &Identity{Site: "pharmacy-17", Credentials: link.Credentials{Seed: string(seed)}}
	b, err := id.Sign("window", []byte("numbers"))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := CheckSigned(public, "pharmacy-17", "window", b); err != nil || !bytes.Equal(data, []byte("numbers")) {
		t.Fatal(data, err)
	}
	other, _ := nkeys.CreateUser()
	theirs, _ := other.PublicKey()
	for name, bad := range map[string]func() ([]byte, error){
		"another site's": func() ([]byte, error) { return CheckSigned(public, "pharmacy-18", "window", b) },
		"another kind":   func() ([]byte, error) { return CheckSigned(public, "pharmacy-17", "alarm", b) },
		"another key":    func() ([]byte, error) { return CheckSigned(theirs, "pharmacy-17", "window", b) },
		"no key":         func() ([]byte, error) { return CheckSigned("", "pharmacy-17", "window", b) },
		"not signed":     func() ([]byte, error) { return CheckSigned(public, "pharmacy-17", "window", []byte("numbers")) },
		"a changed byte": func() ([]byte, error) {
			c := bytes.Clone(b)
			c[len(c)-1]++
			return CheckSigned(public, "pharmacy-17", "window", c)
		},
		"a cut signature": func() ([]byte, error) { return CheckSigned(public, "pharmacy-17", "window", b[:40]) },
	} {
		if _, err := bad(); !errors.Is(err, ErrUnsigned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (&Identity{}).Sign("window", nil); err == nil {
		t.Error("signed without a key")
	}
}
