package compress

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

// What the tools of llama.cpp v0.5.0 print, as it came.
const (
	quantizeSays = `llama_model_loader: - kv  12:     llama.attention.layer_norm_rms_epsilon f32              = 0.000010
warning: blk.0.attn_k.weight                  - ncols     64 not divisible by 256 (required for type    q4_K) -> falling back to    q5_0
warning: blk.0.ffn_down.weight                - ncols    172 not divisible by 256 (required for type    q4_K) (WARNING: must use F16 due to unusual shape) -> falling back to     f16
[   1/  47] output_norm.weight                   - [    64,      1,      1,      1], type =    f32, size =    0.000 MiB
[  47/  47] blk.4.ffn_up.weight                  - [    64,    172,      1,      1], type =    f32, converting to q8_0 .. size =     0.04 MiB ->     0.01 MiB
llama_model_quantize_impl: WARNING: 5 of 47 tensor(s) required fallback quantization
`
	baseSays = `0.00.019.384 I perplexity: calculating perplexity over 3 chunks, n_ctx=128, batch_size=128, n_seq=1
0.00.049.729 I perplexity: 0.03 seconds per pass - ETA 0.00 minutes
[1]4.9115,[2]5.0169,[3]5.0930,
0.00.446.163 I Final estimate: PPL = 4.7530 +/- 0.28698
`
	tooShortSays = `0.00.017.315 E perplexity: you need at least 1024 tokens to evaluate perplexity with a context of 512
0.00.017.315 E perplexity: the data file you provided tokenizes to only 40 tokens
`
	benchSays = `[{"n_prompt": 64, "n_gen": 0, "avg_ns": 9228132, "avg_ts": 6935.3},
 {"n_prompt": 0, "n_gen": 16, "avg_ns": 1838055, "avg_ts": 8704.8},
 {"n_prompt": 64, "n_gen": 16, "avg_ns": 14280791, "avg_ts": 5601.9}]`
)

func feed(ends, text string, to func(string)) {
	p := &pieces{ends: ends, to: to}
	for len(text) > 0 { // in crumbs, as a pipe may give them
		n := min(7, len(text))
		p.Write([]byte(text[:n]))
		text = text[n:]
	}
	p.flush()
}

func TestQuantizeOutput(t *testing.T) {
	t.Parallel()
	var steps [][2]int64
	q := quantizeOutput{progress: func(_ string, done, total int64) { steps = append(steps, [2]int64{done, total}) }}
	feed("\n", quantizeSays, q.line)
	want := []Fallback{{"blk.0.attn_k.weight", 64, 256, "Q4_K", "Q5_0"}, {"blk.0.ffn_down.weight", 172, 256, "Q4_K", "F16"}}
	if !reflect.DeepEqual(q.fallbacks, want) || !reflect.DeepEqual(steps, [][2]int64{{1, 47}, {47, 47}}) {
		t.Errorf("%+v, %v", q.fallbacks, steps)
	}
}

func TestPerplexityOutput(t *testing.T) {
	t.Parallel()
	var steps []int
	base := perplexityOutput{progress: func(done, total int) { steps = append(steps, done) }}
	feed("\n,", baseSays, base.piece)
	if base.last != 5.0930 || base.chunks != 3 || base.explain(nil) != nil || !reflect.DeepEqual(steps, []int{1, 2, 3}) {
		t.Errorf("%+v, %v", base, steps)
	}
	var short perplexityOutput
	feed("\n,", tooShortSays, short.piece)
	if err := short.explain(nil); err == nil || !strings.Contains(err.Error(), "have 40 tokens, and 1024") {
		t.Errorf("%v", err)
	}
	var broken perplexityOutput
	feed("\n,", "computing over 2 chunks\n[1]nan,[2]nan,\n", broken.piece)
	if err := broken.explain(nil); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v", err)
	}
}

func TestBenchOutput(t *testing.T) {
	t.Parallel()
	s, err := parseBench([]byte(benchSays), 64, 16)
	if err != nil || s != (sample{9228132, 1838055, 14280791}) {
		t.Errorf("%+v, %v", s, err)
	}
	got := summary([]sample{s, {2 * s.prompt, 2 * s.generate, 2 * s.both}, {3 * s.prompt, 3 * s.generate, 3 * s.both}}, 64, 16)
	if math.Abs(got.PromptTokensPerSecond-6935.3/2) > 0.1 || math.Abs(got.GenerateTokensPerSecond-8704.8/2) > 0.1 || math.Abs(got.LatencyMS-2*14.280791) > 1e-9 {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "{}", "[]", benchSays[:200], strings.Replace(benchSays, "1838055", "0", 1), strings.Replace(benchSays, "14280791", "-1", 1)} {
		if _, err := parseBench([]byte(bad), 64, 16); err == nil {
			t.Errorf("taken: %q", bad)
		}
	}
}

func TestComplaintsHoldNoMoreThanTheLastThree(t *testing.T) {
	t.Parallel()
	var c complaints
	for _, l := range []string{"0.01 I all is well, error free", "0.02 E first", "0.03 E second", "llama_quantize: failed to load", "once upon a time", "0.04 E last"} {
		c.add(l)
	}
	if got := c.text(); got != "second; llama_quantize: failed to load; last" {
		t.Errorf("%q", got)
	}
}

func TestHighWater(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t   21504 kB\nVmRSS:\t 3 kB\n": 21504 << 10,
		"": 0, "VmHWM:\n": 0, "VmHWM: x kB": 0, "VmHWM: -4 kB": 0, "VmHWM: 99999999999999999999 kB": 0, "VmHWM: 4 MB": 0,
	} {
		if got := highWater([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

// Whatever a tool prints, reading it ends, and what is read can be written as JSON
// or is refused.
func FuzzToolOutput(f *testing.F) {
	for _, s := range []string{quantizeSays, baseSays, tooShortSays, benchSays, "[1]nan,[2]inf,", "VmHWM: 12 kB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := quantizeOutput{progress: func(_ string, done, total int64) {
			if done < 0 || done > total {
				t.Errorf("%d of %d", done, total)
			}
		}}
		p := perplexityOutput{progress: func(done, total int) {
			if done <= 0 || done > total {
				t.Errorf("%d of %d", done, total)
			}
		}}
		var c complaints
		feed("\n,", s, func(piece string) { p.piece(piece); c.add(piece) })
		feed("\n", s, func(line string) { q.line(line); c.add(line) })
		if len(c.text()) > 1000 {
			t.Errorf("a complaint of %d bytes", len(c.text()))
		}
		if _, err := json.Marshal(q.fallbacks); err != nil {
			t.Error(err)
		}
		if p.chunks < 0 || p.explain(nil) == nil && math.IsNaN(p.last) {
			t.Errorf("%+v", p)
		}
		if highWater([]byte(s)) < 0 {
			t.Error("negative memory")
		}
		if sm, err := parseBench([]byte(s), 64, 16); err == nil {
			if sp := summary([]sample{sm}, 64, 16); !(sp.LatencyMS > 0) {
				t.Errorf("%+v", sp)
			}
		}
	})
}
