package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/inference/catalog"
	"rxedge/inference/compress"
)

// compared is the result of 'model compare'.
type compared struct {
	compress.Comparison
	GateProfile string `json:"gate_profile"` // whose thresholds hold where no flag says otherwise
}

func (a *app) modelCompare() *cobra.Command {
	var (
		o          compress.CompareOptions
		profile    string
		drop, gain float64
	)
	c := &cobra.Command{
		Use:   "compare A B --texts FILE",
		Short: "What a smaller model B costs and gains against A",
		Long: `Measure two models of the catalog that read text alike, and judge by the gate of
the box's profile: the quality may drop by less than 2 % and the latency must gain
more than 30 %, where nothing else is set.

quality drop   100 · (perplexity B / perplexity A − 1), over the second half of each
               chunk of the texts
latency gain   100 · (1 − latency B / latency A), medians of runs of A and B in turn
               that read a prompt and write an answer
KL divergence  of B's next-token distributions from A's, in nats, over the same tokens
top-1          share of those tokens at which both find the same one likeliest
greedy         answers to beginnings of the texts' paragraphs: equal, ROUGE-L, and the
               share of words before the first difference
memory         most that the process had in RAM, the mapped model included, the card's
               memory not

JSON keys: a and b (name, sha256, quantisation, size_bytes, perplexity,
prompt_tokens_per_s, generate_tokens_per_s, latency_ms, latency_min_ms,
latency_max_ms, peak_resident_bytes), texts (sha256, context, chunks, scored_tokens),
log_perplexity_ratio and its _standard_error, kl_divergence (mean, standard_error,
median, p99, max), top1_agreement, greedy (prompts, tokens, exact_match, rouge_l,
common_prefix), speed (prompt_tokens, generate_tokens, rounds, threads), verdict
(passed, quality_drop_percent, quality_drop_max_percent, latency_gain_percent,
latency_gain_min_percent, latency_certain, size_gain_percent, reasons), gate_profile.

Exit code 4 where the gate refuses B.`,
		Example: `  rxedge model compare qwen-f16 qwen-f16-Q4_K_M --texts labels.txt
  rxedge model compare big small --texts labels.txt --max-quality-drop 5 --json`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			if o.Texts == "" {
				return usage("--texts is missing; see '%s --help'", c.CommandPath())
			}
			if err := exists("--texts", o.Texts); err != nil {
				return err
			}
			var res compared
			var err error
			if o.Gate, res.GateProfile, err = a.gate(c, profile); err != nil {
				return err
			}
			if c.Flags().Changed("max-quality-drop") {
				o.Gate.QualityDrop = drop
			}
			if c.Flags().Changed("min-latency-gain") {
				o.Gate.LatencyGain = gain
			}
			if err := o.Gate.Check(); err != nil {
				return usage("%w", err)
			}
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			cat, err := catalog.Open(modelFolder(cfg.Data))
			if err != nil {
				return err
			}
			var models [2]compress.Model
			for i, name := range given {
				e, err := cat.Get(name)
				if err != nil {
					return err
				}
				if e.Kind != catalog.Generator {
					return &refusedError{fmt.Sprintf("model %s is no generator; generators are compared", e.Name)}
				}
				models[i] = compress.Model{Name: e.Name, Path: cat.Path(e), SHA256: e.SHA256, Quantisation: e.Quantisation}
			}
			tools, err := compress.FindTools()
			if err != nil {
				return err
			}
			w, err := a.workshop(given[0], "")
			if err != nil {
				return err
			}
			defer w.close()
			bar := a.progress()
			defer bar.finish()
			o.TempDir, o.Progress = w.dir, bar.set
			if o.Texts, err = filepath.Abs(o.Texts); err != nil {
				return err
			}
			res.Comparison, err = tools.Compare(c.Context(), models[0], models[1], o)
			bar.finish()
			if errors.Is(err, compress.ErrVocabularies) {
				return &refusedError{err.Error()}
			}
			if err != nil {
				return err
			}
			if a.json {
				err = a.print(res)
			} else {
				a.showComparison(res)
			}
			if err == nil && !res.Verdict.Passed {
				return &refusedError{fmt.Sprintf("the gate refuses %s: %s", res.B.Name, strings.Join(res.Verdict.Reasons, "; "))}
			}
			return err
		},
	}
	c.Flags().StringVar(&o.Texts, "texts", "", "plain text `file`, such as passages of labels")
	c.Flags().StringVar(&profile, "profile", "", "firmware `profile` whose gate holds (default: the one that fits this machine)")
	c.Flags().Float64Var(&drop, "max-quality-drop", 0, "most `percent` that the quality may drop (default: of the profile)")
	c.Flags().Float64Var(&gain, "min-latency-gain", 0, "least `percent` that the latency must gain (default: of the profile)")
	c.Flags().IntVar(&o.Context, "context", 0, "tokens of a chunk of the texts (default 512, or what the models were trained for)")
	c.Flags().IntVar(&o.Chunks, "chunks", 0, "most chunks that are scored (default: as many as 1 GB for each model holds)")
	c.Flags().IntVar(&o.Prompts, "prompts", 16, "greedy answers")
	c.Flags().IntVar(&o.Rounds, "rounds", 3, "runs of each model for speed")
	c.Flags().IntVar(&o.PromptTokens, "prompt-tokens", 512, "tokens of the prompt whose latency is measured")
	c.Flags().IntVar(&o.GenerateTokens, "generate-tokens", 64, "tokens of its answer")
	c.Flags().IntVar(&o.Threads, "threads", 0, "threads (default one a core)")
	c.Flags().IntVar(&o.GPULayers, "gpu-layers", 0, "layers on the GPU for perplexity and speed (default: what fits)")
	return c
}

func (a *app) showComparison(r compared) {
	row := func(what string, v func(compress.Side) string, note string) table.Row {
		return table.Row{what, v(r.A), v(r.B), note}
	}
	v := r.Verdict
	smaller := "the same size"
	switch {
	case v.SizeGainPercent >= 0.05:
		smaller = fmt.Sprintf("%.1f %% smaller", v.SizeGainPercent)
	case v.SizeGainPercent <= -0.05:
		smaller = fmt.Sprintf("%.1f %% bigger", -v.SizeGainPercent)
	}
	a.table(table.Row{"", "A", "B", ""}, []table.Row{
		row("model", func(s compress.Side) string { return s.Name }, ""),
		row("quantisation", func(s compress.Side) string { return s.Quantisation }, ""),
		row("file", func(s compress.Side) string { return size(s.SizeBytes) }, smaller),
		row("memory", func(s compress.Side) string { return size(s.PeakResidentBytes) }, ""),
		row("perplexity", func(s compress.Side) string { return f4(s.Perplexity) }, fmt.Sprintf("drop %.2f %%, over %d tokens", v.QualityDropPercent, r.Texts.Scored)),
		row("prompt tokens/s", func(s compress.Side) string { return fmt.Sprintf("%.1f", s.PromptTokensPerSecond) }, ""),
		row("written tokens/s", func(s compress.Side) string { return fmt.Sprintf("%.1f", s.GenerateTokensPerSecond) }, ""),
		row("latency ms", func(s compress.Side) string {
			return fmt.Sprintf("%.1f (%.1f…%.1f)", s.LatencyMS, s.LatencyMinMS, s.LatencyMaxMS)
		}, fmt.Sprintf("gain %.1f %%, %d tokens read and %d written", v.LatencyGainPercent, r.Speed.PromptTokens, r.Speed.GenerateTokens)),
	})
	a.printf("KL divergence %.5f ± %.5f nats (median %.5f, 99th percentile %.5f); the same likeliest token at %.1f %%\n", r.KL.Mean, r.KL.StandardError, r.KL.Median, r.KL.P99, 100*r.Top1Agreement)
	a.printf("%d greedy answers: %.0f %% equal, ROUGE-L %.3f, %.0f %% of the words before the first difference\n", r.Greedy.Prompts, 100*r.Greedy.ExactMatch, r.Greedy.RougeL, 100*r.Greedy.CommonPrefix)
	if !v.LatencyCertain {
		a.printf("The runs overlap in time taken: more --rounds on a quiet machine tell more.\n")
	}
	if v.Passed {
		a.printf("Passed: drop below %g %%, gain above %g %% (profile %s).\n", v.QualityDropMax, v.LatencyGainMin, r.GateProfile)
	}
}
