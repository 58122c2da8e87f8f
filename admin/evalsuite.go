package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/suite"
)

// mostQuestionsFile is how large a file of golden questions may be.
const mostQuestionsFile = 8 << 20

// questionsFile reads what --questions names.
func questionsFile(flag, path string) ([]byte, error) {
	f, err := file(flag, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, mostQuestionsFile+1))
	if err == nil && len(b) > mostQuestionsFile {
		err = fmt.Errorf("%s is larger than %d MB", path, mostQuestionsFile>>20)
	}
	return b, err
}

func (a *app) evalSuite() *cobra.Command {
	var path string
	var req box.SuiteRequest
	c := &cobra.Command{
		Use:   "suite --questions FILE",
		Short: "Ask the box golden questions and keep how well it did",
		Long: `Ask every question of the file, which has the form of 'rxedge eval answers' and may say
in "answer" what the answer is; keep the figures, and each question's by a hash of its
id, on the box; write into the ledger that the set was looked at. With suite.questions
and suite.hours in rxedge.toml the box does it once a night. People's questions come
first, and these are not counted among them.

recall@5, mrr and ndcg@10 are of the distinct sections found for the questions that the
documents answer, rougeL and bleu of the answer beside "answer" (or else the evidence),
faithfulness of the claims that are grounded and whose citations read again byte for
byte, abstention of the questions that were answered where they can be and not where
they can't. composite = 0.3 recall@5 + 0.2 mrr + 0.2 ndcg@10 + 0.15 rougeL + 0.15
faithfulness. What there was nothing to measure of is null.`,
		Example: `  rxedge eval suite --questions golden.jsonl --ablation`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if req.Mode != "" && req.Mode != answer.ModeExtractive && req.Mode != answer.ModeGenerated {
				return usage("--mode: %q is neither extractive nor generated", req.Mode)
			}
			var err error
			if req.Questions, err = questionsFile("--questions", path); err != nil {
				return err
			}
			req.Name = filepath.Base(path)
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			bar := a.progress()
			run, err := st.Suite(c.Context(), req, func(p box.SuiteProgress) { bar.set("asking", int64(p.Done), int64(p.Of)) })
			bar.finish()
			if err != nil {
				return err
			}
			if a.json {
				run.Lines = nil
				return a.print(run)
			}
			rows := []table.Row{figuresRow("whole", run.Figures)}
			for _, part := range sortedKeys(run.Ablation) {
				rows = append(rows, figuresRow(part, run.Ablation[part]))
			}
			a.table(table.Row{"", "composite", "recall@5", "mrr", "ndcg@10", "rougeL", "bleu", "faithfulness", "abstention"}, rows)
			a.printf("%d questions in %.1f s on %s; kept as %s\n", run.Questions, run.Took, run.Generation, run.ID)
			return nil
		},
	}
	c.Flags().StringVar(&path, "questions", "", "`file` of golden questions, JSON lines")
	c.Flags().StringVar(&req.Mode, "mode", "", "extractive or generated; empty: as people are answered")
	c.Flags().BoolVar(&req.Ablation, "ablation", false, "measure retrieval without vectors and without names too")
	return c
}

func figuresRow(name string, f suite.Figures) table.Row {
	row := table.Row{name}
	for _, v := range []*float64{f.Composite, f.Recall5, f.MRR, f.NDCG10, f.RougeL, f.BLEU, f.Faithfulness, f.Abstention} {
		if v == nil {
			row = append(row, "–")
		} else {
			row = append(row, f4(*v))
		}
	}
	return row
}

func (a *app) evalHistory() *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "The runs of the suite, and what changed from one to the next",
		Long: `List the runs that the box has kept, the oldest first, each beside the one before it
over the same questions: paired t-test and bootstrap interval of every figure, as
'rxedge eval compare' has them (in "change" of --json).`,
		Example: `  rxedge eval history --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			h, err := st.SuiteHistory(c.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.print(h)
			}
			var rows []table.Row
			for _, r := range h.Runs {
				row := append(table.Row{r.At.Local().Format(time.DateTime), r.By, r.Name, r.Generation}, figuresRow("", r.Figures)[1:]...)
				changed := ""
				for _, m := range sortedKeys(r.Change) {
					if p := r.Change[m]; p.P != nil && *p.P < 0.05 {
						changed += fmt.Sprintf("%s %+.3f (p %.2g) ", m, p.Difference, *p.P)
					}
				}
				rows = append(rows, append(row, changed))
			}
			a.table(table.Row{"when", "by", "set", "index", "composite", "recall@5", "mrr", "ndcg@10", "rougeL", "bleu", "faithfulness", "abstention", "changed"}, rows)
			for _, d := range h.Damaged {
				a.note("%s can't be read and is left out\n", d)
			}
			return nil
		},
	}
}

func (a *app) evalLedger() *cobra.Command {
	return &cobra.Command{
		Use:   "ledger",
		Short: "How often test sets were looked at",
		Long: `List the sets of questions that were asked on this box, by the SHA-256 of their files,
and how often: at night, by 'eval suite', by 'eval answers'. A set that was looked at
twenty times or more has likely been fitted to: what is a little better on it may be
luck, and a new set would tell.`,
		Example: `  rxedge eval ledger --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			l, err := st.SuiteLedger(c.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.print(l)
			}
			var rows []table.Row
			for _, s := range l.Sets {
				many := ""
				if s.Many {
					many = "many: take a new set"
				}
				rows = append(rows, table.Row{s.Set[:min(12, len(s.Set))], s.Name, s.Questions, s.Times, s.First.Local().Format(time.DateOnly), s.Last.Local().Format(time.DateOnly), many})
			}
			a.table(table.Row{"set", "name", "questions", "times", "first", "last", ""}, rows)
			return nil
		},
	}
}

// touch writes into the ledger that 'eval answers' looked at a set.
func touch(c *cobra.Command, st station, path string, questions int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return st.SuiteTouch(c.Context(), suite.Touch{Set: suite.SetOf(b), Name: filepath.Base(path), Use: "answers", Questions: questions})
}
