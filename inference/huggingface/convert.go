package huggingface

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rxedge/inference/gguf"
	"rxedge/inference/gptq"
	"rxedge/inference/safetensors"
)

// Type is what plain matrices become. Packed ones (GPTQ, AWQ) keep their
// weights whatever it is; vectors are F32.
type Type string

// The types of Options.
const (
	AsIs Type = ""     // as the checkpoint has them: F32, F16 or BF16
	F16  Type = "f16"  // half precision
	Q8_0 Type = "q8_0" // 8.5 bits a weight
	Q4_0 Type = "q4_0" // 4.5 bits; embedding and output 8.5
)

// Options of Convert.
type Options struct {
	Name string // general.name; "": the folder's
	Type Type
}

// TensorReport says what became of one tensor.
type TensorReport struct {
	Name   string `json:"name"`   // in the GGUF file
	Source string `json:"source"` // in the checkpoint; of packed weights the module
	Type   string `json:"type"`
	// Exact: no weight changed.
	Exact bool `json:"exact"`
	// MaxError is the largest difference of a weight as written from the weight
	// as read, MaxWeight the largest magnitude of the latter.
	MaxError  float64 `json:"max_error"`
	MaxWeight float64 `json:"max_weight"`
	Note      string  `json:"note,omitempty"`
}

// Line is the report of one tensor for people.
func (t TensorReport) Line() string {
	s := fmt.Sprintf("%s: %s, ", t.Name, t.Type)
	if t.Exact {
		s += "exact"
	} else {
		s += fmt.Sprintf("largest error %.3g of weights up to %.3g", t.MaxError, t.MaxWeight)
	}
	if t.Note != "" {
		s += " (" + t.Note + ")"
	}
	return s
}

// Report is what a conversion did.
type Report struct {
	Architecture string         `json:"architecture"`
	Quantisation string         `json:"quantisation"` // of the source: "gptq 4-bit, group 128", or ""
	Tensors      []TensorReport `json:"tensors"`
	Size         int64          `json:"size"` // of the GGUF file, bytes
	// Resumed is how many tensors an earlier run had done.
	Resumed int `json:"resumed"`
	// Notes for people: what was left out or differs.
	Notes []string `json:"notes,omitempty"`
}

// Summary is the report in a few lines: how many tensors are of which type, how
// many of them exact, the worst of the others, and the notes.
func (r Report) Summary() []string {
	type sum struct {
		n, exact int
		worst    TensorReport
	}
	var order []string
	sums := make(map[string]*sum)
	for _, t := range r.Tensors {
		key := t.Type
		if t.Note != "" {
			key += " (" + t.Note + ")"
		}
		s := sums[key]
		if s == nil {
			s = &sum{}
			sums[key] = s
			order = append(order, key)
		}
		s.n++
		if t.Exact {
			s.exact++
		} else if t.MaxWeight > 0 && (s.worst.MaxWeight == 0 || t.MaxError/t.MaxWeight > s.worst.MaxError/s.worst.MaxWeight) {
			s.worst = t
		}
	}
	var out []string
	for _, key := range order {
		s := sums[key]
		line := fmt.Sprintf("%d tensors as %s, %d of them exact", s.n, key, s.exact)
		if s.worst.Name != "" {
			line += fmt.Sprintf("; largest error %.3g of weights up to %.3g, in %s", s.worst.MaxError, s.worst.MaxWeight, s.worst.Name)
		}
		out = append(out, line)
	}
	return append(out, r.Notes...)
}

// IsModel says whether dir looks like a folder of a Hugging Face model: a
// config.json, and weights as safetensors.
func IsModel(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		return false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".safetensors") || strings.HasSuffix(e.Name(), ".safetensors.index.json") {
			return true
		}
	}
	return false
}

// Architectures are the classes that the folder's config.json names, such as
// LlamaForCausalLM; none where it does not say.
func Architectures(dir string) []string {
	s, err := readSettings(dir, "config.json")
	if err != nil || s == nil {
		return nil
	}
	var out []string
	s.decode("architectures", &out)
	return out
}

// Conversion is a folder that has been read and found good. Close it.
type Conversion struct {
	m          *model
	c          *safetensors.Checkpoint
	items      []*item
	metadata   gguf.Metadata
	quantised  string
	dir        string
	identities []identity
}

// Prepare reads and checks all of the folder but the weights themselves.
func Prepare(dir string, o Options) (*Conversion, error) {
	switch o.Type {
	case AsIs, F16, Q8_0, Q4_0:
	default:
		return nil, fmt.Errorf("weights can't be written as %q; f16, q8_0 and q4_0 are possible, or nothing to leave them as they are", o.Type)
	}
	m, err := readModel(dir)
	if err != nil {
		return nil, err
	}
	v, err := readVocabulary(dir, m.vocabulary, m.settings)
	if err != nil {
		return nil, err
	}
	quant, err := readQuantisation(dir, m.settings)
	if err != nil {
		return nil, err
	}
	c, err := safetensors.Open(dir)
	if err != nil {
		return nil, err
	}
	out := &Conversion{m: m, c: c, dir: dir}
	p := &planner{m: m, c: c, quant: quant, as: o.Type}
	if err := p.plan(); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	out.items = p.items
	if quant != nil {
		out.quantised = fmt.Sprintf("%s %d-bit, group %d", quant.Method, quant.Bits, quant.GroupSize)
	}
	if o.Name == "" {
		if abs, err := filepath.Abs(dir); err == nil {
			o.Name = filepath.Base(abs)
		}
	}
	m.metadata(&out.metadata, o.Name, licence(dir), fileType(p.items))
	v.metadata(&out.metadata)
	if m.err == nil {
		m.err = out.identify()
	}
	if m.err != nil {
		c.Close()
		return nil, m.err
	}
	return out, nil
}

// Close closes the checkpoint's files.
func (v *Conversion) Close() error { return v.c.Close() }

// Size is the bytes of the tensors that will be written.
func (v *Conversion) Size() int64 {
	var n int64
	for _, it := range v.items {
		n += int64(it.tensor().Bytes())
	}
	return n
}

// Convert is Prepare and Write.
func Convert(ctx context.Context, dir, out string, o Options, progress func(done, total int64)) (Report, error) {
	v, err := Prepare(dir, o)
	if err != nil {
		return Report{}, err
	}
	defer v.Close()
	return v.Write(ctx, out, progress)
}

// readQuantisation finds how the weights are packed; nil: they are not.
func readQuantisation(dir string, config *settings) (*gptq.Config, error) {
	var raw json.RawMessage
	file := "config.json: quantization_config"
	if config.has("quantization_config") {
		raw = config.values["quantization_config"]
	}
	if raw == nil {
		for _, name := range []string{"quantize_config.json", "quant_config.json"} {
			b, err := readLimited(filepath.Join(dir, name), configLimit)
			if err != nil {
				return nil, err
			}
			if b != nil {
				raw, file = b, name
				break
			}
		}
	}
	if raw == nil {
		return nil, nil
	}
	c, err := gptq.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &c, nil
}

// licence is what the head of README.md states.
func licence(dir string) string {
	b, err := readLimited(filepath.Join(dir, "README.md"), configLimit)
	if err != nil {
		return ""
	}
	head, ok := strings.CutPrefix(string(b), "---\n")
	if !ok {
		return ""
	}
	head, _, _ = strings.Cut(head, "\n---")
	for line := range strings.Lines(head) {
		if v, ok := strings.CutPrefix(line, "license:"); ok {
			if v = strings.Trim(strings.TrimSpace(v), `"'`); len(v) <= 100 {
				return v
			}
		}
	}
	return ""
}

// fileTypes is general.file_type, llama.cpp's enum llama_ftype.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q4_0: 2, gguf.Q4_1: 3, gguf.Q8_0: 7, gguf.BF16: 32}

// fileType is that of most of the matrices' weights.
func fileType(items []*item) uint32 {
	count := make(map[gguf.Type]uint64)
	most := gguf.F32
	for _, it := range items {
		if len(it.shape) < 2 {
			continue
		}
		count[it.as] += it.shape[0] * it.shape[1]
		if count[it.as] > count[most] {
			most = it.as
		}
	}
	return fileTypes[most]
}
