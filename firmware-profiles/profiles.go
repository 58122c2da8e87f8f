// Package profiles holds the firmware profiles: one TOML file for each kind of
// box, with the models that run on it and how. The configuration takes its
// defaults from the profile of the box; what a technician sets there goes
// before it.
package profiles

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"

	"rxedge/inference/catalog"
	"rxedge/inference/ladder"
)

// CPUOnly is the profile of a box without a usable card.
const CPUOnly = "cpu-only"

// Profile of one kind of box.
type Profile struct {
	Name  string   `toml:"name" json:"name"`   // of the file
	Title string   `toml:"title" json:"title"` // for people
	Arch  []string `toml:"arch" json:"arch"`   // as Go names them: amd64, arm64
	Notes string   `toml:"notes" json:"notes,omitempty"`

	Match     Match     `toml:"match" json:"match"`
	Driver    Driver    `toml:"driver" json:"driver"`
	Generator Generator `toml:"generator" json:"generator"`
	Embedder  Encoder   `toml:"embedder" json:"embedder"`
	Reranker  Encoder   `toml:"reranker" json:"reranker"`
	Entailer  Encoder   `toml:"entailer" json:"entailer"`
	Memory    Memory    `toml:"memory" json:"memory"`
	Limits    Limits    `toml:"limits" json:"limits"`
	Ladder    Ladder    `toml:"ladder" json:"ladder"`
	Disk      Disk      `toml:"disk" json:"disk"`
	Gate      Gate      `toml:"gate" json:"gate"`
	Latency   Latency   `toml:"latency" json:"latency"`
	Expected  Expected  `toml:"expected" json:"expected"`
}

// Match says which boxes the profile is for.
type Match struct {
	// Cards by name: the whole name, or its first words.
	Cards []string `toml:"cards" json:"cards,omitempty"`
	// Boards by the name in the device tree: any part of it.
	Boards []string `toml:"boards" json:"boards,omitempty"`
	// Compute is the least compute capability, such as "8.9".
	Compute string `toml:"compute" json:"compute,omitempty"`
}

// Driver of the card.
type Driver struct {
	Floor string `toml:"floor" json:"floor,omitempty"` // oldest version that serves
	Why   string `toml:"why" json:"why,omitempty"`
}

// Generator is the language model and how it is run.
type Generator struct {
	Model          string `toml:"model" json:"model"` // of the pins
	Quantisation   string `toml:"quantisation" json:"quantisation"`
	GPULayers      int    `toml:"gpu_layers" json:"gpu_layers"` // -1: all
	Context        int    `toml:"context" json:"context"`       // tokens of one slot
	Slots          int    `toml:"slots" json:"slots"`           // questions at once
	Batch          int    `toml:"batch" json:"batch"`           // tokens
	MicroBatch     int    `toml:"micro_batch" json:"micro_batch"`
	KVType         string `toml:"kv_type" json:"kv_type"` // f16, q8_0, q4_0
	FlashAttention bool   `toml:"flash_attention" json:"flash_attention"`
	Threads        int    `toml:"threads" json:"threads"` // 0: one a core
}

// Encoder is a model of the BERT family and how it is run.
type Encoder struct {
	Model        string `toml:"model" json:"model"` // of the pins; "": none
	Quantisation string `toml:"quantisation" json:"quantisation"`
	GPU          bool   `toml:"gpu" json:"gpu"`
	Batch        int    `toml:"batch" json:"batch"`     // sequences in one call
	Threads      int    `toml:"threads" json:"threads"` // 0: one a core
}

// Memory in MiB.
type Memory struct {
	// Card is what the card must have in all, Budget what all models together
	// may take of it. On a box without a card of its own memory both are of
	// the machine's memory.
	Card   int  `toml:"card_mb" json:"card_mb"`
	Budget int  `toml:"budget_mb" json:"budget_mb"`
	Host   int  `toml:"host_mb" json:"host_mb"` // that the machine must have
	Shared bool `toml:"shared" json:"shared"`   // card and machine share it
}

// Limits that the card is meant to stay below.
type Limits struct {
	Temperature int     `toml:"temperature_c" json:"temperature_c,omitempty"`
	Power       float64 `toml:"power_w" json:"power_w,omitempty"` // of the card as sold
}

// Ladder holds the thresholds of warn, smaller batch, smaller context, CPU for
// embeddings and extractive answers alone, in this order.
type Ladder struct {
	Temperature           []float64 `toml:"temperature_c" json:"temperature_c,omitempty"`
	TemperatureHysteresis float64   `toml:"temperature_hysteresis_c" json:"temperature_hysteresis_c,omitempty"`
	Memory                []float64 `toml:"memory_percent" json:"memory_percent,omitempty"`
	MemoryHysteresis      float64   `toml:"memory_hysteresis_percent" json:"memory_hysteresis_percent,omitempty"`
	Rise                  Duration  `toml:"rise" json:"rise"`
	Fall                  Duration  `toml:"fall" json:"fall"`
	Gap                   Duration  `toml:"gap" json:"gap"`
}

// Disk of the data folder.
type Disk struct {
	FloorGB int `toml:"floor_gb" json:"floor_gb"` // free, GB of 10⁹ bytes
}

// Gate that a smaller model must pass to take a bigger one's place.
type Gate struct {
	QualityDrop float64 `toml:"quality_drop_max_percent" json:"quality_drop_max_percent"`
	LatencyGain float64 `toml:"latency_gain_min_percent" json:"latency_gain_min_percent"`
}

// Latency that the 95th percentile of an answer keeps to on this box. What is
// given is one and a half times what Expected comes to for a prompt of 1500
// tokens and an answer of 200, rounded up.
type Latency struct {
	Generated  Duration `toml:"generated" json:"generated"`   // a language model writes it
	Extractive Duration `toml:"extractive" json:"extractive"` // sentences of the documents
}

// Expected speed. It is an expectation: Basis says where it comes from, Measured names
// the figures that were measured on such a box, and all others are reckoned. 'make
// gpu-check' and 'rxedge bench' measure.
type Expected struct {
	Prompt     float64 `toml:"prompt_tokens_per_s" json:"prompt_tokens_per_s"`
	Generate   float64 `toml:"generate_tokens_per_s" json:"generate_tokens_per_s"` // one caller
	Embeddings float64 `toml:"embeddings_per_s" json:"embeddings_per_s"`           // of 128 tokens
	// QuestionP95 of extractive answers made anew, over 100,000 passages, to one client;
	// 0: nothing is known.
	QuestionP95 float64  `toml:"question_p95_ms" json:"question_p95_ms,omitempty"`
	Basis       string   `toml:"basis" json:"basis"`
	Measured    []string `toml:"measured" json:"measured,omitempty"`
}

// figures of Expected, as a profile names them.
var figures = []string{"prompt_tokens_per_s", "generate_tokens_per_s", "embeddings_per_s", "question_p95_ms"}

// Duration reads "30s" and "5m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a duration such as 30s or 5m", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// GPU tells whether the profile is of a box with a card.
func (p Profile) GPU() bool { return len(p.Match.Cards)+len(p.Match.Boards) > 0 }

// LadderLimits are the ladder's, as package ladder takes them.
func (p Profile) LadderLimits() ladder.Limits {
	l := ladder.Limits{TemperatureHysteresis: p.Ladder.TemperatureHysteresis, MemoryHysteresis: p.Ladder.MemoryHysteresis,
		Rise: time.Duration(p.Ladder.Rise), Fall: time.Duration(p.Ladder.Fall), Gap: time.Duration(p.Ladder.Gap)}
	copy(l.Temperature[:], p.Ladder.Temperature)
	copy(l.Memory[:], p.Ladder.Memory)
	return l
}

// Settings of the models at the top of the ladder.
func (p Profile) Settings() ladder.Settings {
	return ladder.Settings{Batch: p.Generator.Batch, MicroBatch: p.Generator.MicroBatch, Context: p.Generator.Context, Slots: p.Generator.Slots,
		EmbedOnGPU: p.Embedder.GPU, GenerateOnGPU: p.Generator.GPULayers != 0}
}

//go:embed *.toml
var files embed.FS

var embedded = sync.OnceValues(func() ([]Profile, error) { return load(files) })

// All lists the profiles that rxedge comes with, by name.
func All() []Profile {
	ps, err := embedded()
	if err != nil {
		return nil // a test reads the embedded files
	}
	return slices.Clone(ps)
}

// ErrUnknown: there is no such profile.
var ErrUnknown = errors.New("no such firmware profile")

// Get returns the profile of that name, or ErrUnknown.
func Get(name string) (Profile, error) {
	var names []string
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("%w: %q; there are %s", ErrUnknown, name, strings.Join(names, ", "))
}

func load(fsys fs.FS) ([]Profile, error) {
	entries, err := fs.Glob(fsys, "*.toml")
	if err != nil {
		return nil, err
	}
	var out []Profile
	for _, name := range entries {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		p, err := Parse(name, b)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Parse reads one profile, strictly: an unknown key, a value out of its range
// and a model that is not pinned are errors with the file's name and line.
func Parse(file string, b []byte) (Profile, error) {
	var p Profile
	dec := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	err := dec.Decode(&p)
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		e := unknown.Errors[0]
		line, _ := e.Position()
		return Profile{}, fmt.Errorf("%s:%d: there is no key %q in a profile", file, line, strings.Join(e.Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, _ := bad.Position()
		return Profile{}, fmt.Errorf("%s:%d: %s", file, line, strings.TrimPrefix(bad.Error(), "toml: "))
	}
	if err != nil {
		return Profile{}, fmt.Errorf("%s: %w", file, err)
	}
	if err := p.check(strings.TrimSuffix(path.Base(file), ".toml")); err != nil {
		return Profile{}, fmt.Errorf("%s:%d: %s: %w", file, lineOf(b, err.key), err.key, err.err)
	}
	return p, nil
}

// lineOf finds the line of a key such as "generator.batch"; its section's
// where the key is not there, and 1 where neither is.
func lineOf(b []byte, key string) int {
	section, name, nested := strings.Cut(key, ".")
	if !nested {
		section, name = "", key
	}
	in, at := "", 1
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "["); ok && !strings.Contains(line, "=") {
			in = strings.TrimSpace(strings.TrimRight(s, "] "))
			if in == section {
				at = i + 1
			}
			continue
		}
		if k, _, ok := strings.Cut(line, "="); ok && in == section && strings.TrimSpace(k) == name {
			return i + 1
		}
	}
	return at
}

// fieldError is a value that can't be, and its key.
type fieldError struct {
	key string
	err error
}

func field(key, format string, args ...any) *fieldError {
	return &fieldError{key, fmt.Errorf(format, args...)}
}

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	computeForm = regexp.MustCompile(`^[0-9]{1,2}\.[0-9]$`)
	kvTypes     = []string{"f16", "bf16", "q8_0", "q4_0"}
)

func (p Profile) check(name string) *fieldError {
	switch {
	case p.Name != name || !nameForm.MatchString(p.Name):
		return field("name", "%q must be the file's name without .toml", p.Name)
	case p.Title == "":
		return field("title", "it must be given")
	case len(p.Arch) == 0:
		return field("arch", "it must be given")
	case p.Match.Compute != "" && !computeForm.MatchString(p.Match.Compute):
		return field("match.compute", "%q is not a compute capability such as \"8.9\"", p.Match.Compute)
	case p.GPU() && p.Match.Compute == "":
		return field("match.compute", "a profile with a card must name the least compute capability")
	case p.GPU() == (p.Name == CPUOnly):
		return field("match.cards", "every profile but %s names cards or boards", CPUOnly)
	case p.GPU() && version(p.Driver.Floor) == nil:
		return field("driver.floor", "%q is not a version such as 535.54.03", p.Driver.Floor)
	case p.Expected.Basis == "":
		return field("expected.basis", "it must be given: an expectation says where it comes from")
	}
	for _, m := range p.Expected.Measured {
		if !slices.Contains(figures, m) {
			return field("expected.measured", "%q is none of %s", m, strings.Join(figures, ", "))
		}
	}
	for _, a := range p.Arch {
		if a != "amd64" && a != "arm64" {
			return field("arch", "%q is neither amd64 nor arm64", a)
		}
	}
	most := p.Memory.Card
	if !p.GPU() {
		most = p.Memory.Host
	}
	for _, r := range []struct {
		key       string
		v, lo, hi float64
	}{
		{"generator.gpu_layers", float64(p.Generator.GPULayers), -1, 1000},
		{"generator.context", float64(p.Generator.Context), 512, 1 << 20},
		{"generator.slots", float64(p.Generator.Slots), 1, 256},
		{"generator.batch", float64(p.Generator.Batch), 32, 1 << 16},
		{"generator.micro_batch", float64(p.Generator.MicroBatch), 32, float64(p.Generator.Batch)},
		{"generator.threads", float64(p.Generator.Threads), 0, 1024},
		{"memory.card_mb", float64(p.Memory.Card), 0, 1 << 24},
		{"memory.host_mb", float64(p.Memory.Host), 1024, 1 << 24},
		{"memory.budget_mb", float64(p.Memory.Budget), 256, float64(most)},
		{"disk.floor_gb", float64(p.Disk.FloorGB), 1, 100000},
		{"gate.quality_drop_max_percent", p.Gate.QualityDrop, 0, 100},
		{"gate.latency_gain_min_percent", p.Gate.LatencyGain, 0, 100},
		{"latency.generated", time.Duration(p.Latency.Generated).Seconds(), 0.01, 600},
		{"latency.extractive", time.Duration(p.Latency.Extractive).Seconds(), 0.01, 600},
		{"limits.temperature_c", float64(p.Limits.Temperature), 0, 120},
		{"limits.power_w", p.Limits.Power, 0, 2000},
		{"expected.prompt_tokens_per_s", p.Expected.Prompt, 1, 1e7},
		{"expected.generate_tokens_per_s", p.Expected.Generate, 1, 1e6},
		{"expected.embeddings_per_s", p.Expected.Embeddings, 1, 1e7},
		{"expected.question_p95_ms", p.Expected.QuestionP95, 0, 6e4},
	} {
		if !(r.v >= r.lo && r.v <= r.hi) {
			return field(r.key, "%v is outside %v to %v", r.v, r.lo, r.hi)
		}
	}
	if !slices.Contains(kvTypes, p.Generator.KVType) {
		return field("generator.kv_type", "%q is none of %s", p.Generator.KVType, strings.Join(kvTypes, ", "))
	}
	if p.Generator.KVType != "f16" && !p.Generator.FlashAttention {
		return field("generator.kv_type", "a %s cache wants flash_attention", p.Generator.KVType)
	}
	if !p.GPU() && p.Generator.GPULayers != 0 {
		return field("generator.gpu_layers", "a profile without a card has no layers on it")
	}
	for _, m := range p.models() {
		if err := m.check(p); err != nil {
			return err
		}
	}
	return p.checkLadder()
}

func (p Profile) checkLadder() *fieldError {
	for key, t := range map[string][]float64{"ladder.temperature_c": p.Ladder.Temperature, "ladder.memory_percent": p.Ladder.Memory} {
		if n := len(ladder.Thresholds{}); len(t) != n && len(t) != 0 {
			return field(key, "%d thresholds instead of %d: warn, smaller batch, smaller context, CPU for embeddings, extractive answers", len(t), n)
		}
	}
	if err := p.LadderLimits().Check(); err != nil {
		return &fieldError{"ladder.rise", err}
	}
	if n := len(p.Ladder.Temperature); n > 0 && p.Limits.Temperature > 0 && p.Ladder.Temperature[n-1] > float64(p.Limits.Temperature) {
		return field("ladder.temperature_c", "the last step is at %v °C, above the limit of %d °C", p.Ladder.Temperature[n-1], p.Limits.Temperature)
	}
	if p.GPU() && (len(p.Ladder.Temperature) == 0 || len(p.Ladder.Memory) == 0 && !p.Memory.Shared) {
		return field("ladder.temperature_c", "a profile with a card has thresholds of temperature and memory")
	}
	return nil
}

// model is any of a profile's models.
type model struct {
	role         string
	kind         catalog.Kind
	name         string
	quantisation string
	gpu          bool
	batch        int
	threads      int
}

func (p Profile) models() []model {
	encoder := func(role string, kind catalog.Kind, e Encoder) model {
		return model{role, kind, e.Model, e.Quantisation, e.GPU, e.Batch, e.Threads}
	}
	g := p.Generator
	return []model{
		{"generator", catalog.Generator, g.Model, g.Quantisation, g.GPULayers != 0, g.Batch, g.Threads},
		encoder("embedder", catalog.Embedder, p.Embedder),
		encoder("reranker", catalog.Reranker, p.Reranker),
		encoder("entailer", "entailer", p.Entailer),
	}
}

func (m model) check(p Profile) *fieldError {
	if m.name == "" {
		if m.kind == catalog.Generator || m.kind == catalog.Embedder {
			return field(m.role+".model", "it must be given")
		}
		return nil
	}
	pin, err := catalog.FindPin(m.name)
	switch {
	case err != nil:
		return field(m.role+".model", "%q is not among the pins of the catalog", m.name)
	case pin.Kind != m.kind:
		return field(m.role+".model", "%s is of the kind %s", m.name, pin.Kind)
	case pin.EvaluationOnly:
		return field(m.role+".model", "the licence of %s does not allow it in an appliance", m.name)
	case pin.Format == "gguf" && pin.Quantisation != m.quantisation:
		return field(m.role+".quantisation", "%q; the pinned file is %s", m.quantisation, pin.Quantisation)
	case m.quantisation == "":
		return field(m.role+".quantisation", "it must be given")
	case m.gpu && !p.GPU():
		return field(m.role+".gpu", "this profile has no card")
	case m.batch < 1 || m.batch > 1<<16:
		return field(m.role+".batch", "%d is outside 1 to %d", m.batch, 1<<16)
	case m.threads < 0 || m.threads > 1024:
		return field(m.role+".threads", "%d is outside 0 to 1024", m.threads)
	case m.kind == catalog.Generator && pin.Context > 0 && p.Generator.Context > pin.Context:
		return field("generator.context", "%d tokens; the model reads %d", p.Generator.Context, pin.Context)
	}
	return nil
}

// Bytes for an element of a quantised model, where it is made here out of F32.
var shrink = map[string]float64{"F32": 1, "F16": 0.5, "Q8_0": 8.5 / 32, "Q4_0": 4.5 / 32}

// Room for what a model needs beside its weights and cache: activations and
// the library's own, in bytes. Taken from llama.cpp's reports for models of
// this size with a micro-batch of 512.
const (
	generatorRoom = 600 << 20
	encoderRoom   = 150 << 20
)

// Needs is the memory in bytes that the models on the card (without a card: on
// the machine) take by reckoning: weights, cache of all slots, and room beside.
func (p Profile) Needs() int64 {
	var sum int64
	for _, m := range p.models() {
		if m.name == "" || p.GPU() && !m.gpu {
			continue
		}
		pin, err := catalog.FindPin(m.name)
		if err != nil {
			continue
		}
		weights, _ := pin.Size()
		if pin.Format == "safetensors" {
			weights = pin.Files[0].Size
			if f, ok := shrink[m.quantisation]; ok && pin.Quantisation == "F32" {
				weights = int64(float64(weights) * f)
			}
		}
		sum += weights
		if m.kind != catalog.Generator {
			sum += encoderRoom
			continue
		}
		cache := float64(pin.KVBytesPerToken) * float64(p.Generator.Context) * float64(p.Generator.Slots)
		switch p.Generator.KVType {
		case "q8_0":
			cache *= 8.5 / 16
		case "q4_0":
			cache *= 4.5 / 16
		}
		sum += int64(cache) + generatorRoom
	}
	return sum
}

// version splits 550.54.14 into numbers; nil where it is none.
func version(s string) []int {
	var out []int
	for part := range strings.SplitSeq(s, ".") {
		n := 0
		for _, r := range part {
			if r < '0' || r > '9' || n > 1e6 {
				return nil
			}
			n = n*10 + int(r-'0')
		}
		if part == "" {
			return nil
		}
		out = append(out, n)
	}
	if len(out) < 2 {
		return nil
	}
	return out
}
