// Package control is the daemon's unix socket: what the rxedge tool asks of a
// running daemon. Whoever connects must be root or the daemon's own user. It
// carries the public interface too, and long work as lines of JSON: progress,
// then a result or a problem.
package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// SocketName is the socket's file in the data folder.
const SocketName = "rxedged.sock"

// maxPath is what sun_path holds, its final zero left out.
const maxPath = 107

// address of the socket in dir. A path that is too long for a socket is
// reached through a descriptor of the folder, which done closes.
func address(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, SocketName)
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + SocketName, func() { _ = unix.Close(fd) }, nil
}

// Listen makes the socket in dir, mode 0600. The caller holds the data
// folder's lock, so a socket that is there is left over and is replaced.
func Listen(dir string) (net.Listener, error) {
	path, done, err := address(dir)
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

// Accept passes over callers that are neither root nor the daemon's user.
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
