package llama

import (
	"regexp"
	"syscall"
)

// What llama.cpp and its backends say when a model cannot be loaded.
var (
	noMemory = regexp.MustCompile(`(?i)out of memory|unable to allocate|failed to allocate|bad_alloc|OutOfDeviceMemory|OutOfHostMemory|cannot allocate memory|cudaMalloc failed`)
	noSuch   = regexp.MustCompile(`(?i)unknown model architecture|unsupported model|unknown pre-tokenizer|unknown tokenizer|unknown projector|invalid ggml type`)
	damaged  = regexp.MustCompile(`(?i)invalid magic|bad magic|corrupted|incomplete|not within (the )?file bounds|failed to read|unexpectedly reached end|wrong shape|missing tensor|wrong number of tensors|key not found|no direction|failed to load (model )?metadata|failed to seek`)
)

// loadFailure tells the kinds of failed starts apart, as far as the engine's
// words allow; nil where they don't.
func loadFailure(reason string, unreadable bool, c *child) error {
	switch {
	case unreadable:
		return ErrBrokenModel
	case noMemory.MatchString(reason):
		return ErrOutOfMemory
	case noSuch.MatchString(reason):
		return ErrUnsupportedModel
	case damaged.MatchString(reason):
		return ErrBrokenModel
	case c.hung.Load() == nil && c.signal() == syscall.SIGKILL:
		return ErrOutOfMemory // we did not: it was the kernel
	}
	return nil
}
