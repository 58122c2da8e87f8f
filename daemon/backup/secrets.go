package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// LeastPassphrase is how many characters a passphrase has at least.
const LeastPassphrase = 12

// ErrPassphrase: the passphrase does not open what was sealed.
var ErrPassphrase = errors.New("the passphrase does not open the secrets of this backup")

// WorkFactor of scrypt, as a power of two: a second of one core and 256 MB. A test makes
// it smaller before anything is sealed.
var WorkFactor = 18

// CheckPassphrase says what is wrong with a new one.
func CheckPassphrase(p string) error {
	if len([]rune(p)) < LeastPassphrase {
		return fmt.Errorf("a passphrase has %d characters at least: whoever gets the backup may try as many as they like", LeastPassphrase)
	}
	return nil
}

// seal files, by their paths in the data folder, with a passphrase; in the format of age,
// so that they can be had without rxedge.
func seal(files map[string][]byte, passphrase string) ([]byte, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	to.SetWorkFactor(WorkFactor)
	text, err := json.Marshal(files)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Seal puts files into the backup as its secrets.
func (w *Writer) Seal(files map[string][]byte, passphrase string) error {
	b, err := seal(files, passphrase)
	if err != nil {
		return fmt.Errorf("sealing the secrets: %w", err)
	}
	return w.Bytes(SecretsName, b)
}

// unseal is seal the other way round.
func unseal(sealed []byte, passphrase string) (map[string][]byte, error) {
	who, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	who.SetMaxWorkFactor(20) // what a file asks for must not hold up a box for minutes
	r, err := age.Decrypt(bytes.NewReader(sealed), who)
	if err != nil {
		var no *age.NoIdentityMatchError
		if errors.As(err, &no) {
			return nil, ErrPassphrase
		}
		return nil, &DamagedError{SecretsName, err.Error()}
	}
	text, err := io.ReadAll(io.LimitReader(r, maxSmall))
	if err != nil {
		return nil, &DamagedError{SecretsName, err.Error()}
	}
	var files map[string][]byte
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, &DamagedError{SecretsName, "it does not parse"}
	}
	for name := range files {
		if err := checkPath(name); err != nil {
			return nil, &DamagedError{fmt.Sprintf("%s, %.200q", SecretsName, name), err.Error()}
		}
	}
	return files, nil
}
