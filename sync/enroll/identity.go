package enroll

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"rxedge/sync/durable"
	"rxedge/sync/link"
)

// Identity is who a site is. It lies in DIR/site.json, mode 0600.
type Identity struct {
	Site    string   `json:"site"`
	Channel string   `json:"channel"`
	Hubs    []string `json:"hubs"`
	CA      string   `json:"ca"`
	link.Credentials
	Root     json.RawMessage `json:"root"`
	Floor    int64           `json:"floor"`
	Issued   time.Time       `json:"issued"`
	Enrolled time.Time       `json:"enrolled"`
}

// ErrNotEnrolled: the box is no site.
var ErrNotEnrolled = errors.New("this box is not enrolled; 'rxedge enroll FILE' with the file that the centre has written makes it a site")

const identityFile = "site.json"

// Secrets are the names of the files in a site's folder that are sealed.
var Secrets = []string{identityFile, keysFile}

// Load the identity of the site whose folder is dir. seal is nil where the folder is not
// encrypted; the error is durable.ErrSealed where it is all the same.
func Load(dir string, seal *durable.Seal) (*Identity, error) {
	b, err := seal.Read(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, err
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return nil, fmt.Errorf("%s is damaged; enrol this box again", filepath.Join(dir, identityFile))
	}
	if err := CheckSite(id.Site); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", identityFile, err)
	}
	return &id, nil
}

// Save it in dir, which is made, mode 0700.
func (id *Identity) Save(dir string, seal *durable.Seal) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return seal.Write(filepath.Join(dir, identityFile), append(b, '\n'))
}
