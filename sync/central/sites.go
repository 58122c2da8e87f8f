package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"rxedge/sync/enroll"
	"rxedge/sync/link"
)

// Site as the centre knows it, in sites/ID.json.
type Site struct {
	ID       string     `json:"id"`
	Channel  string     `json:"channel"`
	Added    time.Time  `json:"added"`
	Claim    string     `json:"claim,omitempty"` // public key of the open claim
	Expires  time.Time  `json:"claim_expires,omitzero"`
	Public   string     `json:"public_key,omitempty"` // of the box that is the site
	Enrolled *time.Time `json:"enrolled,omitempty"`
	Revoked  *time.Time `json:"revoked,omitempty"`
	// Certificate and JWT given, so that a lost answer can be given again.
	JWT         string `json:"jwt,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	// Labels by which rollouts choose sites.
	Labels map[string]string `json:"labels,omitempty"`
}

// Status in one word: waiting, expired, enrolled, revoked.
func (s *Site) Status(now time.Time) string {
	switch {
	case s.Revoked != nil:
		return "revoked"
	case s.Public != "":
		return "enrolled"
	case now.After(s.Expires):
		return "expired"
	}
	return "waiting"
}

// ErrNoSite: there is no such site.
var ErrNoSite = errors.New("there is no such site")

// ErrSiteExists: it is enrolled already.
var ErrSiteExists = errors.New("the site is enrolled already; revoke it first to let another box take its place")

// AddSite opens a claim for a site and returns the file for the box. A site that
// was revoked, or whose claim is open, gets a new claim; the old one is dead.
func (f *Folder) AddSite(id, channel string, validity time.Duration) (*enroll.File, error) {
	if err := enroll.CheckSite(id); err != nil {
		return nil, err
	}
	if err := enroll.CheckChannel(channel); err != nil {
		return nil, err
	}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := f.site(id)
	if err != nil && !errors.Is(err, ErrNoSite) {
		return nil, err
	}
	if err == nil && s.Public != "" && s.Revoked == nil {
		return nil, fmt.Errorf("%s: %w", id, ErrSiteExists)
	}
	now := f.now().UTC().Truncate(time.Second)
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	pub, err := kp.PublicKey()
	if err != nil {
		return nil, err
	}
	seed, err := kp.Seed()
	if err != nil {
		return nil, err
	}
	var labels map[string]string
	if s != nil {
		labels = s.Labels
	}
	s = &Site{ID: id, Channel: channel, Added: now, Claim: pub, Expires: now.Add(validity), Labels: labels}
	token, err := f.userJWT(pub, id, keyRoleClaim, s.Expires)
	if err != nil {
		return nil, err
	}
	cert, key, err := f.issueWithKey("claim-"+id, validity, false)
	if err != nil {
		return nil, err
	}
	ca, err := f.CA()
	if err != nil {
		return nil, err
	}
	root, floor, err := f.anchor()
	if err != nil {
		return nil, err
	}
	if err := f.saveSite(s); err != nil {
		return nil, err
	}
	return &enroll.File{Format: enroll.FileFormat, Site: id, Channel: channel, Hubs: f.Hubs, CA: ca,
		Claim:  link.Credentials{JWT: token, Seed: string(seed), Certificate: cert, Key: key},
		Issued: now, Expires: s.Expires, Root: root, Floor: floor}, nil
}

func (f *Folder) saveSite(s *Site) error { return f.writeJSON("sites/"+s.ID+".json", s) }

func (f *Folder) site(id string) (*Site, error) {
	if err := enroll.CheckSite(id); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(f.path("sites/" + id + ".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", id, ErrNoSite)
	}
	if err != nil {
		return nil, err
	}
	var s Site
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("the record of site %s is damaged: %w", id, err)
	}
	return &s, nil
}

// Sites in order of their ids.
func (f *Folder) Sites() ([]*Site, error) {
	names, err := filepath.Glob(f.path("sites/*.json"))
	if err != nil {
		return nil, err
	}
	var out []*Site
	for _, n := range names {
		s, err := f.site(strings.TrimSuffix(filepath.Base(n), ".json"))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

// claim lets the first box that shows a claim in a site's name be the site. The hub
// let nobody publish there but the holder of such a claim.
func (f *Folder) claim(id string, data []byte) enroll.Reply {
	return f.admit(id, data, func(s *Site, q enroll.Request) *enroll.Reply {
		switch {
		case s.Public == q.PublicKey: // the answer was lost
			return &enroll.Reply{JWT: s.JWT, Certificate: s.Certificate}
		case s.Public != "":
			return refused(enroll.CodeClaimUsed, "another box has used this file; if that was not yours, revoke the site at once")
		case f.now().After(s.Expires):
			return refused(enroll.CodeClaimExpired, "the file was good until "+s.Expires.Format(time.RFC3339))
		}
		now := f.now().UTC().Truncate(time.Second)
		s.Public, s.Enrolled = q.PublicKey, &now
		return nil
	})
}

// Revoke takes a site out. The account's new JWT is on disk when it returns;
// where a hub is reached it has it too, and the site's connection is cut.
// reached says how many servers have answered.
func (f *Folder) Revoke(ctx context.Context, id string, hubs []string) (reached int, err error) {
	unlock, err := f.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	s, err := f.site(id)
	if err != nil {
		return 0, err
	}
	_, acc, err := f.account("SITES")
	if err != nil {
		return 0, err
	}
	for _, k := range []string{s.Public, s.Claim} {
		if k != "" {
			acc.Revoke(k)
		}
	}
	if err := f.signAccount(acc, "SITES"); err != nil {
		return 0, err
	}
	now := f.now().UTC().Truncate(time.Second)
	s.Revoked = &now
	if err := f.saveSite(s); err != nil {
		return 0, err
	}
	return f.pushAccounts(ctx, hubs)
}

// pushAccounts gives the accounts to the hub's servers.
func (f *Folder) pushAccounts(ctx context.Context, hubs []string) (int, error) {
	token, _, err := f.account("SITES")
	if err != nil {
		return 0, err
	}
	nc, err := f.connect(hubs, true, false)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	if err := nc.PublishRequest("$SYS.REQ.CLAIMS.UPDATE", inbox, []byte(token)); err != nil {
		return 0, err
	}
	reached := 0
	for reached < f.Nodes {
		try, cancel := context.WithTimeout(ctx, 3*time.Second)
		m, err := sub.NextMsgWithContext(try)
		cancel()
		if err != nil {
			break
		}
		var r struct {
			Error *struct {
				Description string `json:"description"`
			} `json:"error"`
		}
		if err := json.Unmarshal(m.Data, &r); err != nil || r.Error != nil {
			return reached, fmt.Errorf("a hub refused the new account: %s", strings.TrimSpace(string(m.Data)))
		}
		reached++
	}
	if reached == 0 {
		return 0, errors.New("no hub has answered; it will learn of it at its next start or within a minute of being reached")
	}
	return reached, nil
}
