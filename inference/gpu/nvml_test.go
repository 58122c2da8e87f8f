//go:build linux && cgo

package gpu

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// feels gives a mocked card the methods that the mock leaves unset (they would
// panic), with the values of a card at work.
func feels(d *server.Device) *server.Device {
	d.MemoryInfo.Used, d.MemoryInfo.Free = 5<<30, d.MemoryInfo.Total-5<<30
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS }
	d.GetTemperatureThresholdFunc = func(w nvml.TemperatureThresholds) (uint32, nvml.Return) {
		t, ok := map[nvml.TemperatureThresholds]uint32{nvml.TEMPERATURE_THRESHOLD_SHUTDOWN: 92, nvml.TEMPERATURE_THRESHOLD_SLOWDOWN: 89, nvml.TEMPERATURE_THRESHOLD_GPU_MAX: 87}[w]
		if !ok {
			return 0, nvml.ERROR_NOT_SUPPORTED
		}
		return t, nvml.SUCCESS
	}
	d.GetClockInfoFunc = func(c nvml.ClockType) (uint32, nvml.Return) { return 1000 + uint32(c), nvml.SUCCESS }
	d.GetMaxClockInfoFunc = func(c nvml.ClockType) (uint32, nvml.Return) { return 2000 + uint32(c), nvml.SUCCESS }
	d.GetCurrentClocksEventReasonsFunc = func() (uint64, nvml.Return) { return 4 | 32, nvml.SUCCESS }
	d.GetCurrentClocksThrottleReasonsFunc = func() (uint64, nvml.Return) { return 8, nvml.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 312500, nvml.SUCCESS }
	d.GetEnforcedPowerLimitFunc = func() (uint32, nvml.Return) { return 700000, nvml.SUCCESS }
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 97, Memory: 40}, nvml.SUCCESS }
	d.GetEccModeFunc = func() (nvml.EnableState, nvml.EnableState, nvml.Return) {
		return nvml.FEATURE_ENABLED, nvml.FEATURE_ENABLED, nvml.SUCCESS
	}
	d.GetTotalEccErrorsFunc = func(e nvml.MemoryErrorType, _ nvml.EccCounterType) (uint64, nvml.Return) {
		return map[nvml.MemoryErrorType]uint64{nvml.MEMORY_ERROR_TYPE_CORRECTED: 3, nvml.MEMORY_ERROR_TYPE_UNCORRECTED: 1}[e], nvml.SUCCESS
	}
	d.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 2, 1, true, false, nvml.SUCCESS }
	link := func(v int) func() (int, nvml.Return) { return func() (int, nvml.Return) { return v, nvml.SUCCESS } }
	d.GetCurrPcieLinkGenerationFunc, d.GetCurrPcieLinkWidthFunc = link(4), link(8)
	d.GetMaxPcieLinkGenerationFunc, d.GetMaxPcieLinkWidthFunc = link(5), link(16)
	d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: 1 << 30, UsedGpuMemory: 4 << 30}, {Pid: 1<<30 + 1, UsedGpuMemory: ^uint64(0)}}, nvml.SUCCESS
	}
	d.GetGraphicsRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: 1 << 30, UsedGpuMemory: 1}}, nvml.SUCCESS
	}
	d.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return nvml.EventTypeXidCriticalError, nvml.SUCCESS }
	d.RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.SUCCESS }
	return d
}

func machine(s *server.Server, cards int) *server.Server {
	s.Devices = s.Devices[:cards]
	for _, d := range s.Devices {
		feels(d.(*server.Device))
	}
	return s
}

func start(t *testing.T, s nvml.Interface) *nvmlSource {
	t.Helper()
	src, err := startNVML(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src.(*nvmlSource)
}

func TestNVMLReads(t *testing.T) {
	t.Parallel()
	m := machine(dgxh100.New(), 1)
	src := start(t, m)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	src.now = func() time.Time { return at }
	got, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Snapshot{At: at, Source: "nvml", Driver: "550.54.15", CUDA: "12.4", Cards: []Card{{
		Name: "NVIDIA H100 80GB HBM3", UUID: m.Devices[0].(*server.Device).UUID, Architecture: "Hopper", Compute: "9.0",
		Memory:      &Memory{Total: 80 << 30, Used: 5 << 30, Free: 75 << 30},
		Temperature: Temperature{Now: ptr(61), Slowdown: ptr(89), Shutdown: ptr(92), MaxOperating: ptr(87)},
		Clocks:      Clocks{Graphics: ptr(1000), Memory: ptr(1002), MaxGraphics: ptr(2000), MaxMemory: ptr(2002), Held: []Held{HeldPowerCap, HeldThermal}},
		Power:       Power{Draw: ptr(312.5), Limit: ptr(700.0)}, Utilisation: &Utilisation{GPU: 97, Memory: 40},
		ECC: &ECC{Enabled: true, Corrected: ptr(uint64(3)), Uncorrected: ptr(uint64(1))}, Remapped: &Remapped{Corrected: 2, Uncorrected: 1, Pending: true},
		PCIe: PCIe{Generation: ptr(4), Width: ptr(8), MaxGeneration: ptr(5), MaxWidth: ptr(16)}, MIG: ptr(false),
		Processes: []Process{{PID: 1 << 30, Memory: ptr(uint64(4 << 30))}, {PID: 1<<30 + 1}},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if h, is := got.Cards[0].Clocks.Throttled(); !is || h != HeldThermal {
		t.Errorf("throttled by %q", h)
	}
}

func TestNVMLKinds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s             *server.Server
		cards         int
		compute, arch string
	}{
		{dgxa100.New(), 8, "8.0", "Ampere"},
		{dgxh100.New(), 2, "9.0", "Hopper"},
		{dgxh200.New(), 1, "9.0", "Hopper"},
	} {
		snap, err := start(t, machine(tt.s, tt.cards)).Read(t.Context())
		if err != nil || len(snap.Cards) != tt.cards {
			t.Fatalf("%d cards, %v", len(snap.Cards), err)
		}
		for i, c := range snap.Cards {
			if c.Index != i || c.Compute != tt.compute || c.Architecture != tt.arch {
				t.Errorf("%+v", c)
			}
		}
	}
}

// What a card does not support is absent; what its driver's library does not
// know is not called at all, since that would end the process.
func TestNVMLAbsent(t *testing.T) {
	t.Parallel()
	m := machine(dgxh100.New(), 1)
	d := m.Devices[0].(*server.Device)
	no := nvml.ERROR_NOT_SUPPORTED
	d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, no }
	d.GetTemperatureThresholdFunc = func(nvml.TemperatureThresholds) (uint32, nvml.Return) { return 0, nvml.SUCCESS }
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 7, no }
	d.GetClockInfoFunc = func(nvml.ClockType) (uint32, nvml.Return) { return 7, no }
	d.GetMaxClockInfoFunc = func(nvml.ClockType) (uint32, nvml.Return) { return 7, no }
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 7, no }
	d.GetEnforcedPowerLimitFunc = func() (uint32, nvml.Return) { return 7, no }
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, no }
	d.GetEccModeFunc = func() (nvml.EnableState, nvml.EnableState, nvml.Return) { return 0, 0, no }
	link := func() (int, nvml.Return) { return 7, no }
	d.GetCurrPcieLinkGenerationFunc, d.GetCurrPcieLinkWidthFunc, d.GetMaxPcieLinkGenerationFunc, d.GetMaxPcieLinkWidthFunc = link, link, link, link
	list := func() ([]nvml.ProcessInfo, nvml.Return) { return nil, no }
	d.GetComputeRunningProcessesFunc, d.GetGraphicsRunningProcessesFunc = list, list
	missing := map[string]bool{"nvmlDeviceGetCurrentClocksEventReasons": true, "nvmlDeviceGetRemappedRows": true, "nvmlDeviceGetMigMode": true}
	m.ExtensionsFunc = func() nvml.ExtendedInterface {
		return &mock.ExtendedInterface{LookupSymbolFunc: func(s string) error {
			if missing[s] {
				return errors.New("undefined symbol")
			}
			return nil
		}}
	}
	d.GetCurrentClocksEventReasonsFunc, d.GetRemappedRowsFunc, d.GetMigModeFunc = nil, nil, nil // panic when called
	snap, err := start(t, m).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Card{Name: "NVIDIA H100 80GB HBM3", UUID: d.UUID, Architecture: "Hopper", Compute: "9.0", Clocks: Clocks{Held: []Held{HeldSlowdown}}}
	if !reflect.DeepEqual(snap.Cards[0], want) {
		t.Errorf("\n got %+v\nwant %+v", snap.Cards[0], want)
	}
}

func TestNVMLFault(t *testing.T) {
	t.Parallel()
	m := machine(dgxh100.New(), 3)
	m.Devices[1].(*server.Device).GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_GPU_IS_LOST }
	src := start(t, m)
	byIndex := m.DeviceGetHandleByIndexFunc
	m.DeviceGetHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i == 2 {
			return nil, nvml.ERROR_RESET_REQUIRED
		}
		return byIndex(i)
	}
	snap, err := src.Read(t.Context())
	if err != nil || len(snap.Cards) != 3 {
		t.Fatal(err)
	}
	for i, want := range []string{"", "off the bus", "reset"} {
		if got := snap.Cards[i].Fault; (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("card %d: %q, want %q", i, got, want)
		}
	}
}

func TestNVMLNoGPU(t *testing.T) {
	t.Parallel()
	for ret, want := range map[nvml.Return]Reason{
		nvml.ERROR_LIBRARY_NOT_FOUND:       NoLibrary,
		nvml.ERROR_DRIVER_NOT_LOADED:       NoDriver,
		nvml.ERROR_NO_PERMISSION:           NoAccess,
		nvml.ERROR_LIB_RM_VERSION_MISMATCH: Mismatched,
		nvml.ERROR_UNKNOWN:                 Unknown,
		nvml.SUCCESS:                       NoDevice,
	} {
		m := dgxh100.New()
		m.Devices = nil
		m.InitFunc = func() nvml.Return { return ret }
		_, err := startNVML(t.Context(), m)
		var no *NoGPUError
		if !errors.As(err, &no) || no.Reason != want || !errors.Is(err, ErrNoGPU) {
			t.Errorf("%v: %v, want %s", ret, err, want)
		}
	}
}

// A driver that does not come back is ErrHung at once for those who ask next,
// and serves again when it does come back.
func TestNVMLHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := machine(dgxh100.New(), 1)
		wedge, calls := make(chan struct{}), atomic.Int32{}
		src := start(t, m)
		m.Devices[0].(*server.Device).GetNameFunc = func() (string, nvml.Return) {
			calls.Add(1)
			<-wedge
			return "back", nvml.SUCCESS
		}
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if _, err := src.Read(ctx); !errors.Is(err, ErrHung) {
				t.Fatal(err)
			}
			cancel()
		}
		if calls.Load() != 1 {
			t.Errorf("%d calls into a driver that hangs", calls.Load())
		}
		close(wedge)
		snap, err := src.Read(t.Context())
		if err != nil || snap.Cards[0].Name != "back" {
			t.Errorf("%+v, %v", snap, err)
		}
	})
}

func TestXIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := machine(dgxh100.New(), 2)
		m.Devices[0].(*server.Device).GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return 0, nvml.SUCCESS }
		fed, freed := make(chan nvml.EventData, 4), atomic.Bool{}
		m.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) {
			return &mock.EventSet{
				WaitFunc: func(ms uint32) (nvml.EventData, nvml.Return) {
					select {
					case e := <-fed:
						if e.EventData == xidFallenOff {
							return e, nvml.ERROR_GPU_IS_LOST
						}
						return e, nvml.SUCCESS
					case <-time.After(time.Duration(ms) * time.Millisecond):
						return nvml.EventData{}, nvml.ERROR_TIMEOUT
					}
				},
				FreeFunc: func() nvml.Return { freed.Store(true); return nvml.SUCCESS },
			}, nvml.SUCCESS
		}
		src := start(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		events, err := src.XIDs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fed <- nvml.EventData{Device: m.Devices[1], EventType: nvml.EventTypeSingleBitEccError, EventData: 5}
		fed <- nvml.EventData{Device: m.Devices[1], EventType: nvml.EventTypeXidCriticalError, EventData: 31}
		if x := <-events; x.Code != 31 || x.Card != 1 || x.Effect() != EffectProcess || x.Text() != "XID 31: memory page fault" {
			t.Errorf("%+v", x)
		}
		cancel()
		if x, open := <-events; open {
			t.Errorf("after the end: %+v", x)
		}
		synctest.Wait()
		if !freed.Load() {
			t.Error("the event set was not freed")
		}

		// A card that falls off the bus is the last thing that is heard; Close
		// ends a subscription that its reader has forgotten.
		events, err = src.XIDs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fed <- nvml.EventData{EventData: xidFallenOff}
		if x := <-events; x.Effect() != EffectLost || x.Card != -1 {
			t.Errorf("%+v", x)
		}
		if _, open := <-events; open {
			t.Error("still open")
		}
		if _, err := src.XIDs(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		m.Devices = m.Devices[:1]
		if _, err := start(t, m).XIDs(t.Context()); !errors.Is(err, ErrUnsupported) {
			t.Errorf("a card without events: %v", err)
		}
	})
}

// Whatever this machine has, opening it is clean.
func TestOpenHere(t *testing.T) {
	t.Parallel()
	src, err := Open(t.Context())
	if err != nil {
		if !errors.Is(err, ErrNoGPU) {
			t.Fatal(err)
		}
		t.Logf("no GPU: %v", err)
		return
	}
	defer src.Close()
	snap, err := src.Read(t.Context())
	if err != nil || len(snap.Cards) == 0 || snap.Driver == "" {
		t.Fatalf("%+v, %v", snap, err)
	}
	if !slices.IsSortedFunc(snap.Cards, func(a, b Card) int { return a.Index - b.Index }) {
		t.Errorf("%+v", snap.Cards)
	}
}
