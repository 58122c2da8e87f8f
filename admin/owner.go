package main

import (
	"errors"
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

// asOwnerFor is asOwner until back is called, which makes this process root again.
func asOwnerFor(data string) (back func() error, err error) {
	back = func() error { return nil }
	info, err := os.Stat(data)
	if err != nil || os.Geteuid() != 0 {
		return back, nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return back, nil
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return back, err
	}
	uid, gid := int(st.Uid), int(st.Gid)
	root := func() error {
		return errors.Join(syscall.Setresuid(0, 0, 0), syscall.Setresgid(0, 0, 0), syscall.Setgroups(groups))
	}
	for _, become := range []func() error{
		func() error { return syscall.Setgroups([]int{gid}) },
		func() error { return syscall.Setresgid(gid, gid, 0) },
		func() error { return syscall.Setresuid(uid, uid, 0) },
	} {
		if err := become(); err != nil {
			return back, fmt.Errorf("becoming the owner of %s: %w", data, errors.Join(err, root()))
		}
	}
	return root, nil
}
