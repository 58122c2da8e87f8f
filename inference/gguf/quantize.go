package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Quantize appends src, in the form t, to dst. It knows F32, F16, BF16, Q8_0,
// Q4_0 and Q4_1, and yields the very bytes of ggml's reference functions
// (quantize_row_*_ref in ggml-quants.c). len(src) must be a multiple of the
// block. The quantised forms take no NaN and no infinity.
func Quantize(dst []byte, src []float32, t Type) ([]byte, error) {
	if err := checkLength(t, len(src), "quantised"); err != nil {
		return nil, err
	}
	switch t {
	case F32:
		for _, v := range src {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
		return dst, nil
	case F16:
		for _, v := range src {
			dst = binary.LittleEndian.AppendUint16(dst, Float16(v))
		}
		return dst, nil
	case BF16:
		for _, v := range src {
			dst = binary.LittleEndian.AppendUint16(dst, BFloat16(v))
		}
		return dst, nil
	}
	for i, v := range src {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("gguf: element %d is %v, which %s can't hold", i, v, t)
		}
	}
	for ; len(src) > 0; src = src[32:] {
		block := (*[32]float32)(src)
		switch t {
		case Q8_0:
			dst = quantizeQ8_0(dst, block)
		case Q4_0:
			dst = quantizeQ4_0(dst, block)
		case Q4_1:
			dst = quantizeQ4_1(dst, block)
		}
	}
	return dst, nil
}

// Dequantize appends the numbers that src holds in the form t to dst. It knows
// the types that Quantize knows. len(src) must be a multiple of a block's bytes.
func Dequantize(dst []float32, src []byte, t Type) ([]float32, error) {
	size := max(t.BlockBytes(), 1)
	if len(src)%size != 0 {
		return nil, fmt.Errorf("gguf: %d bytes are no multiple of %s's block of %d", len(src), t, size)
	}
	if err := checkLength(t, len(src)/size*t.BlockSize(), "dequantised"); err != nil {
		return nil, err
	}
	for ; len(src) > 0; src = src[size:] {
		switch t {
		case F32:
			dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(src)))
		case F16:
			dst = append(dst, half(src))
		case BF16:
			dst = append(dst, BFloat16ToFloat32(binary.LittleEndian.Uint16(src)))
		case Q8_0:
			d := half(src)
			for _, q := range src[2:34] {
				dst = append(dst, float32(int8(q))*d)
			}
		case Q4_0:
			d := half(src)
			for _, q := range src[2:18] {
				dst = append(dst, float32(int(q&15)-8)*d)
			}
			for _, q := range src[2:18] {
				dst = append(dst, float32(int(q>>4)-8)*d)
			}
		case Q4_1:
			d, m := half(src), half(src[2:])
			// The conversions of products keep the compiler from fusing
			// multiplication and addition, which would round once, not twice.
			for _, q := range src[4:20] {
				dst = append(dst, float32(float32(q&15)*d)+m)
			}
			for _, q := range src[4:20] {
				dst = append(dst, float32(float32(q>>4)*d)+m)
			}
		}
	}
	return dst, nil
}

func half(b []byte) float32 { return Float16ToFloat32(binary.LittleEndian.Uint16(b)) }

func checkLength(t Type, n int, verb string) error {
	switch t {
	case F32, F16, BF16, Q8_0, Q4_0, Q4_1:
	default:
		return fmt.Errorf("gguf: %s can't be %s here", t, verb)
	}
	if b := t.BlockSize(); n%b != 0 {
		return fmt.Errorf("gguf: %d elements are no multiple of %s's block of %d", n, t, b)
	}
	return nil
}

func inverse(d float32) float32 {
	if d == 0 {
		return 0
	}
	return 1 / d
}

func quantizeQ8_0(dst []byte, x *[32]float32) []byte {
	var amax float32
	for _, v := range x {
		amax = max(amax, float32(math.Abs(float64(v))))
	}
	d := amax / 127
	id := inverse(d)
	dst = binary.LittleEndian.AppendUint16(dst, Float16(d))
	for _, v := range x {
		q := math.Round(float64(v * id)) // half away from zero, as roundf
		dst = append(dst, byte(int8(clamp(q, -128, 127))))
	}
	return dst
}

func quantizeQ4_0(dst []byte, x *[32]float32) []byte {
	var amax, top float32 // top: the value of largest magnitude, with its sign
	for _, v := range x {
		if a := float32(math.Abs(float64(v))); amax < a {
			amax, top = a, v
		}
	}
	d := top / -8
	id := inverse(d)
	dst = binary.LittleEndian.AppendUint16(dst, Float16(d))
	for j := range 16 {
		lo, hi := nibble(float32(x[j]*id)+8.5), nibble(float32(x[j+16]*id)+8.5)
		dst = append(dst, lo|hi<<4)
	}
	return dst
}

func quantizeQ4_1(dst []byte, x *[32]float32) []byte {
	low, high := x[0], x[0]
	for _, v := range x {
		low, high = min(low, v), max(high, v)
	}
	d := (high - low) / 15
	id := inverse(d)
	dst = binary.LittleEndian.AppendUint16(dst, Float16(d))
	dst = binary.LittleEndian.AppendUint16(dst, Float16(low))
	for j := range 16 {
		lo, hi := nibble(float32((x[j]-low)*id)+0.5), nibble(float32((x[j+16]-low)*id)+0.5)
		dst = append(dst, lo|hi<<4)
	}
	return dst
}

// nibble cuts off the fraction. The clamp matters only where the scale is so
// small that its inverse overflows; C leaves that case undefined.
func nibble(f float32) byte { return byte(clamp(float64(f), 0, 15)) }

func clamp(f, low, high float64) float64 {
	if !(f > low) { // NaN too
		return low
	}
	return min(f, high)
}
