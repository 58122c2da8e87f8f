package profiles

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rxedge/inference/gpu"
)

// Machine is what a profile is chosen for and checked against.
type Machine struct {
	Arch   string     `json:"arch"`            // amd64, arm64
	Board  string     `json:"board,omitempty"` // of the device tree
	Cores  int        `json:"cores"`
	Memory uint64     `json:"memory_bytes"`         // of the machine; 0: not known
	Disk   uint64     `json:"disk_free_bytes"`      // of the data folder; 0: not known
	Driver string     `json:"driver,omitempty"`     // of NVIDIA
	Cards  []gpu.Card `json:"cards"`                //
	NoGPU  string     `json:"no_gpu,omitempty"`     // why there is none
	Engine string     `json:"gpu_engine,omitempty"` // backend that would run: "cuda", "vulkan", "cpu"; "": not known
}

// Detect chooses the profile of a machine, and says why. It always finds one:
// cpu-only where nothing else fits.
func Detect(m Machine) (Profile, string) { return detect(All(), m) }

func detect(all []Profile, m Machine) (Profile, string) {
	var fit []Profile
	var cpu Profile
	for _, p := range all {
		if p.Name == CPUOnly {
			cpu = p
		} else if slices.Contains(p.Arch, m.Arch) {
			fit = append(fit, p)
		}
	}
	for _, p := range fit {
		for _, b := range p.Match.Boards {
			if m.Board != "" && strings.Contains(m.Board, b) {
				return p, fmt.Sprintf("the board is named %s", m.Board)
			}
		}
	}
	cards := slices.Clone(m.Cards)
	slices.SortStableFunc(cards, func(a, b gpu.Card) int { return cmp.Compare(total(b), total(a)) })
	for _, c := range cards {
		for _, p := range fit {
			if c.Fault == "" && named(p.Match.Cards, c.Name) {
				return p, fmt.Sprintf("card %d is named %s", c.Index, c.Name)
			}
		}
	}
	// A card that no profile names takes the biggest that it could run.
	for _, c := range cards {
		var best *Profile
		for i, p := range fit {
			runs := c.Fault == "" && len(p.Match.Cards) > 0 && number(c.Compute) >= number(p.Match.Compute) && total(c) >= uint64(p.Memory.Card)<<20
			if runs && (best == nil || p.Memory.Card > best.Memory.Card) {
				best = &fit[i]
			}
		}
		if best != nil {
			return *best, fmt.Sprintf("no profile names card %d (%s); it has the memory and the compute capability of %s", c.Index, c.Name, best.Title)
		}
	}
	switch {
	case len(cards) > 0 && cards[0].Fault != "":
		return cpu, fmt.Sprintf("card %d (%s) can't be used: %s", cards[0].Index, cards[0].Name, cards[0].Fault)
	case len(cards) > 0:
		return cpu, fmt.Sprintf("no profile fits card %d (%s, compute capability %s, %d MiB)", cards[0].Index, cards[0].Name, cards[0].Compute, total(cards[0])>>20)
	case m.NoGPU != "":
		return cpu, m.NoGPU
	}
	return cpu, "there is no NVIDIA card"
}

func total(c gpu.Card) uint64 {
	if c.Memory == nil {
		return 0
	}
	return c.Memory.Total
}

// named tells whether one of the names is the card's, or its first words: an
// "NVIDIA L4" is no "NVIDIA L40".
func named(names []string, card string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return card == n || strings.HasPrefix(card, n+" ") })
}

func number(s string) float64 { f, _ := strconv.ParseFloat(s, 64); return f }

// Level of a finding.
type Level string

// Levels: Refuse is a box that the profile can't run on, Warn one on which it
// runs worse than it could.
const (
	Refuse Level = "refuse"
	Warn   Level = "warn"
)

// Finding is something that does not fit, and what to do.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`
	Fix   string `json:"fix"`
}

// Refused tells whether any finding refuses.
func Refused(fs []Finding) bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return f.Level == Refuse })
}

// Check compares a machine with a profile. Empty: it fits.
func Check(p Profile, m Machine) []Finding {
	var out []Finding
	add := func(l Level, fix, format string, args ...any) {
		out = append(out, Finding{Level: l, What: fmt.Sprintf(format, args...), Fix: fix})
	}
	const other = "choose another profile with 'rxedge profile detect'"
	if !slices.Contains(p.Arch, m.Arch) {
		add(Refuse, other, "the profile is for %s and this machine is %s", strings.Join(p.Arch, " and "), m.Arch)
	}
	if m.Memory > 0 && m.Memory < uint64(p.Memory.Host)<<20 {
		add(Refuse, "add memory, or "+other, "the machine has %d MiB of memory and the profile needs %d MiB", m.Memory>>20, p.Memory.Host)
	}
	if floor := uint64(p.Disk.FloorGB) * 1e9; m.Disk > 0 && m.Disk < floor {
		add(Refuse, "make room, or set another data folder", "the disk has %.1f GB free and the profile needs %d GB", float64(m.Disk)/1e9, p.Disk.FloorGB)
	}
	if !p.GPU() {
		if len(m.Cards) > 0 {
			add(Warn, "choose its profile with 'rxedge profile detect'", "card 0 (%s) is not used by this profile", m.Cards[0].Name)
		}
		return out
	}
	card := p.card(m)
	if card == nil && p.Memory.Shared && m.Board != "" {
		add(Warn, "install JetPack's own NVML, or look with tegrastats", "the board's GPU can't be read (%s): its heat is not watched", m.NoGPU)
		return out
	}
	if card == nil {
		why := m.NoGPU
		if why == "" {
			why = "the driver shows none"
		}
		add(Refuse, other+", or mend the card", "the profile wants a card: %s", why)
		return out
	}
	checkCard(p, m, *card, add)
	return out
}

// card of the machine that the profile would run on: one that it names, or
// the one with the most memory.
func (p Profile) card(m Machine) *gpu.Card {
	var best *gpu.Card
	for i, c := range m.Cards {
		if named(p.Match.Cards, c.Name) && (best == nil || !named(p.Match.Cards, best.Name) || total(c) > total(*best)) || best == nil {
			best = &m.Cards[i]
		}
	}
	return best
}

func checkCard(p Profile, m Machine, c gpu.Card, add func(Level, string, string, ...any)) {
	if c.Fault != "" {
		add(Refuse, "then look with 'rxedge gpu'", "card %d (%s): %s", c.Index, c.Name, c.Fault)
		return
	}
	if have, want := version(m.Driver), version(p.Driver.Floor); have == nil && !p.Memory.Shared {
		add(Warn, "look with 'rxedge gpu'", "the driver's version %q is not known", m.Driver)
	} else if have != nil && slices.Compare(have, want) < 0 {
		add(Refuse, "install driver "+p.Driver.Floor+" or newer and restart", "driver %s is older than %s (%s)", m.Driver, p.Driver.Floor, p.Driver.Why)
	}
	if c.Compute != "" && number(c.Compute) < number(p.Match.Compute) {
		add(Refuse, "choose another profile with 'rxedge profile detect'", "card %d (%s) has compute capability %s and the profile needs %s", c.Index, c.Name, c.Compute, p.Match.Compute)
	}
	switch have := total(c) >> 20; {
	case have == 0:
	case have < uint64(p.Memory.Card):
		add(Refuse, "choose another profile with 'rxedge profile detect'", "card %d (%s) has %d MiB and the profile needs %d MiB", c.Index, c.Name, have, p.Memory.Card)
	default:
		checkOthers(p, c, add)
	}
	if c.MIG != nil && *c.MIG {
		add(Warn, "let a card without MIG serve, or count with the instance's memory", "card %d is split (MIG); an instance has less memory than the card's %d MiB", c.Index, total(c)>>20)
	}
	if c.Remapped != nil && c.Remapped.Failed {
		add(Refuse, "replace the card", "card %d has failed memory that can't be remapped", c.Index)
	} else if c.Remapped != nil && c.Remapped.Pending {
		add(Warn, "restart the machine", "card %d remaps failed memory at its next reset", c.Index)
	}
	if c.ECC != nil && c.ECC.Uncorrected != nil && *c.ECC.Uncorrected > 0 {
		add(Warn, "restart the machine; replace the card if it comes back", "card %d has had %d uncorrected memory errors", c.Index, *c.ECC.Uncorrected)
	}
	if h, is := c.Clocks.Throttled(); is {
		add(Warn, "look to the fans, the air and the power supply", "card %d is slowed down (%s)", c.Index, h.Text())
	}
	if l := c.Power.Limit; l != nil && p.Limits.Power > 0 && *l < 0.9*p.Limits.Power {
		add(Warn, "set it with nvidia-smi --power-limit", "card %d may draw %.0f W of the %.0f W that the profile reckons with", c.Index, *l, p.Limits.Power)
	}
	if g, w := c.PCIe.Width, c.PCIe.MaxWidth; g != nil && w != nil && *g < *w && *g < 4 {
		add(Warn, "seat the card again, or use another slot", "card %d runs on %d of %d PCIe lanes: models load slowly", c.Index, *g, *w)
	}
	if m.Engine != "" && m.Engine != "cuda" {
		add(Warn, "build it with 'make cuda'; 'rxedge gpu' says what is missing", "the engine would run on %s: it has no CUDA backend that works", m.Engine)
	}
}

// checkOthers looks at the memory that is taken already by others than us.
func checkOthers(p Profile, c gpu.Card, add func(Level, string, string, ...any)) {
	var others uint64
	for _, pr := range c.Processes {
		if pr.Memory != nil && !strings.Contains(pr.Name, "rxedge") {
			others += *pr.Memory
		}
	}
	if others > 0 && total(c)-min(others, total(c)) < uint64(p.Memory.Budget)<<20 {
		add(Warn, "end them, or give the card to rxedge alone", "other programs hold %d MiB of card %d; the models may take %d MiB", others>>20, c.Index, p.Memory.Budget)
	}
}
