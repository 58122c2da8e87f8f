package flow

import (
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"rxedge/sync/durable"
)

// Cluster is a bus of servers of its own, one or an odd number, for its configuration.
type Cluster struct {
	// Nodes are the addresses under which the servers are reached, host:port, one each.
	Nodes []string
	// Routes are those by which they reach one another; none: the port 2,000 above.
	Routes   []string
	Store    string // folder of a node's data on its machine; "": beside its configuration
	Prefix   string // where a node's files will lie on its machine; "": where they are written
	MaxStore int64  // bytes; 0: what the server chooses
	Anew     bool   // with a CA of its own: who was let in by the last is let in no more
}

// routesAbove is how far the ports between servers lie above those for clients.
const routesAbove = 2000

// What the certificates are made out to, whatever the address.
const busServerName = "bus.rxedge"

// Roles on the bus.
const (
	RoleIngest = "ingest" // the command that fetches, checks and commits
	RoleWorker = "worker"
)

// What a worker may do: take up units and say what came of them. It reads no results,
// makes and removes no stream, and gets nothing that is for another's inbox.
var (
	workerPublish = []string{
		subjectRead + "*", subjectCommit + "*", subjectTry + "*", "ingest.dead.>", subjectAsk,
		"$JS.API.STREAM.INFO." + StreamWork, "$JS.API.STREAM.INFO." + StreamBlobs, "$JS.API.STREAM.INFO." + StreamTries, "$JS.API.STREAM.INFO." + StreamDead,
		"$JS.API.CONSUMER.INFO." + StreamWork + ".read", "$JS.API.CONSUMER.MSG.NEXT." + StreamWork + ".read", "$JS.ACK." + StreamWork + ".read.>",
		"$JS.API.STREAM.MSG.GET." + StreamBlobs, "$JS.API.DIRECT.GET." + StreamBlobs + ".>",
		"$JS.API.STREAM.MSG.GET." + StreamTries, "$JS.API.DIRECT.GET." + StreamTries + ".>", "$JS.API.STREAM.PURGE." + StreamTries,
	}
	workerSubscribe = []string{inboxOf(RoleWorker) + ".>"}
)

func inboxOf(role string) string { return "_INBOX_" + role }

// Access lets one in: a file for the command, or for workers.
type Access struct {
	Role        string    `json:"role"`
	Addresses   []string  `json:"addresses"`
	CA          string    `json:"ca"`          // PEM
	Certificate string    `json:"certificate"` // PEM
	Key         string    `json:"key"`         // PEM
	Expires     time.Time `json:"expires"`
}

// ReadAccess reads a file that Write has written.
func ReadAccess(path string) (*Access, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a := &Access{}
	if err := json.Unmarshal(b, a); err != nil || len(a.Addresses) == 0 || a.Certificate == "" || a.Key == "" || a.CA == "" || a.Role != RoleIngest && a.Role != RoleWorker {
		return nil, fmt.Errorf("%s is no file of 'rxedge central ingest bus-config', or is damaged; copy it again from where that was run", path)
	}
	return a, nil
}

// Write the configuration of each server, with its certificate, into a folder of its own
// under out, and beside them a file for the command and one for workers. The CA's key
// stays in the centre's folder. It returns the paths of the configurations, which are
// those of an ordinary nats-server, and of the two files.
func (c Cluster) Write(centre, out string) (configs, access []string, err error) {
	if n := len(c.Nodes); n != 1 && n != 3 && n != 5 {
		return nil, nil, fmt.Errorf("a bus has 1, 3 or 5 servers, and not %d", n)
	}
	if out, err = filepath.Abs(out); err != nil {
		return nil, nil, err
	}
	routes, err := c.routes()
	if err != nil {
		return nil, nil, err
	}
	ca, err := openBusCA(filepath.Join(Folder(centre), "bus"), c.Anew)
	if err != nil {
		return nil, nil, fmt.Errorf("the bus's certificates: %w", err)
	}
	// A route is taken from the servers' own keys alone: a worker has a certificate of
	// this CA as well.
	names := make([]string, len(c.Nodes))
	keys := make([]*ecdsa.PrivateKey, len(c.Nodes))
	pins := make([]string, len(c.Nodes))
	for i := range c.Nodes {
		names[i] = fmt.Sprintf("bus-%d", i+1)
		if keys[i], pins[i], err = newKey(); err != nil {
			return nil, nil, err
		}
	}
	for i, name := range names {
		dir := filepath.Join(out, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, err
		}
		cert, key, err := ca.issue(keys[i], name, hostsOf(c.Nodes, routes))
		if err != nil {
			return nil, nil, err
		}
		conf := filepath.Join(dir, "bus.conf")
		for _, f := range []struct{ path, text string }{{filepath.Join(dir, "bus.key"), key}, {filepath.Join(dir, "bus.crt"), cert}, {filepath.Join(dir, "ca.crt"), ca.pem()}, {conf, c.config(i, name, dir, routes, pins)}} {
			if err := durable.Write(f.path, []byte(f.text)); err != nil {
				return nil, nil, err
			}
		}
		configs = append(configs, conf)
	}
	for _, role := range []string{RoleIngest, RoleWorker} {
		k, _, err := newKey()
		if err != nil {
			return nil, nil, err
		}
		a := Access{Role: role, Addresses: c.Nodes, CA: ca.pem(), Expires: ca.leafEnds()}
		if a.Certificate, a.Key, err = ca.issue(k, role, nil); err != nil {
			return nil, nil, err
		}
		b, err := json.MarshalIndent(a, "", "  ")
		if err != nil {
			return nil, nil, err
		}
		path := filepath.Join(out, role+".bus")
		if err := durable.Write(path, append(b, '\n')); err != nil {
			return nil, nil, err
		}
		access = append(access, path)
	}
	return configs, access, nil
}

func (c *Cluster) routes() ([]string, error) {
	if len(c.Routes) > 0 && len(c.Routes) != len(c.Nodes) {
		return nil, errors.New("as many routes as servers")
	}
	out := make([]string, len(c.Nodes))
	seen := map[string]bool{}
	for i, n := range c.Nodes {
		host, port, err := net.SplitHostPort(n)
		k, perr := strconv.Atoi(port)
		if err != nil || perr != nil || host == "" || k < 1 || k > 65535 || strings.ContainsAny(host, "\"/@?# ") {
			return nil, fmt.Errorf("%q is no address such as nats-1.example:4222", n)
		}
		if out[i] = net.JoinHostPort(host, strconv.Itoa(k+routesAbove)); len(c.Routes) > 0 {
			out[i] = c.Routes[i]
		}
		if _, _, err := net.SplitHostPort(out[i]); err != nil || k+routesAbove > 65535 && len(c.Routes) == 0 {
			return nil, fmt.Errorf("%s: the port between servers lies %d above it, at %s, which is none", n, routesAbove, out[i])
		}
		if seen[n] {
			return nil, fmt.Errorf("%s is named twice", n)
		}
		seen[n] = true
	}
	return out, nil
}

// listenOn is where a server listens that is reached at addr: on all of its machine's
// addresses, but for one of loopback.
func listenOn(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if host == "localhost" || net.ParseIP(host).IsLoopback() {
		return addr
	}
	return net.JoinHostPort("0.0.0.0", port)
}

func hostsOf(lists ...[]string) (out []string) {
	for _, l := range lists {
		for _, a := range l {
			host, _, _ := net.SplitHostPort(a)
			out = append(out, host)
		}
	}
	return out
}

// config of the server i.
func (c *Cluster) config(i int, name, dir string, routes, pins []string) string {
	at := dir
	if c.Prefix != "" {
		at = c.Prefix
	}
	store := c.Store
	if store == "" {
		store = filepath.Join(at, "store")
	}
	quoted := func(list []string, before string) string {
		q := make([]string, len(list))
		for i, s := range list {
			q[i] = strconv.Quote(before + s)
		}
		return strings.Join(q, ", ")
	}
	tls := func(more string) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, min_version: \"1.3\", timeout: 10, %s }", filepath.Join(at, "bus.crt"), filepath.Join(at, "bus.key"), filepath.Join(at, "ca.crt"), more)
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Written by 'rxedge central ingest bus-config'; the bus's server %d of %d.", i+1, len(c.Nodes))
	p("server_name: %q", name)
	p("listen: %q", listenOn(c.Nodes[i]))
	p("%s", tls("verify_and_map: true, handshake_first: true"))
	p("max_payload: %d", maxPayload)
	p("write_deadline: \"30s\"\nping_interval: \"10s\"\nping_max: 3")
	p("authorization { users: [")
	p("  { user: \"CN=%s\", permissions: { publish: \">\", subscribe: \">\" } }", RoleIngest)
	p("  { user: \"CN=%s\", permissions: { publish: { allow: [%s] }, subscribe: { allow: [%s] } } }", RoleWorker, quoted(workerPublish, ""), quoted(workerSubscribe, ""))
	p("] }")
	max := ""
	if c.MaxStore > 0 {
		max = fmt.Sprintf(", max_file_store: %d", c.MaxStore)
	}
	p("jetstream { store_dir: %q, sync_interval: always%s }", store, max)
	if len(c.Nodes) > 1 {
		p("cluster { name: rxedge-ingest, listen: %q, routes: [%s], %s }", listenOn(routes[i]), quoted(routes, "tls://"), tls("verify: true, pinned_certs: ["+quoted(pins, "")+"]"))
	}
	return b.String()
}
