package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) enroll() *cobra.Command {
	return &cobra.Command{
		Use: "enroll FILE", Short: "Make this box a site of a fleet",
		Long: `Make this box a site, by the file that the centre wrote with 'rxedge central site add'.

The box makes its own keys and asks the hub, once, with the claim in the file. After that
the daemon keeps the connection. The file is of no use any more; delete it.`,
		Example: `  rxedge enroll pharmacy-17.enroll`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			b, err := os.ReadFile(given[0])
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			return on(a, c, func(s station) (enrolled, error) {
				site, err := s.Enroll(c.Context(), b)
				return enrolled{site}, err
			}, func(e enrolled) {
				a.printf("This box is the site %s now. 'rxedge sync status' shows how it stands; delete %s.\n", e.Site, given[0])
			})
		},
	}
}

type enrolled struct {
	Site string `json:"site"`
}
