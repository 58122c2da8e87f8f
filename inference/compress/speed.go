package compress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Speed of one model: medians over the rounds.
type Speed struct {
	PromptTokensPerSecond   float64 `json:"prompt_tokens_per_s"`
	GenerateTokensPerSecond float64 `json:"generate_tokens_per_s"`
	// LatencyMS is the time to read the prompt and write the answer, in
	// milliseconds, and its least and greatest over the rounds.
	LatencyMS    float64 `json:"latency_ms"`
	LatencyMinMS float64 `json:"latency_min_ms"`
	LatencyMaxMS float64 `json:"latency_max_ms"`
	// PeakResidentBytes is the most memory that the process had in RAM, the
	// mapped model included; 0: not known.
	PeakResidentBytes int64 `json:"peak_resident_bytes"`
}

// sample is one run of llama-bench, in nanoseconds for each test.
type sample struct {
	prompt, generate, both float64
}

// speed runs the two in turn, A B B A A B …, so that what slows the machine for
// a while slows both, and no one is always the first.
func (t Tools) speed(ctx context.Context, a, b side, dir string, o CompareOptions) (sa, sb Speed, err error) {
	models := [2]side{a, b}
	var samples [2][]sample
	var resident [2]int64
	p, g := o.speedTokens(min(a.shape.context, b.shape.context))
	done := int64(0)
	for round := range o.Rounds {
		order := []int{0, 1}
		if round%2 == 1 {
			order = []int{1, 0}
		}
		for _, i := range order {
			args := []string{"-m", models[i].path, "-p", strconv.Itoa(p), "-n", strconv.Itoa(g), "-pg", fmt.Sprintf("%d,%d", p, g),
				"-r", "1", "-o", "json"}
			args = append(args, o.place()...)
			var out bytes.Buffer
			peak, err := t.run(ctx, invocation{tool: toolBench, args: args, dir: dir, out: &out})
			if err != nil {
				return sa, sb, err
			}
			s, err := parseBench(out.Bytes(), p, g)
			if err != nil {
				return sa, sb, err
			}
			samples[i] = append(samples[i], s)
			resident[i] = max(resident[i], peak)
			done++
			o.Progress(StageSpeed, done, int64(2*o.Rounds))
		}
	}
	sa, sb = summary(samples[0], p, g), summary(samples[1], p, g)
	sa.PeakResidentBytes, sb.PeakResidentBytes = resident[0], resident[1]
	return sa, sb, nil
}

func summary(samples []sample, p, g int) Speed {
	var prompt, generate, both []float64
	for _, s := range samples {
		prompt = append(prompt, float64(p)*1e9/s.prompt)
		generate = append(generate, float64(g)*1e9/s.generate)
		both = append(both, s.both/1e6)
	}
	return Speed{PromptTokensPerSecond: median(prompt), GenerateTokensPerSecond: median(generate),
		LatencyMS: median(both), LatencyMinMS: slices.Min(both), LatencyMaxMS: slices.Max(both)}
}

// median of at least one number.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// parseBench reads what 'llama-bench -o json' writes for one prompt, one
// generation and one of both.
func parseBench(b []byte, p, g int) (sample, error) {
	var rows []struct {
		Prompt   int     `json:"n_prompt"`
		Generate int     `json:"n_gen"`
		NS       float64 `json:"avg_ns"`
	}
	var s sample
	if err := json.Unmarshal(b, &rows); err != nil {
		return s, fmt.Errorf("%s wrote no JSON: %w", toolBench, err)
	}
	for _, r := range rows {
		if !(r.NS > 0) || math.IsInf(r.NS, 0) {
			return s, fmt.Errorf("%s measured no time", toolBench)
		}
		switch {
		case r.Prompt == p && r.Generate == 0:
			s.prompt = r.NS
		case r.Prompt == 0 && r.Generate == g:
			s.generate = r.NS
		case r.Prompt == p && r.Generate == g:
			s.both = r.NS
		}
	}
	if s.prompt == 0 || s.generate == 0 || s.both == 0 {
		return s, errors.New(toolBench + " left out a measurement")
	}
	return s, nil
}
