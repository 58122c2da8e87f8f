// Command gpu-check measures what can only be measured on a card, and says
// where it falls short: speed through the supervised engine against llama-bench
// of the same build, time to first token, embeddings a second, what NVML reads
// under load, and the ladder driven by a real want of memory.
//
//	gpu-check [-dir FOLDER] [-model FILE] [-out FILE.json]
//
// It needs bin/llama with libggml-cuda.so and llama-bench ('make engine-tools
// cuda'), and either -model or bin/gpu-check-7b, the compiled test that writes a
// random GPTQ checkpoint of a 7B shape and imports it ('make bin/gpu-check'
// builds both). It needs neither Go nor a network.
//
// Exit codes: 0 all bounds held, 1 one did not or something failed, 4 no card.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"rxedge/inference/gpu"
	"rxedge/inference/llama"
)

// leastRatio is how near to llama-bench the engine behind our supervision must
// come, in tokens per second.
const leastRatio = 0.95

// report is what was measured. Rates are per second.
type report struct {
	Card        string       `json:"card"`
	Driver      string       `json:"driver"`
	CUDA        string       `json:"cuda"`
	Devices     []string     `json:"engine_devices"`
	Model       string       `json:"model"`
	Prompt      rate         `json:"prompt_tokens"`    // 1,500 tokens read
	Generate    rate         `json:"generated_tokens"` // 128 tokens written, one caller
	FirstToken  []float64    `json:"first_token_s"`    // for a new prompt of 1,500 tokens
	Eight       float64      `json:"generated_tokens_8_callers"`
	Embeddings  []embeddings `json:"embeddings"`       // of 128 tokens, MiniLM-L6 shape, F16
	EmbedBench  float64      `json:"embeddings_bench"` // llama-bench, one sequence at a time
	Load        load         `json:"load"`
	Transitions []transition `json:"ladder"`
	Failures    []string     `json:"failures"`
}

type rate struct {
	Ours  float64 `json:"ours"`
	Bench float64 `json:"llama_bench"`
	Ratio float64 `json:"ratio"`
}

type embeddings struct {
	Slots int     `json:"slots"`
	Rate  float64 `json:"rate"`
}

type check struct {
	dir, model, bin string
	cpu             bool
	src             gpu.Source // nil with -cpu
	engine          llama.Engine
	report
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c check
	flag.StringVar(&c.dir, "dir", filepath.Join(os.TempDir(), "rxedge-gpu-check"), "`folder` for models; 12 GB for the random 7B")
	flag.StringVar(&c.model, "model", "", "GGUF `file` to measure in place of the random 7B")
	flag.BoolVar(&c.cpu, "cpu", false, "do without a card, to try this program itself")
	out := flag.String("out", "", "write the figures as JSON to `file`")
	flag.Parse()
	err := c.run(ctx)
	if *out != "" && err == nil {
		b, _ := json.MarshalIndent(c.report, "", "  ")
		err = os.WriteFile(*out, append(b, '\n'), 0o644)
	}
	switch {
	case errors.Is(err, gpu.ErrNoGPU):
		fmt.Fprintln(os.Stderr, "gpu-check: no GPU:", err)
		os.Exit(4)
	case err != nil:
		fmt.Fprintln(os.Stderr, "gpu-check:", err)
		os.Exit(1)
	case len(c.Failures) > 0:
		for _, f := range c.Failures {
			fmt.Println("FAILED:", f)
		}
		os.Exit(1)
	}
}

func (c *check) run(ctx context.Context) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	c.bin = filepath.Dir(exe)
	if c.engine, err = llama.Find(filepath.Join(c.bin, "llama")); err != nil {
		return err
	}
	if err := c.card(ctx); err != nil {
		return err
	}
	if c.model == "" {
		if c.model, err = c.random7B(ctx); err != nil {
			return err
		}
	}
	c.Model = filepath.Base(c.model)
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"tokens through the engine and llama-bench", c.tokens},
		{"embeddings", c.embed},
		{"the ladder under a want of memory", c.squeeze},
	}
	for _, s := range steps {
		if c.cpu && c.src == nil && s.name == steps[2].name {
			continue
		}
		fmt.Printf("== %s\n", s.name)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// card looks at the first card and at what the engine finds.
func (c *check) card(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	src, err := gpu.Open(ctx)
	if err != nil {
		if c.cpu {
			return nil
		}
		return err
	}
	c.src = src
	snap, err := src.Read(ctx)
	if err != nil {
		return err
	}
	c.Card, c.Driver, c.CUDA = snap.Cards[0].Name, snap.Driver, snap.CUDA
	b, _ := json.MarshalIndent(snap, "", "  ")
	fmt.Printf("%s\n", b)
	r, err := gpu.Engine(ctx, c.engine.Dir, nil)
	if err != nil {
		return err
	}
	c.Devices = r.Devices
	if r.Uses != "cuda" && !c.cpu {
		return fmt.Errorf("the engine runs on %s: %s; %s", r.Uses, r.Why, r.Fix)
	}
	return nil
}

// random7B has the compiled test write and import a GPTQ checkpoint, unless it
// has done so before.
func (c *check) random7B(ctx context.Context) (string, error) {
	model := filepath.Join(c.dir, "random-7b.gguf")
	if _, err := os.Stat(model); err == nil {
		return model, nil
	}
	program := filepath.Join(c.bin, "gpu-check-7b")
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("there is neither -model nor %s; build it with 'make bin/gpu-check' and copy bin/", program)
	}
	fmt.Println("== a random 7B GPTQ checkpoint, imported (minutes)")
	cmd := exec.CommandContext(ctx, program, "-test.run", "^TestSevenB$", "-test.v", "-test.timeout", "60m")
	cmd.Env = append(os.Environ(), "RXEDGE_BIG=1", "RXEDGE_BIG_DIR="+c.dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("importing the random 7B: %w", err)
	}
	_, err := os.Stat(model)
	return model, err
}

// bench runs llama-bench and returns the tokens per second of its tests: of the
// prompt and of the generation, 0 where a test was not asked for.
func (c *check) bench(ctx context.Context, model string, args ...string) (prompt, generate float64, err error) {
	args = append([]string{"-m", model, "-r", "3", "-ngl", "99", "-o", "json"}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(c.engine.Dir, "llama-bench"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("llama-bench ('make engine-tools' builds it): %w", err)
	}
	var tests []struct {
		Prompt   int     `json:"n_prompt"`
		Generate int     `json:"n_gen"`
		Rate     float64 `json:"avg_ts"`
	}
	if err := json.Unmarshal(out, &tests); err != nil {
		return 0, 0, fmt.Errorf("llama-bench's output: %w", err)
	}
	for _, t := range tests {
		switch {
		case t.Prompt > 0:
			prompt = t.Rate
		case t.Generate > 0:
			generate = t.Rate
		}
	}
	return prompt, generate, nil
}

func (c *check) compare(what string, ours, bench float64) rate {
	r := rate{Ours: ours, Bench: bench, Ratio: ours / bench}
	fmt.Printf("%-28s %10.1f /s, llama-bench %10.1f /s, ratio %.3f\n", what, ours, bench, r.Ratio)
	if !(r.Ratio >= leastRatio) {
		c.Failures = append(c.Failures, fmt.Sprintf("%s: ratio %.3f is below %.2f", what, r.Ratio, leastRatio))
	}
	return r
}
