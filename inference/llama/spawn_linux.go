package llama

import "syscall"

// childAttributes: a process group of its own, so that a Ctrl-C meant for the
// daemon does not reach it, and death with the daemon. The kernel sends
// Pdeathsig when the thread that made the child ends, not the process, so the
// caller stays on one locked thread for as long as the child lives.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
