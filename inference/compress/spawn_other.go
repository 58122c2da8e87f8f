//go:build !linux

package compress

import "syscall"

// The tools are built on Linux only; elsewhere the package only compiles.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
