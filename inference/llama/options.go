package llama

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rxedge/inference"
)

// KVType is the type in which keys and values of the context are kept. The
// engine's default is f16; q8_0 takes 53 % of that and q4_0 28 %.
type KVType string

const (
	KVF16  KVType = "f16"
	KVQ8_0 KVType = "q8_0"
	KVQ4_0 KVType = "q4_0"
)

// Flash says whether attention is computed blockwise.
type Flash string

const (
	FlashAuto Flash = "auto"
	FlashOn   Flash = "on"
	FlashOff  Flash = "off"
)

const (
	// AllLayers puts every layer on the GPU.
	AllLayers = -1
	// NoDevice keeps a model off every GPU.
	NoDevice = "none"
)

const (
	defaultMicroBatch = 512 // llama.cpp's own
	// Where the processor reads, 128 tokens at once are as quick as 512 and who is
	// given an answer meanwhile waits a quarter of the time for each piece: 1.8 s
	// for 6.9 s (BenchmarkBatch, 1B on 2 cores). 64 are slower.
	processorMicroBatch = 128
	mostSlots           = 256
	mostContext         = 16 << 20
)

// Options say which model is served and how.
type Options struct {
	Engine Engine
	Model  string // path of the GGUF file
	Name   string // as the catalog names it; "": the file's name
	SHA256 string // of the model file, for Info
	Kind   Kind

	Context    int    // tokens one request may use; 0: DefaultContext, or what the model was trained for if that is less, which an encoder's never exceeds
	Slots      int    // requests served at the same time, each with its own Context; 0: 1
	Queue      int    // requests that may wait for a slot; 0: 64; -1: none may
	Batch      int    // tokens of prompts read in one step, after which tokens of other answers come; 0: MicroBatch
	MicroBatch int    // of which so many are computed at once; 0: 512, and 128 where no GPU can be used; an encoder's is its Context
	KV         KVType // "": f16
	Flash      Flash  // "": auto, and off for Rank, whose logits it moves by some thousandths
	Threads    int    // 0: the engine's choice
	GPULayers  int    // 0: the engine's choice, what fits; AllLayers; or so many
	Device     string // backend device as 'rxedge-llama --list-devices' names it, several with commas; "": the engine's choice; NoDevice
	// PromptCache is memory, in MiB, for prompts whose slot was taken by another.
	PromptCache int
	Adapters    map[string]string // LoRA adapters by name: paths of their GGUF files, loaded beside the model

	RunDir string        // under which the socket's private folder is made; "": the system's runtime folder
	Wait   time.Duration // how long a request waits for an engine that (re)starts; 0: DefaultWait
	Log    *slog.Logger  // nil: none

	pooling string // of an encoder, as its file says

	pulse time.Duration // between two looks at a child that serves; 0: 2 s
	idle  time.Duration // without a token after which it is probed; 0: 40 s
}

var deviceName = regexp.MustCompile(`^[A-Za-z0-9_]+(,[A-Za-z0-9_]+)*$`)

// complete checks o and puts in what is left to us.
func (o Options) complete() (Options, error) {
	if o.Engine.Binary == "" {
		return o, inference.ErrEngineMissing
	}
	switch o.KV {
	case "":
		o.KV = KVF16
	case KVF16, KVQ8_0, KVQ4_0:
	default:
		return o, fmt.Errorf("KV cache type %q: it is %s, %s or %s", o.KV, KVF16, KVQ8_0, KVQ4_0)
	}
	switch o.Flash {
	case "":
		o.Flash = FlashAuto
		if o.Kind == Rank {
			o.Flash = FlashOff // it rounds keys and values to half precision
		}
	case FlashAuto, FlashOn, FlashOff:
	default:
		return o, fmt.Errorf("flash attention %q: it is %s, %s or %s", o.Flash, FlashAuto, FlashOn, FlashOff)
	}
	switch {
	case o.Kind != Generate && o.Kind != Embed && o.Kind != Rank:
		return o, fmt.Errorf("kind %q: a model is loaded to %q, to %q or to %q", o.Kind, Generate, Embed, Rank)
	case o.Context < 0 || o.Slots < 0 || o.Threads < 0 || o.Batch < 0 || o.MicroBatch < 0 || o.PromptCache < 0:
		return o, errors.New("context, slots, threads, batch, micro-batch and prompt cache must not be negative")
	case o.Queue < -1:
		return o, fmt.Errorf("queue %d: it is -1 (nobody waits), 0 (%d) or more", o.Queue, defaultQueue)
	case o.GPULayers < AllLayers:
		return o, fmt.Errorf("GPU layers %d: it is -1 (all), 0 (what fits) or more", o.GPULayers)
	case o.Slots > mostSlots || o.Context > mostContext:
		return o, fmt.Errorf("%d slots of %d tokens: there can be %d slots of %d tokens", o.Slots, o.Context, mostSlots, mostContext)
	case o.Batch > 0 && o.MicroBatch > o.Batch:
		return o, fmt.Errorf("a micro-batch of %d tokens is more than the batch of %d", o.MicroBatch, o.Batch)
	case o.KV != KVF16 && o.Flash == FlashOff:
		return o, fmt.Errorf("a KV cache of %s needs flash attention, which is off", o.KV)
	case o.Device != "" && !deviceName.MatchString(o.Device):
		return o, fmt.Errorf("device %q: name it as 'rxedge-llama --list-devices' does", o.Device)
	case o.Device == NoDevice && o.GPULayers != 0:
		return o, fmt.Errorf("%d layers on the GPU, but the device is %q", o.GPULayers, NoDevice)
	case o.Kind != Generate && len(o.Adapters) > 0:
		return o, errors.New("adapters can be loaded beside a language model alone")
	}
	path, err := regularFile("model file", o.Model)
	if err != nil {
		return o, err
	}
	o.Model = path
	adapters := make(map[string]string, len(o.Adapters))
	for name, file := range o.Adapters {
		what := "adapter " + name
		if name == "" || strings.ContainsAny(file, `,"`) {
			return o, fmt.Errorf("%s: it needs a name, and its path must not hold a comma or a quotation mark: %s", what, file)
		}
		if adapters[name], err = regularFile(what, file); err != nil {
			return o, err
		}
	}
	o.Adapters = adapters
	if o.Name == "" {
		o.Name = filepath.Base(path)
	}
	o.Slots = max(o.Slots, 1)
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.MicroBatch == 0 {
		o.MicroBatch = o.usualMicroBatch()
		if o.Batch > 0 {
			o.MicroBatch = min(o.MicroBatch, o.Batch)
		}
	}
	if o.Batch == 0 {
		o.Batch = o.MicroBatch
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.pulse == 0 {
		o.pulse = 2 * time.Second
	}
	if o.idle == 0 {
		o.idle = 40 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func (o Options) usualMicroBatch() int {
	if o.Device == NoDevice || o.Engine.onlyCPU() {
		return processorMicroBatch
	}
	return defaultMicroBatch
}

func regularFile(what, path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	st, err := os.Stat(abs)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s %s is not a file", what, abs)
	}
	return abs, nil
}

// adapterNames is the order in which adapters are handed to the engine, which
// knows them by their number.
func (o Options) adapterNames() []string {
	names := make([]string, 0, len(o.Adapters))
	for name := range o.Adapters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// arguments are the engine's, for complete options.
func arguments(o Options, socket string) []string {
	number := strconv.Itoa
	args := []string{
		"--model", o.Model,
		"--host", socket,
		"--offline", "--no-ui",
		"--slots", // how far each answer is; no text while LLAMA_SERVER_SLOTS_DEBUG is unset
		"--log-colors", "off", "--no-log-timestamps", "--log-verbosity", "3",
		"--parallel", number(o.Slots), "--no-kv-unified",
		"--ctx-size", number(o.Context * o.Slots),
		"--no-context-shift", // a text that does not fit is an error, never cut
		"--cache-ram", number(o.PromptCache),
		"--no-warmup", // the probe does it
		"--flash-attn", string(o.Flash),
		"--cache-type-k", string(o.KV), "--cache-type-v", string(o.KV),
		// A question shares its beginning, the system's words, with those before
		// it; where that is a small part of it, it still is worth the same slot.
		"--slot-prompt-similarity", "0.02",
	}
	if o.Threads > 0 {
		args = append(args, "--threads", number(o.Threads), "--threads-batch", number(o.Threads))
	}
	switch {
	case o.GPULayers == AllLayers:
		args = append(args, "--gpu-layers", "all", "--fit", "off")
	case o.GPULayers > 0:
		args = append(args, "--gpu-layers", number(o.GPULayers), "--fit", "off")
	case o.Device == NoDevice:
		args = append(args, "--gpu-layers", "0", "--fit", "off")
	}
	if o.Device != "" {
		args = append(args, "--device", o.Device)
	}
	for _, name := range o.adapterNames() {
		args = append(args, "--lora", o.Adapters[name])
	}
	if len(o.Adapters) > 0 {
		args = append(args, "--lora-init-without-apply")
	}
	if o.Kind != Generate {
		// An encoder reads a text in one piece, and more tokens than a batch
		// holds abort the process.
		n := number(o.Context)
		return append(args, "--embeddings", "--pooling", o.poolingFor(), "--batch-size", n, "--ubatch-size", n)
	}
	return append(args, "--jinja", "--reasoning", "off",
		"--batch-size", number(o.Batch), "--ubatch-size", number(o.MicroBatch))
}
