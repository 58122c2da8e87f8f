// Package alerts holds the alert rules for a box's /metrics.
package alerts

import _ "embed"

// Rules for Prometheus, as they are put under rule_files.
//
//go:embed rxedge.rules.yml
var Rules []byte
