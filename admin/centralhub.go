package main

import (
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"rxedge/sync/central"
)

func (a *app) centralHub(dir *string) *cobra.Command {
	var node central.Node
	var config, logFile string
	var services bool
	var hubs []string
	c := &cobra.Command{Use: "hub", Short: "Run the hub, or what a cluster needs beside it",
		Long: `Run the hub of one node on this machine, with the services that answer enrolments and
renew signatures. --config runs one node of a cluster, by a file of 'hub-config', and
nothing else; --services runs the services alone, against the cluster.`,
		Example: `  rxedge central hub
  rxedge central hub --config /etc/rxedge-hub/hub-1.conf
  rxedge central hub --services`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM)
			defer stop()
			log := slog.New(slog.NewTextHandler(a.err, nil))
			if config != "" {
				h, err := central.RunNode(config, logFile)
				if err != nil {
					return err
				}
				defer h.Close()
				a.printf("The hub's node listens on %s.\n", h.Address())
				<-ctx.Done()
				return nil
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if services {
				return f.Serve(ctx, hubs, log, func() { a.printf("The centre's services are ready.\n") })
			}
			if f.Nodes > 1 {
				return usage("this fleet's hub has %d nodes: 'hub-config' writes their configurations, --config runs one, --services what they need", f.Nodes)
			}
			node.Number = 1
			if node.Listen == "" {
				_, port, err := net.SplitHostPort(f.Hubs[0])
				if err != nil {
					return fmt.Errorf("name the address with --listen: %w", err)
				}
				node.Listen = "0.0.0.0:" + port
			}
			if signed, err := f.SignRolesHere(); err != nil {
				// It runs all the same; the operator's key may be elsewhere.
				log.Warn("the roles of sites are those of an older rxedge; sign them with 'rxedge central roles'", "error", err)
			} else if len(signed) > 0 {
				log.Info("the roles of sites were signed anew", "roles", signed)
			}
			conf, err := f.WriteNode(filepath.Join(f.Dir, "hub"), node)
			if err != nil {
				return err
			}
			h, err := central.RunNode(conf, logFile)
			if err != nil {
				return err
			}
			defer h.Close()
			a.printf("The hub listens on %s. Stop with Ctrl-C.\n", h.Address())
			if len(hubs) == 0 {
				_, port, _ := net.SplitHostPort(h.Address())
				hubs = []string{"127.0.0.1:" + port}
			}
			return f.Serve(ctx, hubs, log, func() { a.printf("Enrolments are answered.\n") })
		}}
	c.Flags().StringVar(&node.Listen, "listen", "", "`host:port` for sites (default every address, the port of central init)")
	c.Flags().StringVar(&node.WebSocket, "websocket", "", "`host:port` for sites whose proxies want WebSocket")
	c.Flags().StringVar(&node.Monitor, "monitor", "", "loopback `host:port` of the server's numbers")
	c.Flags().StringVar(&config, "config", "", "`file` of hub-config: run this node alone")
	c.Flags().StringVar(&logFile, "log", "", "`file` for the server's own log")
	c.Flags().BoolVar(&services, "services", false, "run the services alone")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` by which the services reach the hub")
	return c
}

func (a *app) centralHubConfig(dir *string) *cobra.Command {
	var hosts []string
	var nodes, port, cluster int
	var store, prefix string
	c := &cobra.Command{Use: "hub-config OUT", Short: "Write the configurations of a cluster's nodes",
		Long: `Write a folder for each node of the hub: configuration, certificate, key. Copy each to its
machine, to the path of --prefix, and run 'rxedge central hub --config FILE' there, or an
ordinary nats-server of version 2.15 or newer with the same file.`,
		Example: `  rxedge central hub-config --nodes 3 --host a.example --host b.example --host c.example out/`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if nodes != f.Nodes || len(hosts) != nodes {
				return usage("this fleet's hub has %d nodes (central init --nodes); name as many with --nodes and --host", f.Nodes)
			}
			var routes, written []string
			for _, h := range hosts {
				routes = append(routes, net.JoinHostPort(h, fmt.Sprint(cluster)))
			}
			for i := range hosts {
				n := central.Node{Number: i + 1, Listen: fmt.Sprintf("0.0.0.0:%d", port), Cluster: fmt.Sprintf("0.0.0.0:%d", cluster), Routes: routes, Store: store, Prefix: prefix}
				if nodes == 1 {
					n.Cluster = ""
				}
				conf, err := f.WriteNode(filepath.Join(given[0], fmt.Sprintf("hub-%d", i+1)), n)
				if err != nil {
					return err
				}
				written = append(written, conf)
			}
			if a.json {
				return a.print(written)
			}
			for _, w := range written {
				a.printf("%s\n", w)
			}
			return nil
		}}
	c.Flags().IntVar(&nodes, "nodes", 3, "`nodes` of the hub")
	c.Flags().StringArrayVar(&hosts, "host", nil, "`name` of a node's machine, one for each")
	c.Flags().IntVar(&port, "port", 4222, "`port` for sites")
	c.Flags().IntVar(&cluster, "cluster-port", 6222, "`port` between nodes")
	c.Flags().StringVar(&store, "store", "/var/lib/rxedge-hub", "`folder` of a node's data on its machine")
	c.Flags().StringVar(&prefix, "prefix", "/etc/rxedge-hub", "`folder` where the files will lie on its machine")
	return c
}

func (a *app) centralRoles(dir *string) *cobra.Command {
	var hubs []string
	c := &cobra.Command{Use: "roles", Short: "Sign anew what sites may do, after rxedge was updated here",
		Long: `Sign anew what sites may do, as this rxedge has it, and give it to the hub. A fleet that
was made by an older rxedge lacks what came since, such as sites' renewing their
certificates. Needs keys/operator-signing.nk and keys/user-system.nk. Sites are connected
anew within seconds; revocations stay. 'rxedge central hub' does it by itself at its
start, where the keys are there; a cluster wants this command.`,
		Example: `  rxedge central roles`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			signed, n, err := f.SignRoles(c.Context(), hubs)
			if err != nil && len(signed) > 0 {
				return fmt.Errorf("they are signed here, and the hub does not have them yet; give 'rxedge central roles' again once it is reached: %w", err)
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"signed": append([]string{}, signed...), "servers": n})
			}
			what := "The roles are those of this rxedge already"
			if len(signed) > 0 {
				what = "Signed anew: " + strings.Join(signed, ", ")
			}
			a.printf("%s; %d of the hub's servers have them.\n", what, n)
			if n < f.Nodes {
				return &refusedError{fmt.Sprintf("%d of %d servers have not answered; give it again when they are back", f.Nodes-n, f.Nodes)}
			}
			return nil
		}}
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}
