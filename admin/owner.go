package main

import (
	"fmt"
	"os"
	"syscall"
)

// asOwner makes this process the data folder's owner, where root runs it: what root
// would write there the service could not read.
func asOwner(data string) error {
	info, err := os.Stat(data)
	if err != nil || os.Geteuid() != 0 {
		return nil // whoever opens it says what is wrong
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	uid, gid := int(st.Uid), int(st.Gid)
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", data, err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", data, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", data, err)
	}
	return nil
}
