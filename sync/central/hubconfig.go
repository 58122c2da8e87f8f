package central

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"rxedge/sync/durable"
)

// Node of a hub, for its configuration.
type Node struct {
	Number  int    // from 1
	Listen  string // host:port for sites
	Cluster string // host:port of its route; "": a hub of one node
	Routes  []string
	// WebSocket is host:port of a listener for sites whose proxies want it; "":
	// none.
	WebSocket string
	Store     string // folder of its data
	MaxStore  int64  // bytes; 0: what the server chooses
	Prefix    string // where the files will lie on the node's machine; "": where they are written
	Monitor   string // loopback host:port of its HTTP monitor; "": none
}

// WriteNode writes the configuration of one node, its certificate and what it
// has to know of the accounts into dir, and returns the path of the
// configuration. It is one of an ordinary nats-server.
func (f *Folder) WriteNode(dir string, n Node) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, a := range []string{n.Listen, n.Cluster, n.WebSocket, n.Monitor} {
		if _, _, err := net.SplitHostPort(a); a != "" && err != nil {
			return "", fmt.Errorf("%q is not host:port", a)
		}
	}
	if n.Monitor != "" {
		if h, _, _ := net.SplitHostPort(n.Monitor); h != "localhost" && !net.ParseIP(h).IsLoopback() {
			return "", errors.New("the monitor listens on loopback alone")
		}
	}
	name := fmt.Sprintf("hub-%d", n.Number)
	file := func(suffix string) string { return filepath.Join(dir, name+suffix) }
	at := dir
	if n.Prefix != "" {
		at = n.Prefix
	}
	if f.hubCertificateDue(file(".crt")) {
		cert, key, err := f.issueWithKey(name, leafValid, true)
		if err != nil {
			return "", err
		}
		if err := durable.Write(file(".key"), []byte(key)); err != nil {
			return "", err
		}
		if err := durable.Write(file(".crt"), []byte(cert)); err != nil {
			return "", err
		}
	}
	ca, err := f.CA()
	if err != nil {
		return "", err
	}
	if err := durable.Write(filepath.Join(dir, "ca.crt"), []byte(ca)); err != nil {
		return "", err
	}
	op, err := os.ReadFile(f.path("accounts/operator.jwt"))
	if err != nil {
		return "", err
	}
	sysToken, sys, err := f.account("SYS")
	if err != nil {
		return "", err
	}
	sitesToken, sites, err := f.account("SITES")
	if err != nil {
		return "", err
	}
	if n.Store == "" {
		n.Store = filepath.Join(at, name+"-data")
	}
	tls := func(extra string) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true, min_version: \"1.3\", timeout: 10%s }", filepath.Join(at, name+".crt"), filepath.Join(at, name+".key"), filepath.Join(at, "ca.crt"), extra)
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Written by 'rxedge central'; %s of %s.", name, strings.Map(printable, f.Name))
	p("server_name: %q", name)
	p("listen: %q", n.Listen)
	p("%s", tls(", handshake_first: true"))
	p("max_payload: 1MB\nmax_connections: 100000\nwrite_deadline: \"60s\"\nping_interval: \"30s\"\nping_max: 3")
	p("operator: %q", strings.TrimSpace(string(op)))
	p("system_account: %s", sys.Subject)
	p("resolver { type: full, dir: %q, allow_delete: false, interval: \"1m\" }", filepath.Join(n.Store, "accounts"))
	p("resolver_preload { %s: %s, %s: %s }", sys.Subject, sysToken, sites.Subject, sitesToken)
	max := ""
	if n.MaxStore > 0 {
		max = fmt.Sprintf(", max_file_store: %d", n.MaxStore)
	}
	p("jetstream { store_dir: %q, sync_interval: always%s }", n.Store, max)
	if n.Cluster != "" {
		p("cluster { name: rxedge, listen: %q, routes: [%s], %s }", n.Cluster, quoted(n.Routes), tls(""))
	}
	if n.WebSocket != "" {
		p("websocket { listen: %q, %s }", n.WebSocket, tls(""))
	}
	if n.Monitor != "" {
		p("http: %q", n.Monitor)
	}
	path := file(".conf")
	return path, durable.Write(path, []byte(b.String()))
}

func printable(r rune) rune {
	if r < ' ' {
		return -1
	}
	return r
}

func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = fmt.Sprintf("%q", "tls://"+s)
	}
	return strings.Join(q, ", ")
}
