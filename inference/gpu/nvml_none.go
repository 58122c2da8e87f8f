//go:build !linux || !cgo

package gpu

import "context"

// openNVML: a program that was built without cgo can't load NVML; nvidia-smi
// serves.
func openNVML(context.Context) (Source, error) {
	return nil, &NoGPUError{Reason: NoLibrary, Detail: "this build of rxedge can't load NVML"}
}
