// Package gptq reads weights as GPTQ and AWQ checkpoints pack them and writes
// them as rows of ggml blocks, without loss where a block can hold them.
//
// A quantised matrix of in inputs and out outputs stands for
//
//	w[o][i] = scale[group(i)][o] · (q[i][o] − zero[group(i)][o])
//
// and is kept as four tensors whose rows are inputs or groups:
//
//	GPTQ  qweight I32 [in·bits/32, out]   a column's q as one stream of bits, the first lowest
//	      qzeros  I32 [groups, out·bits/32]   a row's zeros likewise, each less 1 (not so in gptq_v2)
//	      scales  F16 [groups, out]
//	      g_idx   I32 [in]   the group of each input; without it, input ÷ group size
//	AWQ   qweight I32 [in, out/8], qzeros I32 [groups, out/8], scales F16 [groups, out]
//	      the eight outputs of a word in the order 0 2 4 6 1 3 5 7, the first lowest
//
// A ggml block is 32 inputs of one output:
//
//	Q4_0  d·(n − 8), n in 0…15      Q4_1  d·n + m, n in 0…15      Q8_0  d·n, n in −128…127
//
// So where a block's inputs belong to one group, d = scale, and with n = q − zero
// + 8 symmetric 4-bit weights (zero 8) and all 2- and 3-bit ones are Q4_0 exactly,
// 8-bit ones with q − zero in −128…127 Q8_0 exactly, and the other 4-bit ones
// Q4_1 but for the rounding of m = −scale·zero to half precision.
//
// Sources: auto_gptq/nn_modules/qlinear/qlinear_cuda.py of AutoGPTQ (packing,
// and that the zero's 1 is added before the bits are masked),
// awq/modules/linear/gemm.py of AutoAWQ, ggml/src/ggml-common.h of llama.cpp.
package gptq

import (
	"encoding/json"
	"fmt"
)

// Method is how a matrix is packed.
type Method string

// The methods that are read.
const (
	GPTQ Method = "gptq"
	AWQ  Method = "awq"
)

// Config is what a checkpoint says about its quantisation.
type Config struct {
	Method    Method
	Bits      int
	GroupSize int  // inputs, or -1: all of them
	DescAct   bool // the groups are in the order of activation; g_idx tells them
	Sym       bool // as the file says; the zeros themselves decide
	V2        bool // gptq_v2: zeros are stored as they are
	// Dynamic: single modules may have other bits; their shapes tell.
	Dynamic bool
}

// ParseConfig reads a quantize_config.json, or the value of
// quantization_config in a config.json. What is not supported is an error that
// names the key and its value.
func ParseConfig(b []byte) (Config, error) {
	var raw struct {
		Method     *string         `json:"quant_method"`
		Bits       *int            `json:"bits"`
		WBit       *int            `json:"w_bit"`
		GroupSize  *int            `json:"group_size"`
		QGroupSize *int            `json:"q_group_size"`
		DescAct    bool            `json:"desc_act"`
		Sym        *bool           `json:"sym"`
		Format     string          `json:"checkpoint_format"`
		Version    string          `json:"version"`
		Dynamic    json.RawMessage `json:"dynamic"`
		PackDType  string          `json:"pack_dtype"`
		Marlin     bool            `json:"is_marlin_format"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return Config{}, fmt.Errorf("the quantisation's settings can't be read: %w", err)
	}
	c := Config{Method: GPTQ, GroupSize: -1, DescAct: raw.DescAct, Sym: true}
	if raw.Method != nil {
		c.Method = Method(*raw.Method)
	} else if raw.WBit != nil {
		c.Method = AWQ
	}
	if raw.Sym != nil {
		c.Sym = *raw.Sym
	}
	for _, p := range []*int{raw.WBit, raw.Bits} {
		if p != nil {
			c.Bits = *p
		}
	}
	for _, p := range []*int{raw.QGroupSize, raw.GroupSize} {
		if p != nil {
			c.GroupSize = *p
		}
	}
	c.Dynamic = len(raw.Dynamic) > 0 && string(raw.Dynamic) != "null" && string(raw.Dynamic) != "{}"
	unsupported := func(key string, value any, want string) (Config, error) {
		return Config{}, fmt.Errorf("quantisation: %s is %q, which is not supported (%s)", key, fmt.Sprint(value), want)
	}
	switch c.Method {
	case GPTQ:
		switch c.Bits {
		case 2, 3, 4, 8:
		default:
			return unsupported("bits", c.Bits, "2, 3, 4 and 8 are")
		}
		switch raw.Format {
		case "", "gptq":
		case "gptq_v2":
			c.V2 = true
		default:
			return unsupported("checkpoint_format", raw.Format, "gptq and gptq_v2 are")
		}
		if raw.Marlin {
			return unsupported("is_marlin_format", true, "gptq and gptq_v2 are")
		}
		if raw.PackDType != "" && raw.PackDType != "int32" {
			return unsupported("pack_dtype", raw.PackDType, "int32 is")
		}
	case AWQ:
		if c.Bits != 4 {
			return unsupported("bits", c.Bits, "AWQ has 4")
		}
		switch raw.Version {
		case "", "gemm", "GEMM":
		default:
			return unsupported("version", raw.Version, "AWQ's gemm is")
		}
		if c.DescAct {
			return unsupported("desc_act", true, "AWQ has no order of activation")
		}
	default:
		return unsupported("quant_method", c.Method, "gptq and awq are")
	}
	if c.GroupSize != -1 && c.GroupSize < 1 {
		return unsupported("group_size", c.GroupSize, "-1 or a number of inputs")
	}
	return c, nil
}
