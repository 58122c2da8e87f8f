package access

import (
	"rxedge/sync/central"
)

// Record a change of who may what, signed, in the fleet's record. The error is of the
// key that signs, where it is not on this machine.
func Record(f *central.Folder, who, account, what string) error {
	return f.Note(central.AccessChanged, account, central.By{Who: who, Reason: what})
}
