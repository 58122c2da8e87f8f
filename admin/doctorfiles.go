package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/clients"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/health"
)

// The configuration and the data folder: whether they are there, whose they are, who
// may read them, and what lies about in them.
var folderLooks = []look{
	{name: "configuration", of: []*health.Condition{health.ConfigUnsound, health.ConfigPermissions}, run: lookConfig},
	{name: "data folder", of: []*health.Condition{health.DataMissing, health.DataUnusable, health.DataOwner}, run: lookFolder},
}

var fileLooks = []look{
	{name: "secrets", of: []*health.Condition{health.SecretMissing, health.SecretPermissions}, run: lookSecrets},
	{name: "socket", of: []*health.Condition{health.SocketPermissions, health.SocketStale}, run: lookSocket},
	{name: "left over", of: []*health.Condition{health.Leftovers, health.SetAside, health.SpoolDamaged}, run: lookLeftovers},
}

// owner of a file.
func owner(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return -1, -1
}

// serves says whom the box belongs to: the service's user where it is installed, else
// the data folder's owner.
func (p *patient) serves() (uid, gid int) {
	if p.installed() {
		if u, err := user.Lookup("rxedge"); err == nil {
			uid, _ = strconv.Atoi(u.Uid)
			gid, _ = strconv.Atoi(u.Gid)
			return uid, gid
		}
	}
	info, err := os.Stat(p.cfg.Data)
	if err != nil {
		return os.Geteuid(), os.Getegid()
	}
	return owner(info)
}

// installed: this is the data folder of an installed box.
func (p *patient) installed() bool { return filepath.Clean(p.cfg.Data) == config.InstalledData }

// stranger: who runs this is neither root nor whom the box belongs to, and may not look
// at all of it.
func (p *patient) stranger() string {
	uid, _ := p.serves()
	if me := os.Geteuid(); me != 0 && me != uid {
		return "this user may not look: run it as root or as the service's user"
	}
	return ""
}

func lookConfig(_ context.Context, p *patient, s *seen) {
	if errors.Is(p.cfgErr, fs.ErrPermission) && p.stranger() != "" {
		s.skip = p.stranger()
		return
	}
	if p.cfgErr != nil {
		s.find(health.ConfigUnsound.Found("%v", p.cfgErr))
	}
	file := p.app.config
	if file == "" {
		file = config.File()
	}
	info, err := os.Stat(file)
	if err != nil {
		s.ok = "none; the defaults hold"
		return
	}
	uid, gid := p.serves()
	have, _ := owner(info)
	mode := info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		s.mend(health.ConfigPermissions.Found("anybody may change %s (mode %04o)", file, mode), repair{what: fmt.Sprintf("let nobody but its owner change %s", file), do: func(context.Context) error { return os.Chmod(file, mode&^0o022) }})
	case have == uid && mode&0o400 == 0 || have != uid && mode&0o044 == 0:
		s.mend(health.ConfigPermissions.Found("the service can't read %s (mode %04o)", file, mode), repair{what: fmt.Sprintf("let the service read %s", file), do: func(context.Context) error {
			if have == uid {
				return os.Chmod(file, mode|0o400)
			}
			return errors.Join(os.Chown(file, -1, gid), os.Chmod(file, mode|0o040))
		}})
	}
	s.ok = fmt.Sprintf("sound; answers on %s", p.cfg.Listen)
}

func lookFolder(_ context.Context, p *patient, s *seen) {
	dir := p.cfg.Data
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.find(health.DataMissing.Found("%s is not there yet", dir))
		return
	case err != nil:
		s.find(health.DataUnusable.Found("%v", err).Mend("run it as root, or correct the path"))
		return
	case !info.IsDir():
		s.find(health.DataUnusable.Found("%s is no folder", dir).Mend("name a folder with --data"))
		return
	}
	uid, gid := p.serves()
	if have, _ := owner(info); have != uid {
		s.mend(health.DataOwner.Found("%s belongs to user %d, and the service is user %d", dir, have, uid), repair{what: "give it to the service", do: func(context.Context) error { return os.Lchown(dir, uid, gid) }})
	}
	// What its owner may not use, wherever in it.
	type bad struct {
		path string
		mode fs.FileMode
	}
	var closed, others []bad
	files := 0
	denied := error(nil)
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				denied = err
			}
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		i, err := d.Info()
		if err != nil {
			return nil // removed meanwhile
		}
		files++
		have, _ := owner(i)
		need := fs.FileMode(0o400) // models are read-only
		if d.IsDir() {
			need = 0o700
		}
		switch {
		case have != uid:
			others = append(others, bad{path, i.Mode()})
		case i.Mode()&fs.ModeSymlink == 0 && i.Mode().Perm()&need != need:
			closed = append(closed, bad{path, i.Mode().Perm() | need})
		}
		return nil
	})
	switch {
	case p.stranger() != "":
		if len(s.found) == 0 {
			s.skip = p.stranger()
		}
		return
	case len(closed) > 0:
		s.mend(health.DataUnusable.Found("its owner may not use %s (%d in all)", closed[0].path, len(closed)), repair{what: fmt.Sprintf("give its owner the right to use %d files and folders of %s", len(closed), dir), do: func(context.Context) error {
			var errs []error
			for _, b := range closed {
				errs = append(errs, os.Chmod(b.path, b.mode))
			}
			return errors.Join(errs...)
		}})
	case denied != nil:
		s.find(health.DataUnusable.Found("%v", denied))
	}
	if len(others) > 0 && len(s.found) == 0 {
		f := health.DataOwner.Found("%d files do not belong to user %d, the first is %s", len(others), uid, others[0].path)
		s.mend(f, repair{what: fmt.Sprintf("give %d files and folders of %s to its owner", len(others), dir), do: func(context.Context) error {
			var errs []error
			for _, b := range others {
				errs = append(errs, os.Lchown(b.path, uid, gid))
			}
			return errors.Join(errs...)
		}})
	}
	s.ok = fmt.Sprintf("%s, %d files, all its owner's", dir, files)
}

func lookSecrets(_ context.Context, p *patient, s *seen) {
	if s.skip = p.stranger(); s.skip != "" {
		return
	}
	n := 0
	private := func(file string, starts bool) {
		info, err := os.Stat(file)
		if err != nil {
			return
		}
		n++
		mode := info.Mode().Perm()
		if mode&0o077 == 0 {
			return
		}
		f := health.SecretPermissions.Found("%s can be read by others (mode %04o)", file, mode)
		if !starts {
			f = f.As(health.Error)
		}
		s.mend(f, repair{what: fmt.Sprintf("take the right to read %s from others", file), do: func(context.Context) error { return os.Chmod(file, 0o600) }})
	}
	for _, c := range p.cfg.API.Clients {
		file := c.TokenFile
		if !strings.Contains(file, "/") {
			if !p.installed() {
				continue // a credential of a service manager that is not known here
			}
			file = filepath.Join("/etc/rxedge/credentials", strings.TrimPrefix(file, "token_"))
		}
		b, err := os.ReadFile(file)
		if err != nil {
			s.find(health.SecretMissing.Found("the token of client %s: %v", c.Name, err))
			continue
		}
		if len(strings.TrimSpace(string(b))) < clients.LeastToken {
			s.find(health.SecretMissing.Found("the token of client %s in %s is shorter than %d characters", c.Name, file, clients.LeastToken))
		}
		private(file, true)
	}
	hashes, _ := filepath.Glob(filepath.Join(p.cfg.Data, clients.Folder, "*.sha256"))
	for _, f := range hashes {
		private(f, true)
	}
	private(filepath.Join(p.cfg.Data, "sync", "site.json"), false)
	s.ok = fmt.Sprintf("%d, all their owner's alone", n)
}

func lookSocket(_ context.Context, p *patient, s *seen) {
	file := filepath.Join(p.cfg.Data, control.SocketName)
	info, err := os.Lstat(file)
	if err != nil || info.Mode()&fs.ModeSocket == 0 {
		s.ok = "none"
		return
	}
	if svc := p.service(context.Background()); svc.pid == 0 && p.stranger() == "" {
		s.mend(health.SocketStale.Found("%s is there and nobody listens", file), repair{what: "remove " + file, do: func(context.Context) error { return os.Remove(file) }})
		return
	}
	uid, _ := p.serves()
	if have, _ := owner(info); have != uid || info.Mode().Perm() != 0o600 {
		s.mend(health.SocketPermissions.Found("%s has mode %04o and belongs to user %d", file, info.Mode().Perm(), have), repair{what: "make it its owner's alone", do: func(context.Context) error {
			err := os.Chmod(file, 0o600)
			if os.Geteuid() == 0 {
				err = errors.Join(err, os.Lchown(file, uid, -1))
			}
			return err
		}})
	}
	s.ok = "its owner's alone"
}

// oldEnough is the age of an unfinished file that nobody is writing any more.
const oldEnough = time.Hour

// unfinished are the prefixes of files that are renamed when they are whole.
var unfinished = []string{".new-", ".import-"}

func lookLeftovers(_ context.Context, p *patient, s *seen) {
	if s.skip = p.stranger(); s.skip != "" {
		return
	}
	var left, aside, spool []string
	var bytes int64
	_ = filepath.WalkDir(p.cfg.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		name := d.Name()
		if d.IsDir() {
			switch {
			case strings.HasPrefix(name, "damaged-") && filepath.Base(filepath.Dir(path)) == "spool":
				spool = append(spool, path)
				return fs.SkipDir
			case strings.Contains(name, ".damaged-"):
				aside = append(aside, path)
				bytes += int64(folderSize(path))
				return fs.SkipDir
			}
			return nil
		}
		if strings.Contains(name, ".damaged-") {
			aside = append(aside, path)
			return nil
		}
		for _, prefix := range unfinished {
			if i, err := d.Info(); err == nil && strings.HasPrefix(name, prefix) && time.Since(i.ModTime()) > oldEnough {
				left = append(left, path)
			}
		}
		return nil
	})
	remove := func(files []string) func(context.Context) error {
		return func(context.Context) error {
			var errs []error
			for _, f := range files {
				errs = append(errs, os.RemoveAll(f))
			}
			return errors.Join(errs...)
		}
	}
	if len(left) > 0 {
		s.mend(health.Leftovers.Found("%d, the first is %s", len(left), left[0]), repair{what: fmt.Sprintf("remove %d unfinished files", len(left)), do: remove(left)})
	}
	if len(aside) > 0 {
		var may []string
		for _, f := range aside {
			if !strings.HasPrefix(filepath.Base(f), "index.") { // it may be all that is left of the documents
				may = append(may, f)
			}
		}
		f := health.SetAside.Found("%d, %s, the first is %s", len(aside), size(bytes), aside[0])
		if len(may) == 0 {
			s.find(f.Mend("'rxedge ingest PATH' the documents again, then remove that folder"))
		} else {
			s.mend(f, repair{what: fmt.Sprintf("remove %d damaged copies", len(may)), do: remove(may)})
		}
	}
	if len(spool) > 0 {
		s.mend(health.SpoolDamaged.Found("it lies in %s", spool[0]), repair{what: fmt.Sprintf("remove %d damaged stores of reports", len(spool)), do: remove(spool)})
	}
	s.ok = "nothing"
}

// mayUse says whether this process may write in dir.
func mayUse(dir string) bool { return unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) == nil }
