package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"rxedge/daemon/backup"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
)

// backupResult is what 'backup --json' prints.
type backupResult struct {
	File     string `json:"file"`
	Size     int64  `json:"size"` // of the file
	Verified bool   `json:"verified"`
	box.BackupResult
	Seconds float64 `json:"seconds"`
}

// backupFlags of the command.
type backupFlags struct {
	withoutModels, cache, secrets, clear, verify, force bool
	passphrase                                          string
}

func (a *app) backup() *cobra.Command {
	var f backupFlags
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that the box knows into one file, while it serves",
		Long: `Write a backup: the index with its updates, models, feedback, telemetry, the
journal of rollouts, what the box has of its centre, its configuration. It can be
taken while the daemon answers and takes in documents; what was acknowledged before
it began is in it. FILE may be a folder, which gets a file named by site and time, or
'-' for standard output. The file appears under its name once it was read back whole.

Secrets (the site's key, programs' tokens) are left out unless --with-secrets; they
are then sealed with a passphrase, and of an encrypted data folder the feedback and
the telemetry as well. Feedback that people wrote is in a backup as they
wrote it: keep the file where only those may read it who may read that.`,
		Example: `  rxedge backup /media/usb
  rxedge backup /media/usb/box.rxbackup --with-secrets --passphrase-file /root/passphrase
  rxedge backup - --without-models | ssh store 'cat > box.rxbackup'`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return a.takeBackup(c.Context(), given[0], f)
		},
	}
	c.Flags().BoolVar(&f.withoutModels, "without-models", false, "leave the model files out; they can be pulled again")
	c.Flags().BoolVar(&f.cache, "with-cache", false, "put the kept answers in")
	c.Flags().BoolVar(&f.secrets, "with-secrets", false, "put secrets in, sealed with a passphrase")
	c.Flags().StringVar(&f.passphrase, "passphrase-file", "", "`file` with the passphrase, mode 0600; '-' for standard input (default: it is asked for)")
	c.Flags().BoolVar(&f.clear, "in-the-clear", false, "of an encrypted data folder, take a backup that is not")
	c.Flags().BoolVar(&f.verify, "verify", true, "read the file back and check it")
	c.Flags().BoolVar(&f.force, "force", false, "replace FILE where it is there")
	c.AddCommand(a.backupVerify(), a.backupShow(), a.backupList())
	return c
}

func (a *app) takeBackup(ctx context.Context, name string, f backupFlags) error {
	q := box.BackupRequest{Models: !f.withoutModels, Cache: f.cache, Clear: f.clear}
	if f.secrets {
		var err error
		if q.Passphrase, err = a.passphrase(f.passphrase, true); err != nil {
			return err
		}
		if err := backup.CheckPassphrase(q.Passphrase); err != nil {
			return usage("%w", err)
		}
	} else if f.passphrase != "" {
		return usage("--passphrase-file belongs to --with-secrets")
	}
	began := time.Now()
	out, err := a.sink(name, f.force)
	if err != nil {
		return err
	}
	defer out.abandon()
	bar := a.progress()
	res := backupResult{File: out.path}
	res.BackupResult, err = a.writeBackup(ctx, q, out, func(p box.BackupProgress) {
		if p.Header != nil {
			out.expect(p.Header)
		}
		bar.setBytes("writing", p.Done, p.Total)
	})
	bar.finish()
	if err != nil {
		return out.explain(err)
	}
	if out.file == nil {
		a.note("Backup %s of %s written: %s before compression, %d entries. It was not read back.\n", res.ID, res.Generation, size(res.Bytes), res.Entries)
		return nil
	}
	if err := out.sync(); err != nil {
		return out.explain(err)
	}
	if f.verify {
		if _, _, err := a.readBackup(ctx, out.file, out.size, nil, nil); err != nil {
			return fmt.Errorf("what was written can't be read back: %w; the disk may be failing, so no file was left: try another", err)
		}
		res.Verified = true
	}
	if err := out.place(); err != nil {
		return out.explain(err)
	}
	res.Size, res.Seconds = out.size, time.Since(began).Seconds()
	if a.json {
		return a.print(res)
	}
	a.printf("%s: %s, backup %s of %s (%d documents), %s before compression, in %s", res.File, size(res.Size), res.ID, res.Generation, res.Documents, size(res.BackupResult.Bytes), time.Duration(res.Seconds*float64(time.Second)).Round(100*time.Millisecond))
	if res.Verified {
		a.printf("; read back and sound")
	}
	a.printf(".\n")
	a.showLeft(res.LeftOut)
	return nil
}

func (a *app) showLeft(left []backup.Left) {
	for _, l := range left {
		a.printf("  left out: %s (%s)\n", printableText(l.What), printableText(l.Why))
		if l.Mend != "" && l.Mend != "nothing" {
			a.printf("%s\n", wrap("after a restore: "+printableText(l.Mend), "    ", lineWidth))
		}
	}
}

// writeBackup asks the daemon, or opens the folder where none runs. A root that can't open
// it as root, lest it leave what the service can't read, has its owner do it.
func (a *app) writeBackup(ctx context.Context, q box.BackupRequest, w io.Writer, report func(box.BackupProgress)) (box.BackupResult, error) {
	cfg, err := a.settings()
	if err != nil {
		return box.BackupResult{}, err
	}
	c, err := control.Dial(cfg.Data)
	if err == nil {
		defer c.Close()
		return c.Backup(ctx, q, w, report)
	}
	if fi, err := os.Stat(cfg.Data); err != nil {
		return box.BackupResult{}, fmt.Errorf("%w: the data folder %s", errNotFound, cfg.Data)
	} else if st, ok := fi.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && st.Uid != 0 {
		return a.backupAs(ctx, cfg.Data, st.Uid, st.Gid, q, w)
	}
	st, err := a.open(ctx)
	if err != nil {
		return box.BackupResult{}, err
	}
	defer st.Close()
	b, ok := st.(*box.Box)
	if !ok { // a daemon has started meanwhile
		return st.(*control.Client).Backup(ctx, q, w, report)
	}
	return b.Backup(ctx, q, w, report)
}

// backupAs another user runs this command for its standard output.
func (a *app) backupAs(ctx context.Context, data string, uid, gid uint32, q box.BackupRequest, w io.Writer) (res box.BackupResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return res, err
	}
	given := []string{"backup", "-", "--data", data}
	if a.config != "" {
		given = append(given, "--config", a.config)
	}
	if !q.Models {
		given = append(given, "--without-models")
	}
	if q.Cache {
		given = append(given, "--with-cache")
	}
	if q.Clear {
		given = append(given, "--in-the-clear")
	}
	if q.Passphrase != "" {
		given = append(given, "--with-secrets", "--passphrase-file", "-")
	}
	c := exec.CommandContext(ctx, self, given...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}, Pdeathsig: syscall.SIGKILL}
	c.Dir, c.Stdin, c.Stderr = "/", strings.NewReader(q.Passphrase+"\n"), a.err
	pipe, err := c.StdoutPipe()
	if err != nil {
		return res, err
	}
	if err := c.Start(); err != nil {
		return res, err
	}
	// It is read along, to say what came.
	in, tee := io.Pipe()
	read := make(chan error, 1)
	go func() {
		h, entries, err := backup.Read(ctx, in, nil, nil)
		res.Header, res.Entries = h, len(entries)
		for _, e := range entries {
			res.Bytes += e.Size
		}
		_, _ = io.Copy(io.Discard, in)
		read <- err
	}()
	_, err = io.Copy(io.MultiWriter(w, tee), pipe)
	_ = tee.Close()
	rerr := <-read
	if werr := c.Wait(); err == nil {
		err = werr
	}
	if err == nil {
		err = rerr
	}
	return res, err
}

// backupStep hears of each step of writing a backup, before it is done. A test that ends
// the process there sets it before.
var backupStep = func(string) {}

// sink is where a backup goes: a file that has another name until it is whole, or
// standard output.
type sink struct {
	path string
	file *os.File // nil: standard output
	out  io.Writer
	size int64
	need int64
	err  error // it is to end
}

func (a *app) sink(name string, force bool) (*sink, error) {
	if name == "-" {
		if f, ok := a.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return nil, usage("a backup is nothing to read on a terminal: name a file, or send it on")
		}
		return &sink{path: "-", out: a.out}, nil
	}
	fi, err := os.Stat(name)
	switch {
	case err == nil && fi.IsDir():
		host, _ := os.Hostname()
		name = filepath.Join(name, fmt.Sprintf("%s-%s.rxbackup", host, time.Now().UTC().Format("20060102T150405Z")))
	case err == nil && !force:
		return nil, &refusedError{name + " is there already; name another, or replace it with --force"}
	}
	if fi, err := os.Stat(filepath.Dir(name)); err != nil || !fi.IsDir() {
		return nil, fmt.Errorf("%w: there is no folder %s", errNotFound, filepath.Dir(name))
	}
	f, err := os.OpenFile(name+".partial", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, &refusedError{name + " is being written by another backup"}
	}
	err = f.Truncate(0) // of one that was killed
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &sink{path: name, file: f, out: f}, nil
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	backupStep("write")
	n, err := s.out.Write(p)
	s.size += int64(n)
	return n, err
}

// expect ends it where there will be no room. What is not models shrinks to a half at least.
func (s *sink) expect(h *backup.Header) {
	if s.file == nil {
		return
	}
	s.need = h.Dense + (h.Bytes-h.Dense)/2
	if free := backup.Free(filepath.Dir(s.path)); s.need > free {
		s.err = &backup.NoRoomError{Dir: filepath.Dir(s.path), Need: s.need, Free: free}
	}
}

// explain an error.
func (s *sink) explain(err error) error {
	if s.err != nil {
		return s.err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("the disk is full after %s: %w", size(s.size), &backup.NoRoomError{Dir: filepath.Dir(s.path), Need: max(s.need, s.size), Free: backup.Free(filepath.Dir(s.path))})
	}
	return err
}

// sync brings it to the disk, and out of memory, so that what is read back comes from
// there.
func (s *sink) sync() error {
	backupStep("sync")
	if err := s.file.Sync(); err != nil {
		return err
	}
	_ = unix.Fadvise(int(s.file.Fd()), 0, 0, unix.FADV_DONTNEED)
	_, err := s.file.Seek(0, io.SeekStart)
	return err
}

// place gives it its name.
func (s *sink) place() error {
	backupStep("rename")
	if err := os.Rename(s.path+".partial", s.path); err != nil {
		return err
	}
	backupStep("sync the folder")
	err := s.file.Close()
	s.file = nil
	if d, derr := os.Open(filepath.Dir(s.path)); derr == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return err
}

// abandon leaves nothing behind; after place it does nothing.
func (s *sink) abandon() {
	if s.file != nil {
		_ = os.Remove(s.path + ".partial")
		_ = s.file.Close()
		s.file = nil
	}
}

// passphrase from a file, standard input, or who sits before it.
func (a *app) passphrase(file string, twice bool) (string, error) {
	switch file {
	case "-":
		b, err := io.ReadAll(io.LimitReader(a.in, 4096))
		return strings.TrimRight(string(b), "\r\n"), err
	case "":
		f, ok := a.in.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			return "", usage("name a file with the passphrase by --passphrase-file, or '-' for standard input")
		}
		ask := func(what string) (string, error) {
			a.note("%s: ", what)
			b, err := term.ReadPassword(int(f.Fd()))
			a.note("\n")
			return string(b), err
		}
		p, err := ask("Passphrase of the secrets")
		if err != nil || !twice {
			return p, err
		}
		again, err := ask("Once more")
		if err == nil && again != p {
			err = usage("the two are not the same")
		}
		return p, err
	}
	fi, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotFound, err)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return "", &refusedError{fmt.Sprintf("%s can be read by others (mode %04o); 'chmod 600 %s' mends it", file, fi.Mode().Perm(), file)}
	}
	b, err := os.ReadFile(file)
	return strings.TrimRight(string(b), "\r\n"), err
}

// readBackup reads a backup and checks all of it.
func (a *app) readBackup(ctx context.Context, r io.Reader, total int64, header func(backup.Header) error, visit func(backup.Entry, io.Reader) error) (backup.Header, []backup.Entry, error) {
	bar := a.progress()
	defer bar.finish()
	return backup.Read(ctx, &counted{r: r, report: func(n int64) { bar.setBytes("reading", n, total) }}, header, visit)
}

// counted says how far a reader is.
type counted struct {
	r      io.Reader
	n      int64
	report func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.report(c.n)
	return n, err
}

// openBackup opens a backup, or takes standard input.
func (a *app) openBackup(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(a.in), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errNotFound, err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = usage("%s is no file", name)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, fi.Size(), nil
}

func (a *app) backupVerify() *cobra.Command {
	return &cobra.Command{Use: "verify FILE", Short: "Read a backup whole and check it", Example: `  rxedge backup verify box.rxbackup`, Args: args(cobra.ExactArgs(1)),
		Long: "Read a backup whole and check it: every entry by size and SHA-256, nothing missing, nothing\nthat does not belong, formats that this rxedge reads. Secrets stay sealed.",
		RunE: func(c *cobra.Command, given []string) error {
			h, entries, err := a.wholeBackup(c.Context(), given[0])
			if err != nil {
				return err
			}
			if err := h.Check(box.BackupSchema()); err != nil {
				return err
			}
			var n int64
			for _, e := range entries {
				n += e.Size
			}
			if a.json {
				return a.print(struct {
					Sound   bool `json:"sound"`
					Entries int  `json:"entries"`
					backup.Header
				}{true, len(entries), h})
			}
			a.printf("Backup %s is sound: %d entries, %s. It was taken %s by rxedge %s of %s.\n", h.ID, len(entries), size(n), h.Created.Local().Format(time.DateTime), printableText(h.Rxedge), printableText(h.Generation))
			return nil
		}}
}

func (a *app) wholeBackup(ctx context.Context, name string) (backup.Header, []backup.Entry, error) {
	f, total, err := a.openBackup(name)
	if err != nil {
		return backup.Header{}, nil, err
	}
	defer f.Close()
	return a.readBackup(ctx, f, total, nil, nil)
}

func (a *app) backupShow() *cobra.Command {
	return &cobra.Command{Use: "show FILE", Short: "Say what a backup is, by its first entry", Example: `  rxedge backup show box.rxbackup --json`, Args: args(cobra.ExactArgs(1)),
		Long: "Say what a backup is. Only its beginning is read: 'rxedge backup verify' reads all of it.",
		RunE: func(c *cobra.Command, given []string) error {
			f, _, err := a.openBackup(given[0])
			if err != nil {
				return err
			}
			defer f.Close()
			enough := errors.New("enough")
			var h backup.Header
			if _, _, err := backup.Read(c.Context(), f, func(got backup.Header) error { h = got; return enough }, nil); !errors.Is(err, enough) {
				return err
			}
			if a.json {
				return a.print(h)
			}
			a.printf("Backup      %s, taken %s by rxedge %s\n", printableText(h.ID), h.Created.Local().Format(time.DateTime), printableText(h.Rxedge))
			if h.Site != "" {
				a.printf("Site        %s\n", printableText(h.Site))
			}
			a.printf("Index       %s: %d documents, %d passages\n", printableText(h.Generation), h.Documents, h.Passages)
			for _, m := range h.Models {
				in := "in it"
				if !h.Holds.Models {
					in = "not in it"
				}
				a.printf("Model       %s, %s, %s\n", printableText(m.Name), size(m.Size), in)
			}
			a.printf("Secrets     %s\n", map[bool]string{true: "sealed with a passphrase", false: "none"}[h.Holds.Secrets])
			a.printf("Size        about %s before compression\n", size(h.Bytes))
			a.showLeft(h.LeftOut)
			return nil
		}}
}

func (a *app) backupList() *cobra.Command {
	return &cobra.Command{Use: "list FILE", Short: "List the entries of a backup, and check them", Example: `  rxedge backup list box.rxbackup`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			h, entries, err := a.wholeBackup(c.Context(), given[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(struct {
					backup.Header
					Entries []backup.Entry `json:"entries"`
				}{h, entries})
			}
			rows := make([]table.Row, len(entries))
			for i, e := range entries {
				rows[i] = table.Row{e.Name, e.Size, e.SHA256[:12]}
			}
			a.table(table.Row{"Entry", "Bytes", "SHA-256"}, rows)
			return nil
		}}
}
