// Package control is the daemon's unix socket: what the rxedge tool asks of a
// running daemon. Whoever connects must be root or the daemon's own user. It
// carries the public interface too, and long work as lines of JSON: progress,
// then a result or a problem.
package control

import (
	"net"

	"rxedge/sync/local"
)

// SocketName is the socket's file in the data folder.
const SocketName = "rxedged.sock"

// Listen makes the socket in dir, mode 0600. The caller holds the data
// folder's lock, so a socket that is there is left over and is replaced.
func Listen(dir string) (net.Listener, error) { return local.Listen(dir, SocketName) }
