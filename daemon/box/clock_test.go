package box

import "rxedge/daemon/clock"

func clockOf(read clock.Clocks) *clock.Clock { return clock.Open("", builtAt(), read, nil) }
