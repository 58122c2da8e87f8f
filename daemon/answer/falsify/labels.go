package falsify

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rxedge/daemon/answer/evaluate"
	"rxedge/index"
	"rxedge/index/chunk"
	"rxedge/index/document"
)

// classes of medicines, each alike enough to be mistaken.
var classes = []string{
	"metformin glipizide glyburide sitagliptin pioglitazone", "lisinopril enalapril ramipril benazepril captopril", "losartan valsartan candesartan irbesartan",
	"atorvastatin simvastatin rosuvastatin pravastatin lovastatin", "amoxicillin ampicillin penicillin cephalexin", "ibuprofen naproxen diclofenac celecoxib aspirin",
	"omeprazole pantoprazole esomeprazole lansoprazole", "amlodipine nifedipine felodipine diltiazem", "sertraline fluoxetine citalopram paroxetine",
	"levothyroxine liothyronine", "warfarin apixaban rivaroxaban dabigatran", "prednisone prednisolone dexamethasone hydrocortisone", "albuterol salmeterol formoterol levalbuterol",
	"gabapentin pregabalin", "furosemide bumetanide torsemide", "aspirin clopidogrel prasugrel ticagrelor", "metoprolol atenolol propranolol carvedilol",
	"azithromycin erythromycin clarithromycin", "ciprofloxacin levofloxacin moxifloxacin", "hydrochlorothiazide chlorthalidone indapamide",
	"farxiga invokana jardiance", "inlyta bosulif cometriq afinitor", "xalkori zykadia gilotrif", "eliquis pradaxa warfarin",
}

// Labels is an index of real labels, and what to ask of it.
type Labels struct {
	Index     *index.Index
	Questions []string
	Others    Others
}

// Load indexes the labels of data, a folder outside the repository, under dir.
// The questions are those of questions_dev.jsonl and one for each section.
func Load(ctx context.Context, data, dir string, opt index.Options) (*Labels, error) {
	ix, err := index.Open(dir, opt)
	if err != nil {
		return nil, err
	}
	l := &Labels{Index: ix}
	l.Others.Classes = map[string][]string{}
	for _, c := range classes {
		ms := strings.Fields(c)
		for _, m := range ms {
			for _, o := range ms {
				if o != m {
					l.Others.Classes[m] = append(l.Others.Classes[m], o)
				}
			}
			if !slices.Contains(l.Others.Medicines, m) {
				l.Others.Medicines = append(l.Others.Medicines, m)
			}
		}
	}
	if err := l.read(ctx, data); err != nil {
		_ = ix.Close()
		return nil, err
	}
	return l, nil
}

func (l *Labels) read(ctx context.Context, data string) error {
	var docs []*document.Document
	for _, p := range []string{"labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
		problems, err := document.Read(ctx, filepath.Join(data, p), document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		})
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return fmt.Errorf("%s: %v", p, problems[0])
		}
	}
	f, err := os.Open(filepath.Join(data, "labels", "questions_dev.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	qs, err := evaluate.Read(f.Name(), f)
	if err != nil {
		return err
	}
	for _, q := range qs {
		if len(q.Relevant) > 0 {
			l.Questions = append(l.Questions, q.Question)
		}
	}
	for _, d := range docs {
		name := strings.ToLower(d.Title)
		if !slices.Contains(l.Others.Medicines, name) {
			l.Others.Medicines = append(l.Others.Medicines, name)
		}
		for _, s := range d.Sections {
			l.Questions = append(l.Questions, fmt.Sprintf("What does the label of %s say about %s?", d.Title, strings.ToLower(s.Title)))
			for _, v := range chunk.Sentences(s.Text) {
				if t := flow(s.Text[v.Start:v.End]); Usable(t) && strings.Contains(strings.ToLower(t), name) {
					l.Others.Sentences = append(l.Others.Sentences, t)
				}
			}
		}
	}
	_, err = l.Index.Apply(ctx, index.Changes{Put: index.Documents(docs...)}, nil)
	return err
}

// Close the index.
func (l *Labels) Close() error { return l.Index.Close() }
