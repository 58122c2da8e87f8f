package box

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"rxedge/daemon/backup"
	"rxedge/daemon/clients"
	"rxedge/daemon/disk"
	"rxedge/daemon/keyring"
	"rxedge/daemon/logfile"
	"rxedge/daemon/schema"
	"rxedge/daemon/store"
	"rxedge/daemon/telemetry"
	"rxedge/index"
	"rxedge/inference/catalog"
	"rxedge/sync/bundle"
)

// BackupRequest says what of a box goes into a backup.
type BackupRequest struct {
	Models bool `json:"models"`
	Cache  bool `json:"cache"`
	// Passphrase that secrets are sealed with; "": there are none in it.
	Passphrase string `json:"passphrase,omitempty"`
	// Clear: what an encrypted folder keeps may be in it though there is no passphrase.
	Clear bool `json:"clear,omitempty"`
}

// ErrClear: the folder is encrypted, and the backup would not be.
var ErrClear = errors.New("the data folder is encrypted, and a backup without a passphrase holds its feedback and telemetry in the clear: --with-secrets seals them, --in-the-clear takes it all the same")

// BackupResult is what was written.
type BackupResult struct {
	backup.Header
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"` // before compression
}

// BackupProgress is of a backup under way, in bytes before compression. Header is there
// with the first.
type BackupProgress struct {
	Header *backup.Header `json:"header,omitempty"`
	Done   int64          `json:"done"`
	Total  int64          `json:"total"` // as estimated
}

// BackupSchema are the formats of what a backup holds, as this version writes and reads
// them: the layout of the data folder, its stores, and the rest. One that changes gets a
// higher number.
func BackupSchema() map[string]int {
	out := map[string]int{layoutName: schema.Version, "documents": bundle.Schema, "rollout": 1, "suite": 1, "quarantine": 1, "models": 1, "sync": 1, "cache": 1, "configuration": 1}
	for name, s := range Stores {
		out[name] = s.Format
	}
	return out
}

const layoutName = "layout"

// copying is what Close waits for.
type copying struct {
	mu   sync.Mutex
	wg   sync.WaitGroup
	end  []context.CancelFunc
	shut bool
}

func (c *copying) begin(ctx context.Context) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil, nil, index.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	c.end = append(c.end, cancel)
	c.wg.Add(1)
	return ctx, func() { cancel(); c.wg.Done() }, nil
}

// close ends those that are under way.
func (c *copying) close() {
	c.mu.Lock()
	c.shut = true
	for _, end := range c.end {
		end()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// secretFiles of the data folder: by path, or all below a folder.
var secretFiles = []string{"sync/site.json", "sync/claim-keys.json", "telemetry/" + telemetry.KeyFile, clients.Folder + "/"}

// Rooms of the data folder that a backup knows. Each is copied in its own way, or left out
// for a reason; what is not here is named in the backup as left out.
const (
	roomState  = iota // in every backup
	roomAsked         // where it is asked for
	roomSecret        // with a passphrase
	roomNever
)

var backupRooms = map[string]struct {
	kind int
	why  string
}{
	"index": {roomState, ""}, "feedback": {roomState, ""}, "telemetry": {roomState, ""}, "rollout": {roomState, ""}, "suite": {roomState, ""},
	"quarantine": {roomState, ""}, "sync": {roomState, ""}, "rxedge.toml": {roomState, ""},
	"models": {roomAsked, ""}, "cache": {roomAsked, ""}, clients.Folder: {roomSecret, ""},
	"rxedge.toml.bak": {roomNever, ""}, "lock": {roomNever, ""}, "rxedged.sock": {roomNever, ""}, markerName: {roomNever, ""}, "lost+found": {roomNever, ""},
	backup.InfoName: {roomNever, ""}, backup.ConfigBeside: {roomNever, ""},
	backup.AsideName: {roomNever, "the state of before a restore"},
	"schema.a":       {roomNever, ""}, "schema.b": {roomNever, ""}, // it is in the header
	"changes": {roomNever, "what a release has changed is kept as it was until the release is confirmed"}, "taken-back": {roomNever, "it is of a release that was given up"},
	keyring.Files[0]: {roomNever, ""}, keyring.Files[1]: {roomNever, "the key stays with the box; after a restore 'rxedge config encrypt enable' encrypts the folder anew"},
	"work": {roomNever, "what 'rxedge model compress' was making"}, "new": {roomNever, ""},
	resetName: {roomNever, ""}, clockName: {roomNever, ""}, disk.ReserveName: {roomNever, ""}, logfile.Folder: {roomNever, ""},
}

// held is what a backup is made of, as it was at one moment.
type held struct {
	index  *index.Copy
	stores map[string]*store.Snapshot
	files  []heldFile
	small  map[string][]byte // files of which the content was read, by path
	left   []backup.Left
	models []backup.Model
	dense  int64
}

type heldFile struct {
	rel  string
	file *os.File
	size int64
}

func (h *held) release() {
	if h.index != nil {
		h.index.Release()
	}
	for _, s := range h.stores {
		s.Release()
	}
	for _, f := range h.files {
		_ = f.file.Close()
	}
}

// Backup writes a backup of the box to w while it serves. What was acknowledged before
// it began is in it; what is in it is what a power cut at one moment would have left, so
// that a start finds its way. daemon/backup/DESIGN.md says how.
func (b *Box) Backup(ctx context.Context, q BackupRequest, w io.Writer, report func(BackupProgress)) (res BackupResult, err error) {
	ctx, done, err := b.copying.begin(ctx)
	if err != nil {
		return res, err
	}
	defer done()
	if q.Passphrase != "" {
		if err := backup.CheckPassphrase(q.Passphrase); err != nil {
			return res, err
		}
	}
	if b.keys != nil && q.Passphrase == "" && !q.Clear {
		return res, ErrClear
	}
	h, err := b.hold(ctx, q)
	if err != nil {
		return res, fmt.Errorf("taking hold of the box's state: %w", err)
	}
	defer h.release()
	head, secrets, err := b.backupHeader(h, q)
	if err != nil {
		return res, err
	}
	if report == nil {
		report = func(BackupProgress) {}
	}
	report(BackupProgress{Header: &head, Total: head.Bytes})
	told := time.Now()
	out, err := backup.NewWriter(ctx, w, head, func(n int64) {
		res.Bytes = n
		if now := time.Now(); now.Sub(told) > 100*time.Millisecond {
			told = now
			report(BackupProgress{Done: n, Total: max(head.Bytes, n)})
		}
	})
	if err != nil {
		return res, err
	}
	if q.Passphrase != "" {
		if err := out.Seal(secrets, head.Holds.Sealed, q.Passphrase); err != nil {
			return res, err
		}
	}
	if err := h.write(out); err != nil {
		return res, err
	}
	entries, err := out.Close()
	res.Header, res.Entries = head, len(entries)
	b.log.Info("a backup was taken", "id", head.ID, "generation", head.Generation, "entries", res.Entries, "bytes", res.Bytes)
	return res, err
}

func (b *Box) backupHeader(h *held, q BackupRequest) (backup.Header, map[string][]byte, error) {
	g := h.index.Generations[0].Info()
	head := backup.Header{Format: backup.Format, ID: backup.NewID(), Created: time.Now().UTC().Truncate(time.Second), Rxedge: Version, Schema: BackupSchema(),
		Generation: g.Label(), Documents: g.Documents, Passages: g.Passages, Models: h.models, LeftOut: h.left, Dense: h.dense}
	head.Holds = backup.Holds{Models: q.Models, Cache: h.stores["cache"] != nil, Secrets: q.Passphrase != "", Sealed: q.Passphrase != "" && b.keys != nil}
	head.Site = b.siteName()
	secrets := map[string][]byte{}
	for rel, text := range h.small {
		if b.secret(rel) {
			secrets[rel] = text
			delete(h.small, rel)
		} else {
			head.Bytes += int64(len(text))
		}
	}
	if q.Passphrase == "" {
		for _, rel := range slices.Sorted(func(yield func(string) bool) {
			for rel := range secrets {
				if !yield(rel) {
					return
				}
			}
		}) {
			head.LeftOut = append(head.LeftOut, b.withoutSecret(rel))
		}
		secrets = nil
	}
	for _, f := range h.files {
		head.Bytes += f.size
	}
	for _, g := range h.index.Generations {
		for _, f := range g.Files() {
			fi, err := os.Stat(f)
			if err != nil {
				return head, nil, err
			}
			head.Bytes += fi.Size()
		}
		head.Bytes += folderSize(filepath.Join(b.Config.Data, "index", g.Name(), index.LiveDir))
	}
	for _, s := range h.stores {
		head.Bytes += s.Size()
	}
	return head, secrets, nil
}

// secret says of a file whether it goes into a backup with a passphrase alone.
func (b *Box) secret(rel string) bool {
	for _, s := range secretFiles {
		if rel == s || strings.HasSuffix(s, "/") && strings.HasPrefix(rel, s) {
			return true
		}
	}
	// A proxy's address may hold its password.
	return (rel == "rxedge.toml" || rel == backup.ConfigName) && strings.Contains(b.Config.Sync.Proxy, "@")
}

func (b *Box) withoutSecret(rel string) backup.Left {
	l := backup.Left{What: rel, Why: "a secret, and the backup has no passphrase"}
	switch {
	case rel == "sync/site.json":
		l.Mend = "the restored box is no site until it is enrolled again: at the centre 'rxedge central site revoke " + b.siteName() + "', then 'rxedge central site add " + b.siteName() + "'; here 'rxedge enroll FILE' with the file that it writes. Until then it answers and fetches nothing"
	case strings.HasPrefix(rel, clients.Folder+"/"):
		l.Mend = "'rxedge service token add' gives the program a new token"
	case strings.HasPrefix(rel, "telemetry/"):
		l.Mend = "nothing: the box makes another"
	case rel == "rxedge.toml" || rel == backup.ConfigName:
		l.Why = "the configuration holds the proxy's password, and the backup has no passphrase"
		l.Mend = "write the configuration again"
	}
	return l
}

// siteName is "" of a box that is no site.
func (b *Box) siteName() string {
	if id := b.sync.identity(); id != nil {
		return id.Site
	}
	return ""
}

// folderSize is what a store's files take on the disk: Badger makes them larger than what
// is in them.
func folderSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(d.Name(), ".mem") {
			if fi, err := d.Info(); err == nil {
				if st, ok := fi.Sys().(*syscall.Stat_t); ok {
					n += min(st.Blocks*512, fi.Size())
				}
			}
		}
		return nil
	})
	return n
}

// write all that is held.
func (h *held) write(out *backup.Writer) error {
	for _, rel := range slices.Sorted(func(yield func(string) bool) {
		for rel := range h.small {
			if !yield(rel) {
				return
			}
		}
	}) {
		if rel == backup.ConfigName {
			if err := out.Bytes(rel, h.small[rel]); err != nil {
				return err
			}
			continue
		}
		if err := out.File(rel, int64(len(h.small[rel])), bytes.NewReader(h.small[rel])); err != nil {
			return err
		}
	}
	for _, rel := range []string{"feedback", "telemetry", "cache"} {
		if s := h.stores[rel]; s != nil {
			n := 0
			if err := s.Parts(backup.PartSize, func(p []byte) error { n++; return out.Part(rel, n-1, p) }); err != nil {
				return fmt.Errorf("reading the store %s: %w", rel, err)
			}
		}
	}
	for _, g := range h.index.Generations {
		if err := writeGeneration(out, g); err != nil {
			return fmt.Errorf("reading generation %s: %w", g.Name(), err)
		}
	}
	current := h.index.Current()
	if err := out.File("index/"+index.CurrentName, int64(len(current)), bytes.NewReader(current)); err != nil {
		return err
	}
	for _, f := range h.files {
		if err := out.File(f.rel, f.size, io.NewSectionReader(f.file, 0, f.size)); err != nil {
			return err
		}
	}
	return nil
}

func writeGeneration(out *backup.Writer, g index.CopiedGeneration) error {
	rel := "index/" + g.Name() + "/"
	for _, path := range g.Files() {
		err := func() error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			fi, err := f.Stat()
			if err != nil {
				return err
			}
			return out.File(rel+filepath.Base(path), fi.Size(), f)
		}()
		if err != nil {
			return err
		}
	}
	n := 0
	p := store.PartWriter{Size: backup.PartSize, Part: func(b []byte) error { n++; return out.Part(rel+index.LiveDir, n-1, b) }}
	log, err := g.Updates(func(k, v []byte) error { return p.Add(k, bytes.Clone(v), 0, 0) })
	if err == nil {
		err = p.Flush()
	}
	if err != nil || log == nil {
		return err
	}
	return out.File(rel+index.LiveLog, int64(len(log)), bytes.NewReader(log))
}

// openBackupStore is OpenStore of a backup.Target.
func openBackupStore(dir, rel string) (*badger.DB, error) {
	path := filepath.Join(dir, filepath.FromSlash(rel))
	if strings.HasPrefix(rel, "index/") {
		return index.OpenCopy(filepath.Dir(path))
	}
	db, err := store.Open(path, false, nil)
	if err != nil {
		return nil, err
	}
	return db.DB, nil
}

var errMoving = errors.New("rollouts and bundles changed all the time; try again in a moment")

// modelsOf the catalog, for a backup.
func (h *held) modelsOf(c *catalog.Catalog) []catalog.Entry {
	entries, err := c.List()
	if err != nil {
		h.left = append(h.left, backup.Left{What: "entries of the catalog", Why: "they can't be read", Mend: "import those models again"})
	}
	for _, e := range entries {
		h.models = append(h.models, backup.Model{Name: e.Name, SHA256: e.SHA256, Size: e.Size})
	}
	return entries
}
