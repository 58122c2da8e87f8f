package document

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Hash returns the SHA-256, in hexadecimal, of everything in d but Source: two
// documents of one hash say the same, wherever they were read from.
func Hash(d *Document) string {
	c := *d
	c.Source = ""
	h := sha256.New()
	// Struct fields are encoded in their order of declaration, so this form is
	// canonical; encoding strings, numbers and slices of them cannot fail.
	_ = json.NewEncoder(h).Encode(&c)
	return hex.EncodeToString(h.Sum(nil))
}
