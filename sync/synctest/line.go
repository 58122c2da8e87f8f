// Package synctest holds what tests of sync need beside the real hub and the
// real site: a line that can be made bad, and a fleet on this machine.
package synctest

import "rxedge/sync/relay"

// Line to a hub that can be made bad.
type Line = relay.Line

// NewLine listens on a loopback port and relays to target.
func NewLine(target string) (*Line, error) { return relay.New(target) }
