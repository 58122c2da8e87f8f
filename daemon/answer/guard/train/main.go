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
	outer      = 5    // folds of the nested cross-validation, by medicine
	realWeight = 4.0  // of a person's question beside one by rules
	held       = 0.02 // of the right answers
	doubted    = 0.1
	cuts       = 3   // indexes from which sections were taken
	foreigners = 400 // questions about diseases
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
	var people []asked
	for _, name := range []string{"tuning", "uncovered_a", "uncovered_b", "simple", "rates_a", "rates_b", "numbers_a", "numbers_b"} {
		qs, err := realQuestions(filepath.Join(more, "questions_"+name+".jsonl"))
		if err != nil {
			return err
		}
		people = append(people, qs...)
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
	strangers, err := foreign(data, foreigners, rng)
	if err != nil {
		return err
	}

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
	for _, qs := range [][]asked{people, made, strangers} {
		if _, err := take(whole, qs, nil); err != nil {
			return err
		}
	}
	lost, lostPeople, answered := 0, 0, 0
	for range cuts {
		left, gone := cut(docs, rng)
		part, endPart, err := library(ctx, opt, left)
		if err != nil {
			return err
		}
		// What was asked of sections that are gone.
		var qs []asked
		for _, q := range slices.Concat(dev, people, made) {
			if len(q.Relevant) > 0 && !slices.ContainsFunc(q.Relevant, func(id string) bool { return !gone[id] }) {
				q.lost = true
				qs = append(qs, q)
				if q.real {
					lostPeople++
				}
			}
		}
		outs, err := take(part, qs, gone)
		endPart()
		if err != nil {
			return err
		}
		lost += len(outs)
		for _, o := range outs {
			if o.answered {
				answered++
			}
		}
	}
	if dump != "" {
		if err := writeRows(dump, rows); err != nil {
			return err
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
	fmt.Printf("%d questions of people, %d by rules, %d about diseases; %d again where their section is gone, %d of them people's (%d of these answered all the same)\n%d answers, %d of people's questions; %d wrong\n",
		len(dev)+len(people), len(made), len(strangers), lost, lostPeople, answered, len(rows), real, wrong)

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
	realRows, said := subset(rows, scores, func(r row) bool { return r.real })
	reliability("all", scores, rows)
	reliability("people's questions", said, realRows)
	for _, part := range []struct {
		name string
		in   func(row) bool
	}{
		{"by rules", func(r row) bool { return !r.real }},
		{"people's, with what was asked again where the section is gone", func(r row) bool { return r.real }},
		{"people's, as asked", func(r row) bool { return r.real && !r.lost }},
		{"questions_dev.jsonl, with what was asked again", func(r row) bool { return strings.HasPrefix(r.id, "dev-") }},
		{"questions about uncovered labels, with what was asked again", func(r row) bool { return strings.HasPrefix(r.id, "unc-") }},
	} {
		in, s := subset(rows, scores, part.in)
		lo, hi := interval(s, in)
		fmt.Printf("%s: AUC %.3f (95 %% %.3f to %.3f) over %d answers, %d wrong\n", part.name, auc(s, in), lo, hi, len(in), count(in))
	}

	m := ensemble(rows, seed)
	m.Some, m.Threshold = thresholds(scores, rows)
	fmt.Printf("thresholds: doubt from %.3f (%.0f %% of right answers at most), none from %.3f (%.0f %%)\n", m.Some, 100*doubted, m.Threshold, 100*held)
	m.Background = background(rows)
	for j, k := range m.Members {
		fmt.Printf("  %-40s weight %.3f\n", k.Name, m.Stack[j])
	}
	for _, t := range []float64{m.Threshold, m.Some} {
		caught, lost := 0, 0
		for i, r := range realRows {
			if said[i] < t {
				continue
			}
			if r.wrong {
				caught++
			} else {
				lost++
			}
		}
		fmt.Printf("people's, with what was asked again: from %.3f %d of %d wrong answers and %d of %d right ones\n", t, caught, count(realRows), lost, len(realRows)-count(realRows))
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
	lo, hi := interval(hs, heldRows)
	fmt.Printf("held-out questions: AUC %.3f (95 %% %.3f to %.3f) over %d answers, %d wrong\n", auc(hs, heldRows), lo, hi, len(heldRows), count(heldRows))
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

func subset(rows []row, scores []float64, in func(row) bool) (part []row, said []float64) {
	for i, r := range rows {
		if in(r) {
			part, said = append(part, r), append(said, scores[i])
		}
	}
	return part, said
}

// interval of the AUC in which 95 of 100 bootstrap samples lie: drawn by medicine,
// for answers about one are not independent.
func interval(scores []float64, rows []row) (low, high float64) {
	byGroup := map[uint32][]int{}
	var groups []uint32
	for i, r := range rows {
		if byGroup[r.group] == nil {
			groups = append(groups, r.group)
		}
		byGroup[r.group] = append(byGroup[r.group], i)
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	var all []float64
	for range 1000 {
		var rs []row
		var ss []float64
		for range groups {
			for _, i := range byGroup[groups[rng.IntN(len(groups))]] {
				rs, ss = append(rs, rows[i]), append(ss, scores[i])
			}
		}
		if v := auc(ss, rs); !math.IsNaN(v) {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return math.NaN(), math.NaN()
	}
	slices.Sort(all)
	return all[len(all)*25/1000], all[len(all)*975/1000]
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

// thresholds of the ROC curve: the lowest from which a tenth of the right answers at
// most is doubted, and the lowest from which few right answers are held back. By
// weight. (Youden's point would cast doubt on a third of the right ones: nobody reads
// a warning that is mostly wrong.)
func thresholds(scores []float64, rows []row) (some, none float64) {
	cuts := slices.Clone(scores)
	slices.Sort(cuts)
	some, none = 1, 1
	for _, c := range slices.Compact(cuts) {
		fp, n := 0.0, 0.0
		for i, r := range rows {
			if r.wrong {
				continue
			}
			n += r.weight
			if scores[i] >= c {
				fp += r.weight
			}
		}
		if fp/n <= doubted && c < some {
			some = c
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
