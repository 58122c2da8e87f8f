package gpu

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// Lines as nvidia-smi of R550 and R470 print them for the fields asked.
const (
	smiL4 = "0, NVIDIA L4, GPU-5a1b6f0e-8a52-7bd0-6f0b-3c1d2e4f5a6b, 550.90.07, 23034, 6710, 15850, 8.9, 58, 2040, 6251, 2040, 6251, 0x0000000000000004, 71.52, 72.00, 98, 61, Enabled, 0, 0, 4, 16, 4, 16, [N/A]\n"
	smiT4 = "1, Tesla T4, GPU-00000000-1111-2222-3333-444444444444, 470.256.02, 15109, 0, 15109, [N/A], 91, 300, 5000, 1590, 5001, 0x0000000000000060, 33.10, 70.00, 0, 0, Disabled, [N/A], [N/A], 1, 8, 3, 16, [N/A]\n"
)

var r550Fields = slices.DeleteFunc(slices.Clone(smiFields), func(f string) bool { return f == "clocks_throttle_reasons.active" })

func TestSMIParse(t *testing.T) {
	t.Parallel()
	snap, err := parseSMI([]byte(smiL4+smiT4), r550Fields)
	if err != nil {
		t.Fatal(err)
	}
	want := Card{Name: "NVIDIA L4", UUID: "GPU-5a1b6f0e-8a52-7bd0-6f0b-3c1d2e4f5a6b", Architecture: "Ada", Compute: "8.9",
		Memory: &Memory{Total: 23034 << 20, Used: 6710 << 20, Free: 15850 << 20}, Temperature: Temperature{Now: ptr(58)},
		Clocks: Clocks{Graphics: ptr(2040), Memory: ptr(6251), MaxGraphics: ptr(2040), MaxMemory: ptr(6251), Held: []Held{HeldPowerCap}},
		Power:  Power{Draw: ptr(71.52), Limit: ptr(72.0)}, Utilisation: &Utilisation{98, 61}, ECC: &ECC{Enabled: true, Corrected: ptr(uint64(0)), Uncorrected: ptr(uint64(0))},
		PCIe: PCIe{Generation: ptr(4), Width: ptr(16), MaxGeneration: ptr(4), MaxWidth: ptr(16)}}
	if !reflect.DeepEqual(snap.Cards[0], want) {
		t.Errorf("\n got %+v\nwant %+v", snap.Cards[0], want)
	}
	c := snap.Cards[1]
	if c.Index != 1 || c.Compute != "" || c.ECC.Enabled || c.ECC.Corrected != nil || !slices.Equal(c.Clocks.Held, []Held{HeldThermal, HeldThermalHW}) || snap.Driver != "470.256.02" {
		t.Errorf("%+v", c)
	}
}

func TestSMIParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ from, to, want string }{
		{"0, NVIDIA", "zero, NVIDIA", "line 1: field index"},
		{"0, NVIDIA", "[N/A], NVIDIA", "line 1: field index"},
		{", 58,", ", hot,", `field temperature.gpu: "hot"`},
		{", 58,", ", 58.5,", "whole number"},
		{", 58,", ", -58,", "temperature.gpu"},
		{"71.52", "NaN", "power.draw"},
		{"8.9", "89", "compute_cap"},
		{"0x0000000000000004", "4", "a mask"},
		{"Enabled", "Perhaps", "ecc.mode.current"},
		{", [N/A]\n", "\n", "wrong number of fields"},
	} {
		if _, err := parseSMI([]byte(strings.Replace(smiL4, tt.from, tt.to, 1)), r550Fields); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q for %q: %v, want %q", tt.to, tt.from, err, tt.want)
		}
	}
	snap, err := parseSMI([]byte(strings.ReplaceAll(smiL4, "58,", "[GPU is lost],")), r550Fields)
	if err != nil || !strings.Contains(snap.Cards[0].Fault, "bus") {
		t.Errorf("%+v, %v", snap, err)
	}
}

// fakeSMI answers as an nvidia-smi that does not know some of the fields.
func fakeSMI(unknown ...string) func(context.Context, ...string) ([]byte, error) {
	return func(_ context.Context, args ...string) ([]byte, error) {
		query := args[0]
		for _, u := range unknown {
			if strings.Contains(query, u) {
				return []byte("Field \"" + u + "\" is not a valid field to query.\n"), errors.New("exit status 2")
			}
		}
		switch {
		case strings.HasPrefix(query, "--query-compute-apps"):
			return []byte("GPU-5a1b6f0e-8a52-7bd0-6f0b-3c1d2e4f5a6b, 4242, /usr/bin/rxedge-llama, 6100\nnonsense, x, y, z\n"), nil
		case strings.HasPrefix(query, "--query-remapped-rows"):
			return []byte("GPU-5a1b6f0e-8a52-7bd0-6f0b-3c1d2e4f5a6b, 0, 1, No, Yes\n"), nil
		}
		fields := strings.Split(strings.TrimPrefix(query, "--query-gpu="), ",")
		values := strings.Split(strings.TrimSpace(smiL4), ", ")
		var line []string
		for _, f := range fields {
			v := "[N/A]"
			if i := slices.Index(r550Fields, f); i >= 0 {
				v = values[i]
			}
			line = append(line, v)
		}
		return []byte(strings.Join(line, ", ") + "\n"), nil
	}
}

func TestSMISource(t *testing.T) {
	t.Parallel()
	src, err := startSMI(t.Context(), fakeSMI("compute_cap", "clocks_event_reasons.active"))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := src.Read(t.Context())
	if err != nil || snap.Source != "nvidia-smi" || len(snap.Cards) != 1 {
		t.Fatalf("%+v, %v", snap, err)
	}
	c := snap.Cards[0]
	if c.Compute != "" || c.Remapped == nil || !c.Remapped.Failed || c.Remapped.Pending || len(c.Processes) != 1 || *c.Processes[0].Memory != 6100<<20 {
		t.Errorf("%+v", c)
	}
	if _, err := src.XIDs(t.Context()); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if _, err := startSMI(t.Context(), fakeSMI("memory.total")); !errors.Is(err, ErrNoGPU) || !strings.Contains(err.Error(), "memory.total") {
		t.Errorf("an nvidia-smi without memory.total: %v", err)
	}
}

func TestSMIErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Reason{
		"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.": NoDriver,
		"Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.90":                                                        Mismatched,
		"Failed to initialize NVML: Insufficient Permissions":                                                                                             NoAccess,
		"No devices were found": NoDevice,
		"Segmentation fault":    Unknown,
	} {
		_, err := startSMI(t.Context(), func(context.Context, ...string) ([]byte, error) { return []byte(text), errors.New("exit status 9") })
		var no *NoGPUError
		if !errors.As(err, &no) || no.Reason != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	_, err := startSMI(t.Context(), func(context.Context, ...string) ([]byte, error) { return []byte("No devices were found\n"), nil })
	if !errors.Is(err, ErrNoGPU) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = startSMI(ctx, func(ctx context.Context, _ ...string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	if !errors.Is(err, ErrHung) {
		t.Errorf("hangs: %v", err)
	}
}

func TestOpenOrder(t *testing.T) {
	t.Parallel()
	no := func(r Reason) opener {
		return func(context.Context) (Source, error) { return nil, &NoGPUError{Reason: r} }
	}
	works := func(ctx context.Context) (Source, error) { return startSMI(ctx, fakeSMI()) }
	bus := func() int { return 1 }
	if s, err := open(t.Context(), no(NoLibrary), works, bus); err != nil || s == nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		nvml, smi, want Reason
		text            string
	}{
		{NoLibrary, NoLibrary, NoLibrary, "no NVIDIA driver is installed; the PCI bus shows an NVIDIA card"},
		{NoLibrary, NoDriver, NoDriver, "kernel module"},
		{NoDevice, NoDriver, NoDevice, "finds no card"}, // nvidia-smi is not asked
		{Mismatched, NoDriver, Mismatched, "restart the machine"},
	} {
		_, err := open(t.Context(), no(tt.nvml), no(tt.smi), bus)
		var got *NoGPUError
		if !errors.As(err, &got) || got.Reason != tt.want || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := open(t.Context(), func(context.Context) (Source, error) { return nil, ErrHung }, works, bus); !errors.Is(err, ErrHung) {
		t.Error(err)
	}
}

func TestOnBus(t *testing.T) {
	t.Parallel()
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	fs := fstest.MapFS{
		"0000:01:00.0/vendor": file("0x10de"), "0000:01:00.0/class": file("0x030000"),
		"0000:01:00.1/vendor": file("0x10de"), "0000:01:00.1/class": file("0x040300"),
		"0000:02:00.0/vendor": file("0x10de"), "0000:02:00.0/class": file("0x030200"),
		"0000:03:00.0/vendor": file("0x8086"), "0000:03:00.0/class": file("0x030000"),
	}
	if n := countOnBus(fs); n != 2 {
		t.Errorf("%d cards", n)
	}
	if n := countOnBus(fstest.MapFS{}); n != 0 {
		t.Errorf("%d cards on no bus", n)
	}
}

func FuzzSMI(f *testing.F) {
	f.Add([]byte(smiL4))
	f.Add([]byte(smiL4 + smiT4))
	f.Add([]byte("No devices were found\n"))
	f.Add([]byte("\"a\nb\", , [N/A]"))
	f.Fuzz(func(t *testing.T, out []byte) {
		snap, err := parseSMI(out, r550Fields)
		if err != nil {
			return
		}
		for _, c := range snap.Cards {
			if c.Memory != nil && c.Memory.Total == 0 || c.Temperature.Now != nil && *c.Temperature.Now < 0 {
				t.Errorf("%+v", c)
			}
		}
		addProcesses(&snap, out)
		addRemapped(&snap, out)
	})
}
