//go:build !linux

package llama

import "syscall"

// The engine is built on Linux only; elsewhere the package only compiles.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
