package gguf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"testing"
)

// sample makes numbers with ties, zeros, tiny and large blocks among them.
func sample() []float32 {
	x := make([]float32, 32*4096)
	s := uint64(1)
	for i := range x {
		s = s*6364136223846793005 + 1442695040888963407
		m := float64(s>>40)/(1<<24)*2 - 1
		e := int(s>>32&0xff)%12 - 6
		block := i / 32
		switch block % 16 {
		case 0:
		case 1:
			x[i] = float32(int(math.RoundToEven(m * 8)))
		case 2:
			x[i] = float32(float64(int(math.RoundToEven(m*127))) / 127)
		case 3:
			x[i] = float32(math.Ldexp(m, e-block%40))
		default:
			x[i] = float32(math.Ldexp(m, e))
		}
	}
	return x
}

func floatsHash(x []float32) string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, x)
	return hex.EncodeToString(h.Sum(nil))
}

// The hashes were made by calling quantize_row_*_ref, dequantize_row_*,
// ggml_fp32_to_fp16_row and its like in libggml-base.so of llama.cpp v0.5.0 on
// the same numbers.
func TestQuantizeAsGGML(t *testing.T) {
	t.Parallel()
	x := sample()
	if got := floatsHash(x); got != "b0e7351760ad5c4954b1fc5f69c7003e4893f1cf27844fded012f12ff321a219" {
		t.Fatalf("the sample itself differs: %s", got)
	}
	for _, c := range []struct {
		t           Type
		bytes, back string
	}{
		{Q8_0, "c407572d1ff75071097b55351d351d3bc58ee775ae0b1c2ee960cd829e8acdae", "69539b0605a2c260c0e75d5ad569d45be7827a842b8306565d56759d951d9767"},
		{Q4_0, "188e6463cb597f6c3f407a13530984e51ee07b4bc7139137a72f356ecc4db9cd", "1ccf18438b98c50875a3afd481b3f77ceb7e1f63b609f1fdccf3f80c123d098d"},
		{Q4_1, "f10fb9e4da5e3cf6b39b07b55f5c8dcd37d95eeda09319d7e9dd63a7af524515", "0db620f2c4a3035954fc790c65e211c39ecb1f34a9f741be20bda6b69b09cd3b"},
	} {
		b, err := Quantize(nil, x, c.t)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != c.bytes {
			t.Errorf("%s: quantised bytes differ from ggml's: %s", c.t, got)
		}
		y, err := Dequantize(nil, b, c.t)
		if err != nil {
			t.Fatal(err)
		}
		if got := floatsHash(y); got != c.back {
			t.Errorf("%s: dequantised numbers differ from ggml's: %s", c.t, got)
		}
	}
}

func TestHalfAsGGML(t *testing.T) {
	t.Parallel()
	f16, bf16 := sha256.New(), sha256.New()
	for u := uint64(0); u < 1<<32; u += 4099 {
		f := math.Float32frombits(uint32(u))
		binary.Write(f16, binary.LittleEndian, Float16(f))
		binary.Write(bf16, binary.LittleEndian, BFloat16(f))
	}
	if got := hex.EncodeToString(f16.Sum(nil)); got != "4b4339bb74f5435bd919c1689b1c94abfcaa747f43f9b17360b4f9859188d79e" {
		t.Errorf("Float16 differs from ggml's: %s", got)
	}
	if got := hex.EncodeToString(bf16.Sum(nil)); got != "4329ea803847000c4500452b5ecc65c74da595802963679c2a8fe957431c81fd" {
		t.Errorf("BFloat16 differs from ggml's: %s", got)
	}
	for u := range 1 << 16 {
		h := uint16(u)
		f := Float16ToFloat32(h)
		nan := h&0x7fff > 0x7c00
		if back := Float16(f); nan != math.IsNaN(float64(f)) || !nan && back != h {
			t.Fatalf("half %04x becomes %v and %04x again", h, f, back)
		}
		if b := BFloat16ToFloat32(h); !math.IsNaN(float64(b)) && BFloat16(b) != h {
			t.Fatalf("bfloat16 %04x becomes %v", h, b)
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	t.Parallel()
	block := make([]float32, 32)
	block[7] = float32(math.NaN())
	if _, err := Quantize(nil, block, Q4_0); err == nil {
		t.Error("a NaN was quantised")
	}
	if _, err := Quantize(nil, block[:31], Q8_0); err == nil {
		t.Error("part of a block was quantised")
	}
	if _, err := Quantize(nil, block, Q4_K); err == nil {
		t.Error("Q4_K was quantised, which this package can't")
	}
	if _, err := Dequantize(nil, make([]byte, 17), Q4_0); err == nil {
		t.Error("part of a block was dequantised")
	}
	if _, err := Dequantize(nil, make([]byte, 17), Type(99)); err == nil {
		t.Error("an unknown type was dequantised")
	}
	tiny := make([]float32, 32) // 1/d overflows
	tiny[0], tiny[1] = math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32
	for _, typ := range []Type{Q8_0, Q4_0, Q4_1} {
		if _, err := Quantize(nil, tiny, typ); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}
