package index

import (
	"cmp"
	"slices"

	"rxedge/index/dense"
	"rxedge/index/fusion"
	"rxedge/index/lexical"
)

// Fusion weighs the sources of a hybrid search: fusion.Convex over the scores of
// both. How the weights of the built-in embedder were found: fusion/DESIGN.md.
type Fusion struct {
	BM25, Dense float64
	// NamedDense is Dense where the question names a medicine that documents are
	// about: among the passages of one label its own words tell more.
	NamedDense float64
}

// fuse makes one ranking of at most k. Passages of the documents that the question
// names, those in about, come before all others, whichever source found them.
func fuse(mode Mode, weights Fusion, words []wordHit, near []dense.Scored, about []lexical.Range, k int) []found {
	if mode == ModeBM25 || mode == ModeDense { // a single list keeps its order
		return single(mode, words, near, k)
	}
	most := k
	if len(about) > 0 { // some of them are lifted first
		most = 0
	}
	var ranked []fusion.Ranked[uint32]
	if weights != (Fusion{}) {
		sources := []fusion.Source[uint32]{
			{Weight: weights.BM25, Items: make([]fusion.Scored[uint32], len(words))},
			{Weight: weights.Dense, Items: make([]fusion.Scored[uint32], len(near))},
		}
		if len(about) > 0 {
			sources[1].Weight = weights.NamedDense
		}
		for i, w := range words {
			sources[0].Items[i] = fusion.Scored[uint32]{ID: w.passage, Score: w.score - w.name}
		}
		for i, n := range near {
			sources[1].Items[i] = fusion.Scored[uint32]{ID: n.Passage, Score: n.Score}
		}
		ranked = fusion.Convex(sources, most)
	} else {
		lists := [][]uint32{make([]uint32, len(words)), make([]uint32, len(near))}
		for i, w := range words {
			lists[0][i] = w.passage
		}
		for i, n := range near {
			lists[1][i] = n.Passage
		}
		ranked = fusion.RRF(lists, fusion.K, most)
	}
	if len(about) > 0 {
		lifted := func(r *fusion.Ranked[uint32]) float64 {
			if within(about, r.ID) {
				return r.Score + lift
			}
			return r.Score
		}
		slices.SortStableFunc(ranked, func(a, b fusion.Ranked[uint32]) int { return cmp.Compare(lifted(&b), lifted(&a)) })
	}
	out := make([]found, min(k, len(ranked)))
	for i := range out {
		r, f := &ranked[i], &out[i]
		*f = found{passage: r.ID, score: r.Score, bm25Rank: r.Ranks[0], denseRank: r.Ranks[1], shares: [2]float64(r.Shares)}
		if f.bm25Rank > 0 {
			f.words(&words[f.bm25Rank-1])
		}
		if f.denseRank > 0 {
			f.dense = near[f.denseRank-1].Score
		}
		if within(about, r.ID) {
			f.lift = lift
			f.score += f.lift
		}
	}
	return out
}

// lift is over every fused score.
const lift = 1

func (f *found) words(w *wordHit) { f.bm25, f.name, f.section = w.score, w.name, w.section }

// single is the ranking of one source.
func single(mode Mode, words []wordHit, near []dense.Scored, k int) []found {
	if mode == ModeDense {
		out := make([]found, min(k, len(near)))
		for i := range out {
			n := near[i]
			out[i] = found{passage: n.Passage, score: n.Score, dense: n.Score, denseRank: i + 1}
		}
		return out
	}
	out := make([]found, min(k, len(words)))
	for i := range out {
		f, w := &out[i], &words[i]
		*f = found{passage: w.passage, score: w.score, lift: w.name, bm25Rank: i + 1}
		f.words(w)
	}
	return out
}
