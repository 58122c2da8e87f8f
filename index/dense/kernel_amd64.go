package dense

import "golang.org/x/sys/cpu"

var hasVector = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// Kernel names the instructions that the scan uses on this machine.
func Kernel() string {
	if hasVector {
		return "avx2"
	}
	return "go"
}
