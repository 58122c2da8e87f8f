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
	sources := []fusion.Source[uint32]{{Weight: weights.BM25}, {Weight: weights.Dense}}
	if len(about) > 0 {
		sources[1].Weight = weights.NamedDense
	}
	for _, w := range words {
		sources[0].Items = append(sources[0].Items, fusion.Scored[uint32]{ID: w.passage, Score: w.score - w.name})
	}
	for _, n := range near {
		sources[1].Items = append(sources[1].Items, fusion.Scored[uint32]{ID: n.Passage, Score: n.Score})
	}
	var ranked []fusion.Ranked[uint32]
	if mode == ModeHybrid && weights != (Fusion{}) {
		ranked = fusion.Convex(sources)
	} else {
		lists := make([][]uint32, len(sources))
		for l, s := range sources {
			for _, x := range s.Items {
				lists[l] = append(lists[l], x.ID)
			}
		}
		ranked = fusion.RRF(lists, fusion.K)
	}
	out := make([]found, 0, len(ranked))
	for _, r := range ranked {
		f := found{passage: r.ID, score: r.Score, bm25Rank: r.Ranks[0], denseRank: r.Ranks[1], shares: [2]float64(r.Shares)}
		if f.bm25Rank > 0 {
			w := words[f.bm25Rank-1]
			f.bm25, f.name, f.section = w.score, w.name, w.section
		}
		if f.denseRank > 0 {
			f.dense = near[f.denseRank-1].Score
		}
		switch mode { // of a single list, fusion keeps the order
		case ModeBM25:
			f.score, f.lift = f.bm25, f.name
		case ModeDense:
			f.score = f.dense
		default:
			if within(about, r.ID) {
				f.lift = 1 // over every fused score
				f.score += f.lift
			}
		}
		out = append(out, f)
	}
	if mode == ModeHybrid && len(about) > 0 {
		slices.SortStableFunc(out, func(a, b found) int { return cmp.Compare(b.score, a.score) })
	}
	return out[:min(k, len(out))]
}
