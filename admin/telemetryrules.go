package main

import (
	"github.com/spf13/cobra"

	"rxedge/daemon/telemetry/alerts"
)

func (a *app) telemetryRules() *cobra.Command {
	return &cobra.Command{Use: "rules", Short: "Print alert rules for Prometheus",
		Long: `Print alert rules over this box's /metrics: slow answers, few cache hits, errors,
ungrounded answers, documents that can't be read, drift, fairness, cards, disk, link.
Put them under rule_files of the Prometheus that reads the box.`,
		Example: `  rxedge telemetry rules > /etc/prometheus/rxedge.rules.yml`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.print(map[string]string{"rules": string(alerts.Rules)})
			}
			_, err := a.out.Write(alerts.Rules)
			return err
		}}
}
