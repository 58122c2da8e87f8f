// Package local makes unix sockets for the programs of one user of one machine: in a
// folder, however long its path, and for root and the owner alone.
package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPath is what sun_path holds, its final zero left out.
const maxPath = 107

// Address of the socket name in dir, to dial. A path that is too long for a socket is
// reached through a descriptor of the folder, which done closes.
func Address(dir, name string) (path string, done func(), err error) {
	path = filepath.Join(dir, name)
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + name, func() { _ = unix.Close(fd) }, nil
}

// Listen makes the socket name in dir, mode 0600. The caller holds a lock of the
// folder, so a socket that is there is left over and is replaced.
func Listen(dir, name string) (net.Listener, error) {
	path, done, err := Address(dir, name)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		done()
		return nil, fmt.Errorf("clearing the old socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		done()
		return nil, fmt.Errorf("listening on the socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		done()
		return nil, fmt.Errorf("listening on the socket: %w", err)
	}
	return &listener{UnixListener: l, done: done}, nil
}

type listener struct {
	*net.UnixListener
	done func()
}

func (l *listener) Close() error {
	err := l.UnixListener.Close() // removes the file
	l.done()
	l.done = func() {}
	return err
}

// Accept passes over callers that are neither root nor this process's user.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if allowed(c) {
			return c, nil
		}
		_ = c.Close()
	}
}

func allowed(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		ok = err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Getuid())
	})
	return err == nil && ok
}
