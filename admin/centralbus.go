package main

import (
	"fmt"
	"net"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"rxedge/centre/flow"
	"rxedge/sync/central"
)

// defaultBusPort of the bus's servers: another than the hub's, which may be on the same
// machine.
const defaultBusPort = "4333"

// busWritten is the result of bus-config.
type busWritten struct {
	Configurations []string `json:"configurations"`
	Ingest         string   `json:"ingest"`
	Worker         string   `json:"worker"`
}

func (a *app) ingestBusConfig(dir *string) *cobra.Command {
	var cl flow.Cluster
	c := &cobra.Command{Use: "bus-config OUT", Short: "Write what a bus of several servers needs",
		Long: `Write a folder for each server of a bus of its own, and two files that let in: ingest.bus for
'rxedge central ingest --bus', worker.bus for 'rxedge central ingest worker --bus' on any machine.
Copy each folder to its machine, to the path of --prefix, and run 'rxedge central ingest bus
--config FILE' there, or an ordinary nats-server of version 2.15 or newer with the same file. Of
three servers one may be away, of five two. The servers speak to one another on the port 2,000
above. Whoever has worker.bus may take up work; with --anew nobody has who had one before.`,
		Example: `  rxedge central ingest bus-config --node nats-1.example --node nats-2.example --node nats-3.example out/`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			if n := len(cl.Nodes); n != 1 && n != 3 && n != 5 {
				return usage("--node: name 1, 3 or 5 servers, each once")
			}
			for i, n := range cl.Nodes {
				if _, _, err := net.SplitHostPort(n); err != nil {
					cl.Nodes[i] = net.JoinHostPort(n, defaultBusPort)
				}
			}
			configs, access, err := cl.Write(f.Dir, given[0])
			if err != nil {
				return err
			}
			out := busWritten{configs, access[0], access[1]}
			if a.json {
				return a.print(out)
			}
			for i, conf := range configs {
				a.printf("%s is for the server at %s.\n", filepath.Dir(conf), cl.Nodes[i])
			}
			a.printf("%s lets the ingest in, %s a worker; both hold keys.\n", out.Ingest, out.Worker)
			return nil
		}}
	fl := c.Flags()
	fl.StringArrayVar(&cl.Nodes, "node", nil, "`address` of a server, one for each (its port is "+defaultBusPort+" where none is given)")
	fl.StringVar(&cl.Store, "store", "/var/lib/rxedge-bus", "`folder` of a server's data on its machine")
	fl.StringVar(&cl.Prefix, "prefix", "/etc/rxedge-bus", "`folder` where the files will lie on its machine; \"\" where they are written")
	fl.BoolVar(&cl.Anew, "anew", false, "with another CA: every file of before is worth nothing")
	return c
}

func (a *app) ingestBus() *cobra.Command {
	var config, logFile string
	c := &cobra.Command{Use: "bus --config FILE", Short: "Run one server of a bus of its own",
		Long:    "Run one server of a bus by a file that 'rxedge central ingest bus-config' has written.",
		Example: `  rxedge central ingest bus --config /etc/rxedge-bus/bus.conf`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if config == "" {
				return usage("--config: name the file")
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM)
			defer stop()
			h, err := central.RunNode(config, logFile)
			if err != nil {
				return fmt.Errorf("a server of the bus: %w", err)
			}
			defer h.Close()
			a.printf("The bus's server listens on %s. Stop with Ctrl-C.\n", h.Address())
			<-ctx.Done()
			return nil
		}}
	c.Flags().StringVar(&config, "config", "", "`file` of bus-config")
	c.Flags().StringVar(&logFile, "log", "", "`file` for the server's own log")
	return c
}
