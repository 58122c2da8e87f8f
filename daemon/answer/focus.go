package answer

import (
	"context"
	"slices"
	"strings"

	"rxedge/index"
	"rxedge/index/names"
	"rxedge/inference/extract"
)

// focused are the words by which labels speak of what a question asks about
// beside its medicine, by the names of extract.Asks.
var focused = map[string]string{
	"renal":     "renal impairment creatinine clearance eGFR dialysis",
	"hepatic":   "hepatic impairment liver disease cirrhosis",
	"pregnancy": "pregnancy pregnant women fetal harm",
	"lactation": "lactation breastfeeding nursing mothers human milk",
	"pediatric": "pediatric patients children dose",
	"geriatric": "elderly geriatric patients dose",
	"dose":      "recommended usual starting initial dosage dose range maximum mg once daily adults",
}

const (
	focusDocuments = 64 // more than these is a class, not a medicine
	focusPassages  = 4  // of each search
	focusAt        = 4  // where its passages are put among those found first
)

// focus searches once more where nothing found speaks of the patients or of the
// other medicine that a question names: among the documents of its medicines, by
// the words for those patients; in each label, by the names of the other
// medicine. What is new goes behind the first passages.
func focus(ctx context.Context, snap *index.Snapshot, question string, hits []index.Hit, r *names.Reading, about map[string]bool) ([]index.Hit, error) {
	if len(about) == 0 || len(about) > focusDocuments {
		return hits, nil
	}
	type search struct {
		text      string
		documents []string
	}
	all := make([]string, 0, len(about))
	for id := range about {
		all = append(all, id)
	}
	slices.Sort(all)
	var searches []search
	for _, asks := range extract.Asks(question) {
		if words := focused[asks]; words != "" && !slices.ContainsFunc(searches, func(o search) bool { return o.text == words }) {
			searches = append(searches, search{words, all})
		}
	}
	for _, id := range all {
		if _, partners := subjectsOf(r, id); len(partners) > 0 {
			var words []string
			for _, p := range partners {
				words = append(words, saying(r, p)...)
			}
			searches = append(searches, search{strings.Join(words, " "), []string{id}})
		}
	}
	var more []index.Hit
	for _, s := range searches {
		found, err := snap.Search(ctx, index.Query{Text: s.text, K: focusPassages, Mode: index.ModeBM25, Plain: true, Filter: index.Filter{Documents: s.documents}})
		if err != nil {
			return nil, err
		}
		for _, h := range found.Hits {
			same := func(o index.Hit) bool {
				return o.Passage.SectionID == h.Passage.SectionID && o.Passage.Start == h.Passage.Start
			}
			if !slices.ContainsFunc(hits, same) && !slices.ContainsFunc(more, same) {
				more = append(more, h)
			}
		}
	}
	return slices.Insert(slices.Clone(hits), min(focusAt, len(hits)), more...), nil
}

// saying is how labels may call a medicine or class of the question.
func saying(r *names.Reading, asked string) []string {
	out := []string{asked}
	for _, e := range r.Expansions {
		if e.From == asked && (e.Why == names.WhyMedicine || e.Why == names.WhyClass) {
			out = append(out, e.To)
		}
	}
	return out
}
