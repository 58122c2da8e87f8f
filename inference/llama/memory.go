package llama

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"

	"rxedge/inference/gguf"
)

// processMemory is what a child takes before it has a model, in bytes: its
// code, its threads, the tokenizer; as measured.
const processMemory = 34 << 20

// Estimate is what a model needs, in bytes. It is meant to be a little too much.
type Estimate struct {
	Weights int64 `json:"weights"`
	KV      int64 `json:"kv"`      // keys and values of all slots, and what is kept about their cells
	Compute int64 `json:"compute"` // intermediate results of one micro-batch
	Process int64 `json:"process"` // the engine itself, and its cache of prompts
	// Device is the part of all these that lies on a GPU, where Options name the
	// layers that do.
	Device int64 `json:"device"`
}

// Host is what the machine's own memory has to hold.
func (e Estimate) Host() int64 { return e.Weights + e.KV + e.Compute + e.Process - e.Device }

// EstimateMemory reads a model's header and says what it needs when loaded with o.
func EstimateMemory(o Options) (Estimate, error) {
	f, err := gguf.Open(o.Model)
	if err != nil {
		return Estimate{}, err
	}
	defer f.Close()
	e := shapeOf(f).estimate(o)
	for _, path := range o.Adapters {
		a, err := gguf.Open(path)
		if err != nil {
			return Estimate{}, fmt.Errorf("adapter: %w", err)
		}
		e.Weights += tensorBytes(a)
		a.Close()
	}
	return e, nil
}

func tensorBytes(f *gguf.File) (sum int64) {
	for _, t := range f.Tensors {
		sum += int64(t.Bytes())
	}
	return sum
}

// shape is what of a model decides how much memory it takes.
type shape struct {
	weights, layers, width, feed, vocabulary, trained int64
	heads, keys, values                               int64 // keys and values: numbers per token and layer
}

func shapeOf(f *gguf.File) shape {
	arch, _ := f.Metadata.Text("general.architecture")
	number := func(key string, otherwise int64) int64 {
		if n, ok := f.Metadata.Uint(arch + "." + key); ok && n > 0 && n < 1<<32 {
			return int64(n)
		}
		return otherwise
	}
	words, _ := f.Metadata.Texts("tokenizer.ggml.tokens")
	s := shape{
		weights: tensorBytes(f), layers: number("block_count", 0), width: number("embedding_length", 0),
		vocabulary: int64(len(words)), trained: number("context_length", 0),
	}
	s.feed = number("feed_forward_length", 4*s.width)
	s.heads = max(number("attention.head_count", 1), 1)
	head := s.width / s.heads
	shared := number("attention.head_count_kv", s.heads)
	s.keys = shared * number("attention.key_length", head)
	s.values = shared * number("attention.value_length", head)
	return s
}

// bytesPer is what 1,000 numbers of a type take.
var bytesPerThousand = map[KVType]int64{KVF16: 2000, KVQ8_0: 1063, KVQ4_0: 563}

// cell is what llama.cpp keeps about a place in the context beside its keys and
// values: positions and the sequences that it belongs to.
const cell = 48

func (s shape) estimate(o Options) Estimate {
	context, slots := int64(o.Context), int64(max(o.Slots, 1))
	if context == 0 {
		context = DefaultContext
		if s.trained > 0 {
			context = min(context, s.trained)
		}
	}
	encoder := o.Kind == Embed || o.Kind == Rank
	if encoder && s.trained > 0 {
		context = min(context, s.trained)
	}
	context = (context + 255) / 256 * 256
	e := Estimate{Weights: s.weights, Process: processMemory + int64(o.PromptCache)<<20}
	// The words themselves, in the vocabulary and in two tables of it.
	e.Process += s.vocabulary * 320
	batch := context
	if !encoder {
		kind := o.KV
		if kind == "" {
			kind = KVF16
		}
		e.KV = slots * context * (s.layers*(s.keys+s.values)*bytesPerThousand[kind]/1000 + cell)
		batch = int64(o.MicroBatch)
		if batch == 0 {
			batch = int64(o.usualMicroBatch())
		}
		batch = min(batch, context*slots)
	}
	onDevice := o.GPULayers != 0 && o.Device != NoDevice
	// The largest of what lies side by side: the states and the feed-forward of
	// a layer, or the logits, which a GPU sets aside for every token of a batch
	// and the machine's memory only takes up for those that are asked for.
	e.Compute = batch * (4*s.width + 3*s.feed) * 4
	if !encoder {
		rows := slots
		if onDevice {
			rows = batch
		}
		e.Compute = max(e.Compute, rows*(s.vocabulary+2*s.width)*4)
	}
	if o.Flash == FlashOff || o.Flash == "" && o.Kind == Rank {
		e.Compute += batch * context * s.heads * 4
	}
	e.Compute += batch * context * 2 * 2 // the mask, in both precisions
	switch {
	case o.GPULayers == AllLayers:
		e.Device = e.Weights + e.KV + e.Compute
	case o.GPULayers > 0 && s.layers > 0:
		part := min(int64(o.GPULayers), s.layers)
		e.Device = (e.Weights+e.KV)*part/s.layers + e.Compute
	}
	return e
}

// resident is what a process holds in memory now, in bytes, of which file is
// the part that the kernel could read again from the model's file; see
// proc_pid_status(5).
func resident(pid int) (total, file int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		name, rest, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		kb, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
		n, _ := strconv.ParseInt(string(kb), 10, 64)
		switch string(name) {
		case "VmRSS":
			total = n << 10
		case "RssFile":
			file = n << 10
		}
	}
	return total, file, nil
}

// machineMemory is the machine's memory, and what of it is to be had, in bytes;
// 0 where that is unknown.
func machineMemory() (total, available int64) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
		switch string(fields[0]) {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	return total, available
}
