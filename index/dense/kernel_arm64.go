package dense

import "golang.org/x/sys/cpu"

var hasVector = cpu.ARM64.HasASIMD

// Kernel names the instructions that the scan uses on this machine.
func Kernel() string {
	if hasVector {
		return "neon"
	}
	return "go"
}
