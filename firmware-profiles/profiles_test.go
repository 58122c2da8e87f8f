package profiles

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/inference/catalog"
	"rxedge/inference/gpu"
	"rxedge/inference/ladder"
)

// Every file is read strictly, and what it asks for fits what it promises.
func TestProfiles(t *testing.T) {
	t.Parallel()
	all, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(os.DirFS("."), "*.toml")
	if err != nil || len(names) != len(all) || len(all) < 8 {
		t.Fatalf("%d profiles of %d files, %v", len(all), len(names), err)
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			if _, err := ladder.New(p.LadderLimits()); err != nil {
				t.Error(err)
			}
			budget := int64(p.Memory.Budget) << 20
			needs := p.Needs()
			t.Logf("needs %d of %d MiB", needs>>20, p.Memory.Budget)
			if needs > budget {
				t.Errorf("its models need %d MiB and the budget is %d MiB", needs>>20, p.Memory.Budget)
			}
			if pin, err := catalog.FindPin(p.Generator.Model); err != nil || pin.KVBytesPerToken == 0 {
				t.Errorf("the cache of %s can't be reckoned: %+v, %v", p.Generator.Model, pin, err)
			}
			// A box within its budget must not stand on the ladder.
			if p.GPU() && !p.Memory.Shared {
				if percent := 100 * float64(p.Memory.Budget) / float64(p.Memory.Card); percent > p.Ladder.Memory[0]-p.Ladder.MemoryHysteresis {
					t.Errorf("the budget is %.0f %% of the card and the ladder begins at %v %%", percent, p.Ladder.Memory[0])
				}
			}
			// Two generations of the index, the models while they are pulled.
			var models int64
			for _, m := range p.models() {
				pin, _ := catalog.FindPin(m.name)
				n, _ := pin.Size()
				models += n
			}
			if 2*models > int64(p.Disk.FloorGB)*1e9 {
				t.Errorf("pulling the models takes %d MB and the disk floor is %d GB", 2*models/1e6, p.Disk.FloorGB)
			}
			for s := ladder.Normal; s <= ladder.ExtractiveOnly; s++ {
				if a := s.Apply(p.Settings()); a.Batch < a.MicroBatch || a.Slots < 1 {
					t.Errorf("at %s: %+v", s, a)
				}
			}
		})
	}
	if _, err := Get("l4"); err != nil {
		t.Error(err)
	}
	if _, err := Get("abacus"); err == nil || !strings.Contains(err.Error(), "cpu-only") {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("l4.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, to, want string }{
		{"slots = 8", "slot = 8", `:20: there is no key "generator.slot"`},
		{"slots = 8", "slots = \"8\"", ":20: "},
		{"slots = 8", "slots = 0", ":20: generator.slots: 0 is outside"},
		{"slots = 8", "slots = = 8", ":20: "},
		{"rise = \"15s\"", "rise = \"15\"", "15"},
		{"rise = \"15s\"", "rise = \"15m\"", "ladder.rise"},
		{"fall = \"2m\"", "fall = \"-2m\"", "duration"},
		{"micro_batch = 512", "micro_batch = 4096", "generator.micro_batch: 4096 is outside 32 to 2048"},
		{"Qwen2.5-7B-Instruct-Q4_K_M", "Qwen9", "not among the pins"},
		{"Qwen2.5-7B-Instruct-Q4_K_M", "all-MiniLM-L6-v2-F16", "of the kind embedder"},
		{"Qwen2.5-7B-Instruct-Q4_K_M", "Qwen2.5-3B-Instruct-Q4_K_M", "licence"},
		{"quantisation = \"Q4_K_M\"", "quantisation = \"Q4_0\"", ":17: generator.quantisation"},
		{"context = 8192", "context = 65536", "the model reads 32768"},
		{"kv_type = \"f16\"", "kv_type = \"q7\"", "kv_type"},
		{"flash_attention = true", "flash_attention = false\n", ""},
		{"floor = \"525.60.13\"", "floor = \"new\"", "driver.floor"},
		{"cards = [\"NVIDIA L4\"]", "", "match.cards"},
		{"compute = \"8.9\"", "compute = \"ada\"", "match.compute"},
		{"[76, 78, 80, 82, 85]", "[76, 78]", "2 thresholds"},
		{"[76, 78, 80, 82, 85]", "[76, 78, 77, 82, 85]", "below that of"},
		{"[76, 78, 80, 82, 85]", "[76, 78, 80, 82, 90]", "above the limit of 85"},
		{"budget_mb = 18000", "budget_mb = 30000", "memory.budget_mb"},
		{"name = \"l4\"", "name = \"l5\"", ":3: name"},
		{"[gate]", "[gait]", "gait"},
		{"generated = \"10s\"", "", "latency.generated: 0 is outside"},
	} {
		s := strings.Replace(string(b), tt.from, tt.to, 1)
		if s == string(b) {
			t.Fatalf("%q is not in the file", tt.from)
		}
		_, err := Parse("l4.toml", []byte(s))
		if tt.want == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.to, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "l4.toml:") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q for %q: %v, want %q", tt.to, tt.from, err, tt.want)
		}
	}
}

func card(name, compute string, mib uint64) gpu.Card {
	return gpu.Card{Name: name, Compute: compute, Memory: &gpu.Memory{Total: mib << 20, Free: mib << 20}}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	lost := card("NVIDIA L4", "8.9", 23034)
	lost.Fault = "the card has fallen off the bus"
	for _, tt := range []struct {
		m         Machine
		want, why string
	}{
		{Machine{Arch: "amd64", NoGPU: "no NVIDIA driver is installed"}, "cpu-only", "no NVIDIA driver"},
		{Machine{Arch: "arm64"}, "cpu-only", "no NVIDIA card"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("NVIDIA L4", "8.9", 23034)}}, "l4", "card 0 is named NVIDIA L4"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("Tesla T4", "7.5", 15109)}}, "t4", "T4"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("NVIDIA H100 80GB HBM3", "9.0", 81559)}}, "h100", "H100"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("NVIDIA H200", "9.0", 143771)}}, "h200", "H200"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("NVIDIA RTX 2000 Ada Generation", "8.9", 16380)}}, "rtx-2000-ada", ""},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("NVIDIA RTX 4000 SFF Ada Generation", "8.9", 20475)}}, "rtx-4000-ada", ""},
		// An L40 is no L4, but could run as the biggest that fits.
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("NVIDIA L40", "8.9", 46068)}}, "l4", "no profile names card 0 (NVIDIA L40)"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("NVIDIA A100-SXM4-40GB", "8.0", 40960)}}, "t4", "no profile names"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{card("Quadro P400", "6.1", 2000)}}, "cpu-only", "no profile fits card 0 (Quadro P400, compute capability 6.1, 2000 MiB)"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{lost}}, "cpu-only", "fallen off"},
		{Machine{Arch: "amd64", Cards: []gpu.Card{lost, card("Tesla T4", "7.5", 15109)}}, "t4", ""},
		{Machine{Arch: "arm64", Board: "NVIDIA Jetson AGX Orin Developer Kit"}, "jetson-orin", "the board is named"},
		{Machine{Arch: "arm64", Cards: []gpu.Card{card("NVIDIA L4", "8.9", 23034)}}, "cpu-only", "no profile fits"},
	} {
		p, why := Detect(tt.m)
		if p.Name != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%+v: %s because %q, want %s (%s)", tt.m, p.Name, why, tt.want, tt.why)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	yes := true
	good := func() Machine {
		return Machine{Arch: "amd64", Cores: 8, Memory: 32 << 30, Disk: 200e9, Driver: "550.90.07", Engine: "cuda", Cards: []gpu.Card{card("NVIDIA L4", "8.9", 23034)}}
	}
	l4, _ := Get("l4")
	if fs := Check(l4, good()); len(fs) != 0 {
		t.Errorf("%+v", fs)
	}
	for _, tt := range []struct {
		change func(*Machine)
		level  Level
		want   string
	}{
		{func(m *Machine) { m.Arch = "arm64" }, Refuse, "is for amd64"},
		{func(m *Machine) { m.Memory = 4 << 30 }, Refuse, "4096 MiB of memory"},
		{func(m *Machine) { m.Disk = 10e9 }, Refuse, "10.0 GB free and the profile needs 30 GB"},
		{func(m *Machine) { m.Driver = "470.256.02" }, Refuse, "older than 525.60.13"},
		{func(m *Machine) { m.Driver = "525.60.12" }, Refuse, "older"},
		{func(m *Machine) { m.Driver = "" }, Warn, "not known"},
		{func(m *Machine) { m.Cards, m.NoGPU = nil, "no NVIDIA driver is installed" }, Refuse, "wants a card: no NVIDIA driver"},
		{func(m *Machine) { m.Cards[0].Memory.Total = 16 << 30 }, Refuse, "16384 MiB and the profile needs 22000"},
		{func(m *Machine) { m.Cards[0].Compute = "7.5" }, Refuse, "compute capability 7.5"},
		{func(m *Machine) { m.Cards[0].Fault = "fell" }, Refuse, "fell"},
		{func(m *Machine) { m.Cards[0].MIG = &yes }, Warn, "MIG"},
		{func(m *Machine) { m.Cards[0].Remapped = &gpu.Remapped{Failed: true} }, Refuse, "can't be remapped"},
		{func(m *Machine) { m.Cards[0].Remapped = &gpu.Remapped{Pending: true} }, Warn, "next reset"},
		{func(m *Machine) { m.Cards[0].ECC = &gpu.ECC{Uncorrected: new(uint64(2))} }, Warn, "2 uncorrected"},
		{func(m *Machine) { m.Cards[0].Clocks.Held = []gpu.Held{gpu.HeldPowerCap, gpu.HeldThermalHW} }, Warn, "thermal hardware"},
		{func(m *Machine) { m.Cards[0].Power.Limit = new(50.0) }, Warn, "50 W of the 72 W"},
		{func(m *Machine) { m.Cards[0].PCIe = gpu.PCIe{Width: new(1), MaxWidth: new(16)} }, Warn, "1 of 16"},
		{func(m *Machine) { m.Engine = "cpu" }, Warn, "would run on cpu"},
		{func(m *Machine) {
			m.Cards[0].Processes = []gpu.Process{{PID: 1, Name: "game", Memory: new(uint64(8 << 30))}}
		}, Warn, "other programs hold 8192 MiB"},
	} {
		m := good()
		tt.change(&m)
		fs := Check(l4, m)
		if len(fs) != 1 || fs[0].Level != tt.level || !strings.Contains(fs[0].What, tt.want) || fs[0].Fix == "" || Refused(fs) != (tt.level == Refuse) {
			t.Errorf("%+v, want %s %q", fs, tt.level, tt.want)
		}
	}
	cpu, _ := Get(CPUOnly)
	if fs := Check(cpu, good()); len(fs) != 1 || fs[0].Level != Warn {
		t.Errorf("a card on a box that does not use it: %+v", fs)
	}
	orin, _ := Get("jetson-orin")
	if fs := Check(orin, Machine{Arch: "arm64", Board: "NVIDIA Jetson AGX Orin", Memory: 32 << 30, NoGPU: "no library"}); Refused(fs) || len(fs) != 1 {
		t.Errorf("%+v", fs)
	}
}

func FuzzParse(f *testing.F) {
	names, _ := filepath.Glob("*.toml")
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse("l4.toml", b)
		if err == nil && (p.Name != "l4" || p.Needs() < 0) {
			t.Errorf("%+v", p)
		}
	})
}
