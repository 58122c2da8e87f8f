package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/sync/central"
	"rxedge/sync/durable"
)

const centreFlag = "`folder` of the centre (default $RXEDGE_CENTRAL, ./central)"

func (a *app) centre(dir string) (*central.Folder, error) { return central.Open(centreDir(dir)) }

func centreDir(dir string) string {
	if dir == "" {
		dir = os.Getenv("RXEDGE_CENTRAL")
	}
	if dir == "" {
		dir = "central"
	}
	return dir
}

func (a *app) central() *cobra.Command {
	var dir string
	c := &cobra.Command{Use: "central", Short: "The centre of a fleet: keys, hub, sites, publishing",
		Long: `The centre of a fleet. 'init' makes a folder with its keys, 'hub' runs the hub on this
machine, 'site add' writes the file that makes a box a site, 'publish' sends documents,
'serve' shows the fleet on a page.`,
		Example: `  rxedge central init --hub hub.example:4222
  rxedge central hub
  rxedge central site add pharmacy-17
  rxedge central publish labels/`, RunE: group}
	c.PersistentFlags().StringVar(&dir, "dir", "", centreFlag)
	site := &cobra.Command{Use: "site", Short: "The sites of the fleet", Example: `  rxedge central site list`, RunE: group}
	site.AddCommand(a.siteAdd(&dir), a.siteList(&dir), a.siteRevoke(&dir), a.siteLabel(&dir))
	c.AddCommand(a.centralInit(&dir), a.centralHub(&dir), a.centralHubConfig(&dir), a.centralRoles(&dir), site, a.centralPublish(&dir), a.centralPush(&dir), a.centralUpdates(&dir), a.centralWatch(&dir), a.centralRollout(&dir), a.centralFleet(&dir), a.centralTrial(&dir), a.centralRoot(&dir), a.centralServe(&dir), a.centralUser(&dir), a.centralSimulate(&dir), a.centralSites())
	c.AddCommand(a.centralRetrain(&dir))
	c.AddCommand(a.centralQuarantine(&dir), a.centralReview(&dir), a.centralLineage(&dir))
	c.AddCommand(a.centralIngest(&dir))
	return c
}

func (a *app) centralInit(dir *string) *cobra.Command {
	var opt central.InitOptions
	c := &cobra.Command{Use: "init --hub HOST:PORT", Short: "Make the keys of a fleet",
		Long:    "Make the keys of a fleet in a new folder. README.txt in it says what is to be taken offline.",
		Example: `  rxedge central init --hub hub.example:4222 --name "pharmacies north"`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if len(opt.Hubs) == 0 {
				return usage("--hub: name the address under which sites reach the hub, such as hub.example:4222")
			}
			f, err := central.Init(centreDir(*dir), opt)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(f.Settings)
			}
			a.printf("The fleet's keys are in %s. Read README.txt there: it says what to take offline, now.\nNext: 'rxedge central hub' on the hub's machine, 'rxedge central site add NAME' for each box.\n", f.Dir)
			return nil
		}}
	c.Flags().StringArrayVar(&opt.Hubs, "hub", nil, "`address` under which sites reach the hub; one for each node (wss://host:port for WebSocket)")
	c.Flags().StringVar(&opt.Name, "name", "rxedge fleet", "`name` of the fleet")
	c.Flags().IntVar(&opt.Nodes, "nodes", 1, "`nodes` of the hub: 1, 3 or 5")
	return c
}

func (a *app) siteAdd(dir *string) *cobra.Command {
	var channel, out string
	var valid time.Duration
	c := &cobra.Command{Use: "add SITE", Short: "Write the file that makes a box a site",
		Long:    "Write the file that makes a box a site: SITE.enroll, mode 0600. It is good for one box and for a\nshort time; carry it as you would a key. A site that was revoked can be added again.",
		Example: `  rxedge central site add pharmacy-17 --channel stable`, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			if valid < time.Minute || valid > 30*24*time.Hour {
				return usage("--valid: %v is outside one minute to 30 days", valid)
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			file, err := f.AddSite(given[0], channel, valid)
			if err != nil {
				return err
			}
			b, err := json.MarshalIndent(file, "", "  ")
			if err != nil {
				return err
			}
			if out == "" {
				out = given[0] + ".enroll"
			}
			if err := durable.Write(filepath.Clean(out), append(b, '\n')); err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"site": given[0], "channel": channel, "file": out, "expires": file.Expires})
			}
			a.printf("%s is for one box, until %s. On the box: rxedge enroll %s\n", out, file.Expires.Local().Format(time.DateTime), filepath.Base(out))
			return nil
		}}
	c.Flags().StringVar(&channel, "channel", "stable", "`name` of the channel that the site follows")
	c.Flags().StringVar(&out, "out", "", "`file` to write (default SITE.enroll)")
	c.Flags().DurationVar(&valid, "valid", 72*time.Hour, "how long the file is good for")
	return c
}

func (a *app) siteList(dir *string) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the sites", Example: `  rxedge central site list --json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			sites, err := f.Sites()
			if err != nil {
				return err
			}
			type row struct {
				Site     string     `json:"site"`
				Channel  string     `json:"channel"`
				Status   string     `json:"status"`
				Added    time.Time  `json:"added"`
				Enrolled *time.Time `json:"enrolled,omitempty"`
				Revoked  *time.Time `json:"revoked,omitempty"`

				Labels map[string]string `json:"labels,omitempty"`
			}
			list, rows := []row{}, []table.Row{}
			for _, s := range sites {
				r := row{s.ID, s.Channel, s.Status(time.Now()), s.Added, s.Enrolled, s.Revoked, s.Labels}
				list = append(list, r)
				rows = append(rows, table.Row{r.Site, r.Channel, r.Status, r.Added.Local().Format(time.DateTime), central.LabelText(r.Labels)})
			}
			if a.json {
				return a.print(list)
			}
			if len(rows) == 0 {
				a.printf("There are no sites yet; 'rxedge central site add NAME' adds one.\n")
				return nil
			}
			a.table(table.Row{"site", "channel", "status", "added", "labels"}, rows)
			return nil
		}}
}

func (a *app) siteRevoke(dir *string) *cobra.Command {
	var hubs []string
	c := &cobra.Command{Use: "revoke SITE", Short: "Take a site out, and cut its connection", Example: `  rxedge central site revoke pharmacy-17`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			n, err := f.Revoke(c.Context(), given[0], hubs)
			if err != nil && errors.Is(err, central.ErrNoSite) {
				return err
			}
			if err != nil {
				return fmt.Errorf("%s is revoked here, and the hub does not know it yet: %w; 'rxedge central site revoke %s' again once it is reached", given[0], err, given[0])
			}
			if a.json {
				return a.print(map[string]any{"site": given[0], "servers": n})
			}
			a.printf("%s is revoked; %d of the hub's servers know it.\n", given[0], n)
			if n < f.Nodes {
				return &refusedError{fmt.Sprintf("%d of %d servers have not answered; revoke it again when they are back", f.Nodes-n, f.Nodes)}
			}
			return nil
		}}
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}
