package trial

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Policy says what a promotion needs.
type Policy string

// Policies.
const (
	NeedsApproval Policy = "approval" // somebody signs each
	PatchAlone    Policy = "patch"    // a patch version is promoted without
)

// Approval is a person's word for a promotion, signed.
type Approval struct {
	Trial string `json:"trial"`
	// From and To are what the champion and the challenger have that the other has not, by
	// content, so that an approval holds at every site.
	From string    `json:"from"`
	To   string    `json:"to"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	// Signature by Ed25519 over the JSON of the others, in this order.
	Signature []byte `json:"signature,omitempty"`
}

func (a Approval) message() []byte {
	a.Signature, a.At = nil, a.At.UTC()
	b, _ := json.Marshal(a) // strings and a time alone
	return append([]byte("rxedge trial approval\n"), b...)
}

// Sign it.
func (a *Approval) Sign(key ed25519.PrivateKey) { a.Signature = ed25519.Sign(key, a.message()) }

// Errors of a promotion that may not be.
var (
	ErrNotPromoted = errors.New("the trial does not speak for the challenger")
	ErrNotApproved = errors.New("a promotion needs a signed approval")
)

// MayPromote says whether a challenger may take the champion's place: the verdict is
// for it, and it is approved by one of keys (by the name of whoever holds it), or a
// patch where those need none.
func MayPromote(p Policy, id string, v Verdict, from, to string, patch bool, a *Approval, keys map[string]ed25519.PublicKey) error {
	if v.Decision != Promote {
		return fmt.Errorf("%w: %s (%s)", ErrNotPromoted, v.Decision, v.Reason)
	}
	if a == nil {
		if p == PatchAlone && patch {
			return nil
		}
		return fmt.Errorf("%w: from %s to %s", ErrNotApproved, from, to)
	}
	key, ok := keys[a.By]
	switch {
	case !ok || len(key) != ed25519.PublicKeySize:
		return fmt.Errorf("%w: %q may not approve", ErrNotApproved, a.By)
	case a.Trial != id || a.From != from || a.To != to:
		return fmt.Errorf("%w: this one is for trial %s, from %s to %s", ErrNotApproved, a.Trial, a.From, a.To)
	case !ed25519.Verify(key, a.message(), a.Signature):
		return fmt.Errorf("%w: the signature of %q is not right", ErrNotApproved, a.By)
	}
	return nil
}

// IsPatch says of two versions such as 2.1.4 whether only the last number differs, and
// grows.
func IsPatch(from, to string) bool {
	a, b := strings.Split(from, "."), strings.Split(to, ".")
	if len(a) != 3 || len(b) != 3 || a[0] != b[0] || a[1] != b[1] {
		return false
	}
	var n [4]int
	for i, s := range []string{a[0], a[1], a[2], b[2]} {
		v, err := strconv.Atoi(s)
		if err != nil || v < 0 || s != strconv.Itoa(v) {
			return false
		}
		n[i] = v
	}
	return n[3] > n[2]
}
