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

// sealed is what a passphrase opens.
type sealed struct {
	// Files by their paths in the data folder.
	Files map[string][]byte `json:"files"`
	// Stores is the key that the records of stores are sealed to, where they are.
	Stores string `json:"stores,omitempty"`
}

// encrypt text to somebody, in the format of age, so that it can be had without rxedge.
func encrypt(text []byte, to age.Recipient) ([]byte, error) {
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

// Seal puts files into the backup as its secrets, before anything else. Where stores says
// so the records of stores are sealed as well from then on, but those of the index.
func (w *Writer) Seal(files map[string][]byte, stores bool, passphrase string) error {
	s := sealed{Files: files}
	if stores {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return fmt.Errorf("sealing the stores: %w", err)
		}
		s.Stores, w.to = id.String(), id.Recipient()
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return fmt.Errorf("sealing the secrets: %w", err)
	}
	to.SetWorkFactor(WorkFactor)
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("sealing the secrets: %w", err)
	}
	b, err := encrypt(text, to)
	if err != nil {
		return fmt.Errorf("sealing the secrets: %w", err)
	}
	return w.Bytes(SecretsName, b)
}

// unseal what a passphrase opens. The error is ErrPassphrase where it does not.
func unseal(b []byte, passphrase string) (s sealed, stores age.Identity, err error) {
	who, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return s, nil, err
	}
	who.SetMaxWorkFactor(20) // what a file asks for must not hold up a box for minutes
	text, err := decrypt(b, who)
	if err != nil {
		var no *age.NoIdentityMatchError
		if errors.As(err, &no) {
			return s, nil, ErrPassphrase
		}
		return s, nil, &DamagedError{SecretsName, err.Error()}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, nil, &DamagedError{SecretsName, "it does not parse"}
	}
	for name := range s.Files {
		if err := checkPath(name); err != nil {
			return s, nil, &DamagedError{fmt.Sprintf("%s, %.200q", SecretsName, name), err.Error()}
		}
	}
	if s.Stores != "" {
		if stores, err = age.ParseX25519Identity(s.Stores); err != nil {
			return s, nil, &DamagedError{SecretsName, "the key of the stores can't be read"}
		}
	}
	return s, stores, nil
}

func decrypt(b []byte, who age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(b), who)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxSmall))
}
