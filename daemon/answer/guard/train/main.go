// Command train makes the model of the guard from labels and questions outside the
// package: 'make guard-model'. The same texts give the same file, to the byte.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/index"
)

const (
	outer      = 5   // folds of the nested cross-validation, by medicine
	realWeight = 4.0 // of a person's question beside one by rules
	held       = 0.02
	seed       = 1
)

func main() {
	data := flag.String("data", "../shared/data", "folder of the labels")
	more := flag.String("questions", "daemon/answer/evaluate/testdata", "folder of further questions")
	out := flag.String("out", "daemon/answer/guard/model.json", "file to write")
	dump := flag.String("rows", "", "file to write the answers' features to, to look at")
	flag.Parse()
	log.SetFlags(0)
	if err := run(context.Background(), *data, *more, *out, *dump); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, data, more, out, dump string) error {
	docs, err := read(ctx, data)
	if err != nil {
		return err
	}
	dev, err := realQuestions(filepath.Join(data, "labels", "questions_dev.jsonl"))
	if err != nil {
		return err
	}
	tuning, err := realQuestions(filepath.Join(more, "questions_tuning.jsonl"))
	if err != nil {
		return err
	}
	heldOut, err := realQuestions(filepath.Join(more, "questions_heldout.jsonl"))
	if err != nil {
		return err
	}
	ss, err := sections(data)
	if err != nil {
		return err
	}
	// Searched as a box is that has only what it came with.
	tmp, err := os.MkdirTemp("", "guard")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cfg := config.Default()
	cfg.Data = tmp
	opt, closer, err := box.Embedding(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer closer.Close()

	whole, end, err := library(ctx, opt, docs)
	if err != nil {
		return err
	}
	defer end()
	rng := rand.New(rand.NewPCG(seed, 11))
	snap := whole.Acquire()
	var made []asked
	for _, drug := range byDrug(ss) {
		made = append(made, generated(drug, rng, content(snap, drug[0].Drug))...)
	}
	snap.Release()
	for i := range made {
		made[i].ID = fmt.Sprintf("gen-%d", i)
	}
	left, gone := cut(docs, rng)
	part, endPart, err := library(ctx, opt, left)
	if err != nil {
		return err
	}
	defer endPart()

	var rows []row
	take := func(ix *index.Index, qs []asked, gone map[string]bool) ([]outcome, error) {
		r, o, err := ask(ctx, ix, qs, gone)
		for i := range o {
			if o[i].row >= 0 {
				o[i].row += len(rows)
			}
		}
		rows = append(rows, r...)
		return o, err
	}
	devOut, err := take(whole, dev, nil)
	if err != nil {
		return err
	}
	if _, err := take(whole, tuning, nil); err != nil {
		return err
	}
	if _, err := take(whole, made, nil); err != nil {
		return err
	}
	var lost []asked // what was asked of sections that are gone
	for _, q := range made {
		if gone[q.Relevant[0]] {
			lost = append(lost, q)
		}
	}
	lostOut, err := take(part, lost, gone)
	if err != nil {
		return err
	}
	if dump != "" {
		if err := writeRows(dump, rows); err != nil {
			return err
		}
	}
	answered := 0
	for _, o := range lostOut {
		if o.answered {
			answered++
		}
	}
	wrong, real := 0, 0
	for _, r := range rows {
		if r.wrong {
			wrong++
		}
		if r.real {
			real++
		}
	}
	fmt.Printf("%d questions of people, %d by rules, %d of them again where their section is gone (%d of these answered all the same)\n%d answers, %d of people's questions; %d wrong\n",
		len(dev)+len(tuning), len(made), len(lost), answered, len(rows), real, wrong)

	// Nested cross-validation: weights and stack are found within what is left.
	scores := make([]float64, len(rows))
	alone := make([][]float64, len(kinds))
	for j := range alone {
		alone[j] = make([]float64, len(rows))
	}
	var folds []float64
	for k := range outer {
		var in, rest []row
		var at []int
		for i, r := range rows {
			if int(r.group%outer) == k {
				rest, at = append(rest, r), append(at, i)
			} else {
				in = append(in, r)
			}
		}
		m := ensemble(in, seed)
		s := make([]float64, len(rest))
		for i := range rest {
			s[i] = m.Wrong(&rest[i].x)
			scores[at[i]] = s[i]
			z := m.Standard(&rest[i].x)
			for j := range m.Members {
				alone[j][at[i]] = m.Members[j].LogOdds(&z)
			}
		}
		folds = append(folds, auc(s, rest))
	}
	fmt.Printf("nested cross-validation, AUC by fold: %.3f; all folds together %.3f\n", folds, auc(scores, rows))
	for j, k := range kinds {
		fmt.Printf("  %-40s %.3f\n", k.name+" alone", auc(alone[j], rows))
	}
	people, said := subset(rows, scores)
	fmt.Printf("of people's questions alone: AUC %.3f over %d answers, %d wrong\n", auc(said, people), len(people), count(people))
	reliability("all", scores, rows)
	reliability("people's questions", said, people)

	m := ensemble(rows, seed)
	m.Some, m.Threshold = thresholds(scores, rows)
	fmt.Printf("thresholds: doubt from %.3f (Youden), none from %.3f (%.0f %% of right answers at most)\n", m.Some, m.Threshold, 100*held)
	m.Background = background(rows)
	for j, k := range m.Members {
		fmt.Printf("  %-40s weight %.3f\n", k.Name, m.Stack[j])
	}
	abstentions("questions_dev.jsonl, each judged by a model that has not seen its medicine", devOut, func(o outcome) float64 { return scores[o.row] }, m)

	// The held-out questions took no part at all.
	heldRows, heldOuts, err := ask(ctx, whole, heldOut, nil)
	if err != nil {
		return err
	}
	hs := make([]float64, len(heldRows))
	for i := range heldRows {
		hs[i] = m.Wrong(&heldRows[i].x)
	}
	fmt.Printf("held-out questions: AUC %.3f over %d answers, %d wrong\n", auc(hs, heldRows), len(heldRows), count(heldRows))
	abstentions("questions_heldout.jsonl", heldOuts, func(o outcome) float64 { return hs[o.row] }, m)

	b, err := m.Encode()
	if err != nil {
		return err
	}
	if _, err := guard.Decode(b); err != nil {
		return err
	}
	if err := os.WriteFile(out, b, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes\n", out, len(b))
	return nil
}

// writeRows writes the id, the outcome and the features of each answer.
func writeRows(path string, rows []row) error {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s\t%v\t%v\n", r.id, r.wrong, r.x)
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

func byDrug(ss []section) (out [][]section) {
	at := map[string]int{}
	for _, s := range ss {
		i, ok := at[s.Drug]
		if !ok {
			i = len(out)
			at[s.Drug] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

func count(rows []row) (n int) {
	for _, r := range rows {
		if r.wrong {
			n++
		}
	}
	return n
}

func subset(rows []row, scores []float64) (people []row, said []float64) {
	for i, r := range rows {
		if r.real {
			people, said = append(people, r), append(said, scores[i])
		}
	}
	return people, said
}

// reliability prints what was said beside what was so, and the expected calibration
// error over ten bins, by weight.
func reliability(name string, scores []float64, rows []row) {
	var says, is, weight [10]float64
	total := 0.0
	for i, s := range scores {
		b := min(9, int(10*s))
		says[b] += rows[i].weight * s
		weight[b] += rows[i].weight
		total += rows[i].weight
		if rows[i].wrong {
			is[b] += rows[i].weight
		}
	}
	ece := 0.0
	for b := range says {
		ece += math.Abs(says[b]-is[b]) / total
	}
	fmt.Printf("reliability, %s (ECE %.3f)\n  says   is    weight\n", name, ece)
	for b := range says {
		if weight[b] > 0 {
			fmt.Printf("  %.3f  %.3f  %.0f\n", says[b]/weight[b], is[b]/weight[b], weight[b])
		}
	}
}

// thresholds of the ROC curve: where it is furthest from chance (Youden 1950), and
// the lowest at which few right answers are held back. By weight.
func thresholds(scores []float64, rows []row) (some, none float64) {
	cuts := slices.Clone(scores)
	slices.Sort(cuts)
	best := math.Inf(-1)
	none = 1
	for _, c := range slices.Compact(cuts) {
		tp, fp, p, n := 0.0, 0.0, 0.0, 0.0
		for i, r := range rows {
			if r.wrong {
				p += r.weight
			} else {
				n += r.weight
			}
			if scores[i] >= c {
				if r.wrong {
					tp += r.weight
				} else {
					fp += r.weight
				}
			}
		}
		if j := tp/p - fp/n; j > best {
			best, some = j, c
		}
		if fp/n <= held && c < none {
			none = c
		}
	}
	return some, max(none, some)
}

// background are answers to compare with, drawn by weight.
func background(rows []row) (out []guard.Vector) {
	rng := rand.New(rand.NewPCG(seed, 5))
	total := 0.0
	for _, r := range rows {
		total += r.weight
	}
	for range 16 {
		at := rng.Float64() * total
		for i := range rows {
			if at -= rows[i].weight; at <= 0 {
				out = append(out, rows[i].x)
				break
			}
		}
	}
	return out
}

// abstentions prints what abstaining at each threshold would have changed.
func abstentions(name string, outs []outcome, score func(outcome) float64, m *guard.Model) {
	fmt.Println(name)
	fmt.Printf("  %-26s %9s %9s %9s %14s\n", "", "abstained", "precision", "recall", "right answers")
	for _, c := range []struct {
		name string
		at   float64
	}{{"without the guard", 2}, {fmt.Sprintf("abstaining from %.3f", m.Threshold), m.Threshold}, {fmt.Sprintf("abstaining from %.3f", m.Some), m.Some}} {
		abstained, good, none, right := 0, 0, 0, 0
		for _, o := range outs {
			unanswerable := len(o.q.Relevant) == 0
			if unanswerable {
				none++
			}
			if !o.answered || score(o) >= c.at {
				abstained++
				if unanswerable {
					good++
				}
			} else if o.right {
				right++
			}
		}
		fmt.Printf("  %-26s %9d %9.3f %9.3f %14d\n", c.name, abstained, float64(good)/float64(max(1, abstained)), float64(good)/float64(max(1, none)), right)
	}
}
