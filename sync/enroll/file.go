// Package enroll makes a box a site: it reads the file that the centre has
// written, makes the site's keys on the box, and keeps who the site is.
package enroll

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"rxedge/sync/link"
)

// FileFormat is the version of the enrolment file.
const FileFormat = 1

// maxFile in bytes.
const maxFile = 1 << 20

// File is what 'rxedge central site add' writes for a box. It is secret until it
// has been used, or its claim has run out.
type File struct {
	Format  int      `json:"format"`
	Site    string   `json:"site"`
	Channel string   `json:"channel"`
	Hubs    []string `json:"hubs"`
	CA      string   `json:"ca"` // PEM
	// Claim lets the box ask, once, to be made the site.
	Claim   link.Credentials `json:"claim"`
	Issued  time.Time        `json:"issued"`
	Expires time.Time        `json:"expires"`
	// Root is the TUF root metadata, and Floor the least version of its
	// timestamp: what was signed before the file was written is a replay.
	Root  json.RawMessage `json:"root"`
	Floor int64           `json:"floor"`
}

var validSite = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckSite refuses what could reach beyond the site's own subjects.
func CheckSite(id string) error {
	if !validSite.MatchString(id) {
		return fmt.Errorf("%q is no site id: use 1 to 63 of a-z, 0-9 and '-', not first or last", id)
	}
	return nil
}

var validChannel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,31})$`)

// CheckChannel refuses what is no channel's name.
func CheckChannel(name string) error {
	if !validChannel.MatchString(name) {
		return fmt.Errorf("%q is no channel: use 1 to 32 of a-z, 0-9 and '-'", name)
	}
	return nil
}

// Parse reads an enrolment file, whose text it never repeats in an error.
func Parse(b []byte) (*File, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("the enrolment file has %d bytes; the most is %d", len(b), maxFile)
	}
	var f File
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, errors.New("the enrolment file can't be read: it is damaged or is none; get it from the centre again")
	}
	if f.Format != FileFormat {
		return nil, fmt.Errorf("the enrolment file is of format %d, this rxedge reads %d; use the same version at both ends", f.Format, FileFormat)
	}
	if err := CheckSite(f.Site); err != nil {
		return nil, fmt.Errorf("the enrolment file: %w", err)
	}
	if err := CheckChannel(f.Channel); err != nil {
		return nil, fmt.Errorf("the enrolment file: %w", err)
	}
	for _, m := range []struct {
		what    string
		missing bool
	}{{"hubs", len(f.Hubs) == 0}, {"ca", !strings.Contains(f.CA, "BEGIN CERTIFICATE")}, {"root", len(f.Root) < 2}, {"expires", f.Expires.IsZero() || f.Issued.IsZero()},
		{"claim", f.Claim.JWT == "" || f.Claim.Certificate == "" || f.Claim.Key == ""}} {
		if m.missing {
			return nil, fmt.Errorf("the enrolment file lacks %q; get it from the centre again", m.what)
		}
	}
	if _, err := nkeys.FromSeed([]byte(f.Claim.Seed)); err != nil {
		return nil, errors.New("the enrolment file's claim can't be used; get it from the centre again")
	}
	return &f, nil
}
