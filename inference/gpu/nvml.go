//go:build linux && cgo

package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// nvmlSource reads through NVIDIA's management library.
type nvmlSource struct {
	lib nvml.Interface
	now func() time.Time
	// The library calls can't be cancelled: while one hangs, no other is begun.
	busy   chan struct{} // holds one token
	events sync.WaitGroup
	// stop ends the XID subscriptions.
	stop context.CancelFunc
	life context.Context
}

func openNVML(ctx context.Context) (Source, error) { return startNVML(ctx, nvml.New()) }

func startNVML(ctx context.Context, lib nvml.Interface) (Source, error) {
	s := &nvmlSource{lib: lib, now: time.Now, busy: make(chan struct{}, 1)}
	s.life, s.stop = context.WithCancel(context.Background())
	_, err := alone(ctx, s.busy, func() (struct{}, error) {
		if ret := lib.Init(); ret != nvml.SUCCESS {
			return struct{}{}, initError(ret)
		}
		n, ret := lib.DeviceGetCount()
		if ret == nvml.SUCCESS && n > 0 {
			return struct{}{}, nil
		}
		lib.Shutdown()
		if ret != nvml.SUCCESS {
			return struct{}{}, initError(ret)
		}
		return struct{}{}, &NoGPUError{Reason: NoDevice}
	})
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func initError(ret nvml.Return) error {
	e := &NoGPUError{Reason: Unknown, Detail: "NVML: " + message(ret)}
	switch ret {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		e.Reason, e.Detail = NoLibrary, ""
	case nvml.ERROR_DRIVER_NOT_LOADED:
		e.Reason = NoDriver
	case nvml.ERROR_NOT_FOUND:
		e.Reason = NoDevice
	case nvml.ERROR_NO_PERMISSION:
		e.Reason = NoAccess
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		e.Reason = Mismatched
	}
	return e
}

// message of NVML, without a full stop.
func message(ret nvml.Return) string { return strings.TrimRight(ret.Error(), ". ") }

// alone runs do unless another call runs still, and stops waiting for it when
// ctx ends.
func alone[T any](ctx context.Context, busy chan struct{}, do func() (T, error)) (T, error) {
	var zero T
	select {
	case busy <- struct{}{}:
	case <-ctx.Done():
		return zero, ErrHung
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := do()
		<-busy
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return zero, ErrHung
	}
}

// Read implements Source.
func (s *nvmlSource) Read(ctx context.Context) (Snapshot, error) {
	return alone(ctx, s.busy, s.read)
}

func (s *nvmlSource) read() (Snapshot, error) {
	snap := Snapshot{At: s.now().UTC(), Source: "nvml"}
	snap.Driver, _ = s.lib.SystemGetDriverVersion()
	if v, ret := s.lib.SystemGetCudaDriverVersion(); ret == nvml.SUCCESS && v > 0 {
		snap.CUDA = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
	}
	n, ret := s.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return Snapshot{}, fmt.Errorf("counting the NVIDIA cards: %s", message(ret))
	}
	for i := range n {
		dev, ret := s.lib.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			snap.Cards = append(snap.Cards, Card{Index: i, Fault: fault(ret, true)})
			continue
		}
		snap.Cards = append(snap.Cards, s.card(i, dev))
	}
	return snap, nil
}

// fault words an error of a card that can't be used; "" for any other error,
// unless every error is a fault.
func fault(ret nvml.Return, every bool) string {
	switch ret {
	case nvml.SUCCESS:
		return ""
	case nvml.ERROR_GPU_IS_LOST, nvml.ERROR_GPU_NOT_FOUND:
		return "the card has fallen off the bus; restart the machine, and if it comes back replace the card"
	case nvml.ERROR_RESET_REQUIRED:
		return "the card waits for a reset; restart the machine"
	case nvml.ERROR_IRQ_ISSUE:
		return "the card's interrupts do not arrive; restart the machine"
	}
	if every {
		return message(ret)
	}
	return ""
}

// has tells whether the driver's library knows a function. Calling one that it
// does not know would end the process.
func (s *nvmlSource) has(symbol string) bool { return s.lib.Extensions().LookupSymbol(symbol) == nil }

// card reads all there is of a card. What it does not support stays nil.
func (s *nvmlSource) card(index int, dev nvml.Device) Card {
	c := Card{Index: index}
	var ret nvml.Return
	note := func(ret nvml.Return) {
		if f := fault(ret, false); f != "" {
			c.Fault = f
		}
	}
	c.Name, ret = dev.GetName()
	note(ret)
	c.UUID, _ = dev.GetUUID()
	if major, minor, ret := dev.GetCudaComputeCapability(); ret == nvml.SUCCESS {
		c.Compute = fmt.Sprintf("%d.%d", major, minor)
		c.Architecture = architecture(c.Compute)
	}
	m, ret := dev.GetMemoryInfo()
	note(ret)
	if ret == nvml.SUCCESS && m.Total > 0 {
		c.Memory = &Memory{Total: m.Total, Used: m.Used, Free: m.Free}
	}
	t, ret := dev.GetTemperature(nvml.TEMPERATURE_GPU)
	note(ret)
	c.Temperature.Now = value(t, ret)
	threshold := func(which nvml.TemperatureThresholds) *int {
		t, ret := dev.GetTemperatureThreshold(which)
		if t == 0 { // what some cards say for "none"
			return nil
		}
		return value(t, ret)
	}
	c.Temperature.Slowdown = threshold(nvml.TEMPERATURE_THRESHOLD_SLOWDOWN)
	c.Temperature.Shutdown = threshold(nvml.TEMPERATURE_THRESHOLD_SHUTDOWN)
	c.Temperature.MaxOperating = threshold(nvml.TEMPERATURE_THRESHOLD_GPU_MAX)

	c.Clocks = s.clocks(dev)
	if mw, ret := dev.GetPowerUsage(); ret == nvml.SUCCESS {
		c.Power.Draw = ptr(float64(mw) / 1000)
	}
	if mw, ret := dev.GetEnforcedPowerLimit(); ret == nvml.SUCCESS {
		c.Power.Limit = ptr(float64(mw) / 1000)
	}
	if u, ret := dev.GetUtilizationRates(); ret == nvml.SUCCESS {
		c.Utilisation = &Utilisation{GPU: int(u.Gpu), Memory: int(u.Memory)}
	}
	c.ECC = ecc(dev)
	if s.has("nvmlDeviceGetRemappedRows") {
		if corrected, uncorrected, pending, failed, ret := dev.GetRemappedRows(); ret == nvml.SUCCESS {
			c.Remapped = &Remapped{Corrected: corrected, Uncorrected: uncorrected, Pending: pending, Failed: failed}
		}
	}
	link := func(v int, ret nvml.Return) *int { return value(uint32(v), ret) }
	c.PCIe = PCIe{Generation: link(dev.GetCurrPcieLinkGeneration()), Width: link(dev.GetCurrPcieLinkWidth()),
		MaxGeneration: link(dev.GetMaxPcieLinkGeneration()), MaxWidth: link(dev.GetMaxPcieLinkWidth())}
	if s.has("nvmlDeviceGetMigMode") {
		if now, _, ret := dev.GetMigMode(); ret == nvml.SUCCESS {
			c.MIG = ptr(now == nvml.DEVICE_MIG_ENABLE)
		}
	}
	c.Processes = processes(dev)
	return c
}

func value(v uint32, ret nvml.Return) *int {
	if ret != nvml.SUCCESS {
		return nil
	}
	return ptr(int(v))
}

func (s *nvmlSource) clocks(dev nvml.Device) Clocks {
	c := Clocks{
		Graphics: value(dev.GetClockInfo(nvml.CLOCK_GRAPHICS)), Memory: value(dev.GetClockInfo(nvml.CLOCK_MEM)),
		MaxGraphics: value(dev.GetMaxClockInfo(nvml.CLOCK_GRAPHICS)), MaxMemory: value(dev.GetMaxClockInfo(nvml.CLOCK_MEM)),
	}
	// The first name is that of R535 and newer, the other is older and goes on.
	if s.has("nvmlDeviceGetCurrentClocksEventReasons") {
		if mask, ret := dev.GetCurrentClocksEventReasons(); ret == nvml.SUCCESS {
			c.Held = held(mask)
		}
	} else if mask, ret := dev.GetCurrentClocksThrottleReasons(); ret == nvml.SUCCESS {
		c.Held = held(mask)
	}
	return c
}

func ecc(dev nvml.Device) *ECC {
	now, _, ret := dev.GetEccMode()
	if ret != nvml.SUCCESS {
		return nil
	}
	e := &ECC{Enabled: now == nvml.FEATURE_ENABLED}
	if n, ret := dev.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.VOLATILE_ECC); ret == nvml.SUCCESS {
		e.Corrected = &n
	}
	if n, ret := dev.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC); ret == nvml.SUCCESS {
		e.Uncorrected = &n
	}
	return e
}

func processes(dev nvml.Device) []Process {
	var out []Process
	seen := make(map[uint32]bool)
	for _, list := range []func() ([]nvml.ProcessInfo, nvml.Return){dev.GetComputeRunningProcesses, dev.GetGraphicsRunningProcesses} {
		infos, ret := list()
		if ret != nvml.SUCCESS {
			continue
		}
		for _, info := range infos {
			if seen[info.Pid] {
				continue
			}
			seen[info.Pid] = true
			p := Process{PID: int(info.Pid), Name: processName(int(info.Pid))}
			if info.UsedGpuMemory != ^uint64(0) { // NVML_VALUE_NOT_AVAILABLE
				p.Memory = ptr(info.UsedGpuMemory)
			}
			out = append(out, p)
		}
	}
	return out
}

func processName(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(b))
}

// xidWait is how long one wait for an event lasts, in milliseconds: the time
// that ending a subscription may take.
const xidWait = 500

// XIDs implements Source.
func (s *nvmlSource) XIDs(ctx context.Context) (<-chan XID, error) {
	type subscription struct {
		set   nvml.EventSet
		cards map[string]int // by UUID
	}
	sub, err := alone(ctx, s.busy, func() (sub subscription, err error) {
		set, ret := s.lib.EventSetCreate()
		if ret != nvml.SUCCESS {
			return sub, fmt.Errorf("subscribing to XID events: %s", message(ret))
		}
		sub.set, sub.cards = set, map[string]int{}
		n, _ := s.lib.DeviceGetCount()
		for i := range n {
			dev, ret := s.lib.DeviceGetHandleByIndex(i)
			if ret != nvml.SUCCESS {
				continue
			}
			can, ret := dev.GetSupportedEventTypes()
			if ret != nvml.SUCCESS || can&nvml.EventTypeXidCriticalError == 0 {
				continue
			}
			if dev.RegisterEvents(nvml.EventTypeXidCriticalError, set) == nvml.SUCCESS {
				uuid, _ := dev.GetUUID()
				sub.cards[uuid] = i
			}
		}
		if len(sub.cards) == 0 {
			set.Free()
			return sub, fmt.Errorf("XID events: %w", ErrUnsupported)
		}
		return sub, nil
	})
	if err != nil {
		return nil, err
	}
	out := make(chan XID, 16)
	s.events.Go(func() {
		defer close(out)
		defer sub.set.Free()
		for ctx.Err() == nil && s.life.Err() == nil {
			data, ret := sub.set.Wait(xidWait)
			var x XID
			switch ret {
			case nvml.SUCCESS:
				if data.EventType != nvml.EventTypeXidCriticalError {
					continue
				}
				x = XID{At: s.now().UTC(), Code: data.EventData, Card: -1}
				if data.Device != nil {
					x.UUID, _ = data.Device.GetUUID()
					if i, ok := sub.cards[x.UUID]; ok {
						x.Card = i
					}
				}
			case nvml.ERROR_TIMEOUT:
				continue
			default:
				// A lost card ends the subscription: it says the same at once,
				// for ever. The next Read names the card.
				if !errors.Is(ret, nvml.ERROR_GPU_IS_LOST) {
					return
				}
				x = XID{At: s.now().UTC(), Code: xidFallenOff, Card: -1}
				select {
				case out <- x:
				case <-ctx.Done():
				case <-s.life.Done():
				}
				return
			}
			select {
			case out <- x:
			case <-ctx.Done():
			case <-s.life.Done():
			}
		}
	})
	return out, nil
}

// Close implements Source.
func (s *nvmlSource) Close() error {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() { s.events.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		return fmt.Errorf("closing NVML: %w", ErrHung)
	}
	_, err := alone(ctx, s.busy, func() (struct{}, error) {
		if ret := s.lib.Shutdown(); ret != nvml.SUCCESS {
			return struct{}{}, fmt.Errorf("closing NVML: %s", message(ret))
		}
		return struct{}{}, nil
	})
	return err
}
