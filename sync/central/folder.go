// Package central is the hub side: the folder with the fleet's keys, the hub,
// the sites, and what is published to them.
package central

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"

	"rxedge/sync/durable"
)

// Folder is the centre's folder. What is in it is secret, but for the public
// parts; README.txt in it says what is to be taken offline.
type Folder struct {
	Dir string
	Settings

	mu  sync.Mutex
	now func() time.Time
}

// Settings of the fleet, in central.json.
type Settings struct {
	Format int    `json:"format"`
	Name   string `json:"name"`
	// Hubs are the addresses under which sites reach the hub.
	Hubs []string `json:"hubs"`
	// Nodes of the hub: 1, or 3 and more for a cluster.
	Nodes   int       `json:"nodes"`
	Created time.Time `json:"created"`
}

// Names of the keys in keys/. Those of offline are not needed from day to day.
const (
	keyOperator        = "offline/operator" // signs the operator; recovery alone
	keyOperatorSigning = "operator-signing" // signs accounts, so revocations
	keySystem          = "account-system"
	keySites           = "account-sites"
	keyRoleSite        = "role-site"
	keyRoleClaim       = "role-claim"
	keyRoleCentral     = "role-central"
	keySystemUser      = "user-system"
	keyCentralUser     = "user-central"
)

// ErrNoFolder: there is no fleet in the folder.
var ErrNoFolder = errors.New("there is no fleet here; 'rxedge central init' makes one")

// ErrExists: there is one already.
var ErrExists = errors.New("there is a fleet here already; nothing was changed")

// InitOptions of Init.
type InitOptions struct {
	Name  string
	Hubs  []string // at least one host:port
	Nodes int      // 0: 1
	Now   func() time.Time
}

// Init makes the keys and the folder. It is made beside its place and renamed, so
// that a folder that is there is whole.
func Init(dir string, opt InitOptions) (*Folder, error) {
	if opt.Nodes == 0 {
		opt.Nodes = 1
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if len(opt.Hubs) == 0 {
		return nil, errors.New("name the address under which sites reach the hub, such as hub.example:4222")
	}
	if opt.Nodes != 1 && opt.Nodes%2 == 0 || opt.Nodes < 1 || opt.Nodes > 5 {
		return nil, fmt.Errorf("%d nodes: a hub has 1, 3 or 5", opt.Nodes)
	}
	for _, h := range opt.Hubs {
		if err := checkAddress(h); err != nil {
			return nil, err
		}
	}
	if e, err := os.ReadDir(dir); err == nil && len(e) > 0 {
		if _, err := os.Stat(filepath.Join(dir, settingsFile)); err == nil {
			return nil, ErrExists
		}
		return nil, fmt.Errorf("%s is not empty; name a folder that is not there yet", dir)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(parent, ".central-*") // 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	f := &Folder{Dir: tmp, now: opt.Now, Settings: Settings{Format: 1, Name: opt.Name, Hubs: opt.Hubs, Nodes: opt.Nodes, Created: opt.Now().UTC().Truncate(time.Second)}}
	for _, d := range []string{"keys/offline", "accounts", "ca", "sites", "tuf", "hub", "store"} {
		if err := os.MkdirAll(f.path(d), 0o700); err != nil {
			return nil, err
		}
	}
	if err := f.makeIssuer(); err != nil {
		return nil, fmt.Errorf("making the operator and the accounts: %w", err)
	}
	if err := f.makeCA(); err != nil {
		return nil, fmt.Errorf("making the CA: %w", err)
	}
	if err := f.initRepository(); err != nil {
		return nil, fmt.Errorf("making the TUF repository: %w", err)
	}
	if err := durable.Write(f.path("README.txt"), []byte(readme)); err != nil {
		return nil, err
	}
	if err := f.saveSettings(); err != nil {
		return nil, err
	}
	_ = os.Remove(dir) // empty, or not there
	if err := os.Rename(tmp, dir); err != nil {
		return nil, err
	}
	f.Dir = dir
	return f, durable.SyncDir(parent)
}

const settingsFile = "central.json"

// Open a folder that Init has made.
func Open(dir string) (*Folder, error) {
	b, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoFolder
	}
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: dir, now: time.Now}
	if err := json.Unmarshal(b, &f.Settings); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", f.path(settingsFile), err)
	}
	if f.Format != 1 {
		return nil, fmt.Errorf("%s is of format %d, this rxedge reads 1", f.path(settingsFile), f.Format)
	}
	return f, nil
}

// SetClock is for tests.
func (f *Folder) SetClock(now func() time.Time) { f.now = now }

func (f *Folder) path(name string) string { return filepath.Join(f.Dir, filepath.FromSlash(name)) }

func (f *Folder) saveSettings() error { return f.writeJSON(settingsFile, f.Settings) }

func (f *Folder) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.Write(f.path(name), append(b, '\n'))
}

// lock keeps two commands from changing the folder at the same time.
func (f *Folder) lock() (func(), error) {
	f.mu.Lock()
	l, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		f.mu.Unlock()
		return nil, err
	}
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX); err != nil {
		_ = l.Close()
		f.mu.Unlock()
		return nil, fmt.Errorf("taking the folder: %w", err)
	}
	return func() { _ = l.Close(); f.mu.Unlock() }, nil
}

func (f *Folder) saveKey(name string, kp nkeys.KeyPair) error {
	seed, err := kp.Seed()
	if err != nil {
		return err
	}
	return durable.Write(f.path("keys/"+name+".nk"), append(seed, '\n'))
}

func (f *Folder) key(name string) (nkeys.KeyPair, error) {
	b, err := os.ReadFile(f.path("keys/" + name + ".nk"))
	if err != nil {
		return nil, fmt.Errorf("the key %s is not here: %w", name, err)
	}
	kp, err := nkeys.ParseDecoratedNKey(b)
	if err != nil {
		return nil, fmt.Errorf("the key %s is damaged", name)
	}
	return kp, nil
}

const readme = `This folder holds the keys of a fleet of rxedge boxes. Keep it on an encrypted
disk, back it up, and let nobody read it who may not speak for the centre.

Take offline, now, on two media that are kept in different places, and then
delete here:

  keys/offline/operator.nk   makes new operator signing keys
  tuf/offline/root-1.key     two of these three sign a new TUF root: needed to
  tuf/offline/root-2.key     replace a key that was lost or stolen, and once a
  tuf/offline/root-3.key     year. Give them to three people.
  ca/offline/ca.key          signs the issuing CA

Needed at each publish and each step of a rollout (an admin's machine), and by
'rxedge central rollout run' all the time:
  tuf/keys/targets.key

Needed by 'rxedge central hub' all the time:
  tuf/keys/snapshot.key, tuf/keys/timestamp.key   (they can't add content)
  keys/role-site.nk, ca/issuing.key               (enrolment)
  keys/user-central.nk, keys/role-central.nk

Needed to revoke a site:
  keys/operator-signing.nk, keys/user-system.nk
`
