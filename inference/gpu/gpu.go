// Package gpu tells what NVIDIA cards a machine has and how they feel: through
// NVML where the driver's library is, through nvidia-smi otherwise. It only
// reads; no setting of a card is ever changed.
//
// A machine without a card is a normal state: Open returns a *NoGPUError that
// says why, and everything else in rxedge runs on the CPU. A value that a card
// does not report is nil, never zero.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Snapshot is one reading of all cards.
type Snapshot struct {
	At     time.Time `json:"at"`
	Source string    `json:"source"`         // "nvml" or "nvidia-smi"
	Driver string    `json:"driver"`         // such as 550.54.15
	CUDA   string    `json:"cuda,omitempty"` // newest CUDA that the driver serves, such as 12.4
	Cards  []Card    `json:"cards"`          // by index
}

// Card is one card and how it feels. Memory is in bytes.
type Card struct {
	Index        int          `json:"index"`
	Name         string       `json:"name"`
	UUID         string       `json:"uuid"`
	Architecture string       `json:"architecture,omitempty"` // Turing, Ada, Hopper…
	Compute      string       `json:"compute,omitempty"`      // compute capability, such as 8.9
	Memory       *Memory      `json:"memory,omitempty"`
	Temperature  Temperature  `json:"temperature"`
	Clocks       Clocks       `json:"clocks"`
	Power        Power        `json:"power"`
	Utilisation  *Utilisation `json:"utilisation,omitempty"`
	ECC          *ECC         `json:"ecc,omitempty"`
	Remapped     *Remapped    `json:"remapped_rows,omitempty"`
	PCIe         PCIe         `json:"pcie"`
	// MIG is whether the card is split into instances; nil where it can't be.
	MIG       *bool     `json:"mig,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	// Fault says why the card can't be used: it fell off the bus, or it waits
	// for a reset. The other values are then missing or old.
	Fault string `json:"fault,omitempty"`
}

// Memory of a card in bytes.
type Memory struct {
	Total uint64 `json:"total_bytes"`
	Used  uint64 `json:"used_bytes"`
	Free  uint64 `json:"free_bytes"`
}

// Temperature in degrees Celsius: of the GPU, and where it slows down, switches
// itself off, and is meant to stay below.
type Temperature struct {
	Now          *int `json:"now_c,omitempty"`
	Slowdown     *int `json:"slowdown_c,omitempty"`
	Shutdown     *int `json:"shutdown_c,omitempty"`
	MaxOperating *int `json:"max_operating_c,omitempty"`
}

// Clocks in MHz, and why they are held below their maximum.
type Clocks struct {
	Graphics    *int   `json:"graphics_mhz,omitempty"`
	Memory      *int   `json:"memory_mhz,omitempty"`
	MaxGraphics *int   `json:"max_graphics_mhz,omitempty"`
	MaxMemory   *int   `json:"max_memory_mhz,omitempty"`
	Held        []Held `json:"held,omitempty"`
}

// Power in watts.
type Power struct {
	Draw  *float64 `json:"draw_w,omitempty"`
	Limit *float64 `json:"limit_w,omitempty"` // enforced
}

// Utilisation in percent of the last sampling period.
type Utilisation struct {
	GPU    int `json:"gpu_percent"`
	Memory int `json:"memory_percent"` // time in which memory was read or written
}

// ECC counts memory errors since the driver was loaded.
type ECC struct {
	Enabled     bool    `json:"enabled"`
	Corrected   *uint64 `json:"corrected,omitempty"`
	Uncorrected *uint64 `json:"uncorrected,omitempty"`
}

// Remapped rows: memory that the card has replaced with spare rows.
type Remapped struct {
	Corrected   int  `json:"corrected"`
	Uncorrected int  `json:"uncorrected"`
	Pending     bool `json:"pending"` // done at the next reset
	Failed      bool `json:"failed"`  // no spare row was left: replace the card
}

// PCIe link as it runs now, and as card and slot could.
type PCIe struct {
	Generation    *int `json:"generation,omitempty"`
	Width         *int `json:"width,omitempty"`
	MaxGeneration *int `json:"max_generation,omitempty"`
	MaxWidth      *int `json:"max_width,omitempty"`
}

// Process that has memory on a card.
type Process struct {
	PID    int     `json:"pid"`
	Name   string  `json:"name,omitempty"`
	Memory *uint64 `json:"memory_bytes,omitempty"`
}

// Source reads the cards. NVML, nvidia-smi and a test's fake are sources.
type Source interface {
	// Read reads every card. A value that a card does not report is nil; a card
	// that is lost is there with its Fault. ErrHung means that the driver did
	// not answer before ctx ended. Safe for concurrent use.
	Read(ctx context.Context) (Snapshot, error)
	// XIDs delivers the driver's reports of faults until ctx ends, and closes
	// the channel then. ErrUnsupported where the source can't.
	XIDs(ctx context.Context) (<-chan XID, error)
	// Close waits for what is still being read, unless it hangs.
	Close() error
}

var (
	// ErrHung: the driver did not answer in time. A card in this state needs
	// its processes ended or the machine restarted.
	ErrHung = errors.New("the GPU driver does not answer")
	// ErrUnsupported: this source has no such reading.
	ErrUnsupported = errors.New("not available from this source")
	// ErrNoGPU: there is no usable NVIDIA card; a *NoGPUError says why.
	ErrNoGPU = errors.New("no GPU")
)

// Reason why there is no usable card.
type Reason string

// Reasons of a NoGPUError.
const (
	NoLibrary  Reason = "no_library" // neither libnvidia-ml nor nvidia-smi
	NoDriver   Reason = "no_driver"  // the kernel module is not loaded
	NoDevice   Reason = "no_device"  // a driver and no card
	NoAccess   Reason = "no_access"  // this user may not read the card
	Mismatched Reason = "mismatch"   // library and kernel module differ: restart
	Unknown    Reason = "unknown"
)

// NoGPUError says why there is no usable card. It is ErrNoGPU.
type NoGPUError struct {
	Reason Reason
	Detail string // what was tried and what it said
	// OnBus counts the NVIDIA display controllers that the PCI bus shows all
	// the same.
	OnBus int
}

func (e *NoGPUError) Error() string {
	text := map[Reason]string{
		NoLibrary:  "no NVIDIA driver is installed",
		NoDriver:   "the NVIDIA driver is installed but its kernel module is not loaded",
		NoDevice:   "the NVIDIA driver finds no card",
		NoAccess:   "this user may not read the NVIDIA card",
		Mismatched: "the NVIDIA driver was changed while its old kernel module runs; restart the machine",
	}[e.Reason]
	if text == "" {
		text = "the NVIDIA driver does not start"
	}
	switch {
	case e.OnBus == 1:
		text += "; the PCI bus shows an NVIDIA card: install the driver that the firmware profile names and restart"
	case e.OnBus > 1:
		text += fmt.Sprintf("; the PCI bus shows %d NVIDIA cards: install the driver that the firmware profile names and restart", e.OnBus)
	}
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	return text
}

// Is makes a NoGPUError be ErrNoGPU.
func (e *NoGPUError) Is(target error) bool { return target == ErrNoGPU }

// Open finds the best source of this machine: NVML, then nvidia-smi. Where
// neither shows a card the error is a *NoGPUError.
func Open(ctx context.Context) (Source, error) {
	return open(ctx, openNVML, openSMI, onBus)
}

type opener func(context.Context) (Source, error)

// open tries the sources in order and returns the more telling error.
func open(ctx context.Context, nvml, smi opener, bus func() int) (Source, error) {
	s, err := nvml(ctx)
	if err == nil {
		return s, nil
	}
	if ctx.Err() != nil && !errors.Is(err, ErrHung) {
		return nil, ctx.Err()
	}
	var no *NoGPUError
	if !errors.As(err, &no) {
		return nil, err
	}
	// nvidia-smi asks the same library: it can only know more where this
	// program could not load it.
	if no.Reason == NoLibrary || no.Reason == Unknown {
		s, smiErr := smi(ctx)
		if smiErr == nil {
			return s, nil
		}
		var other *NoGPUError
		if errors.As(smiErr, &other) && other.Reason != NoLibrary {
			no = other
		}
	}
	if no.Reason != NoAccess && no.Reason != Mismatched {
		no.OnBus = bus()
	}
	return nil, no
}

func ptr[T any](v T) *T { return &v }
