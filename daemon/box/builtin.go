package box

import (
	"context"
	"iter"

	"rxedge/daemon/api"
	"rxedge/index"
	"rxedge/inference/llama"
	"rxedge/inference/semantic"
)

// adapter lets an index fit the built-in embedder to its passages.
type adapter struct{ *semantic.Model }

var _ index.Adapter = adapter{}

func (a adapter) Adapt(ctx context.Context, texts iter.Seq[string]) (index.Embedder, []byte, error) {
	e, err := a.Model.Adapt(ctx, texts)
	if err != nil {
		return nil, nil, err
	}
	return e, e.State(), nil
}

func (a adapter) Restore(state []byte) (index.Embedder, error) {
	e, err := a.Model.Restore(state)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// builtinFusion and builtinFeedback were chosen on the held-out tenth of MedQuAD and
// training queries of NFCorpus, and NamedDense set to what left the questions
// about labels as they are: index/fusion/DESIGN.md.
var builtinFusion = index.Fusion{BM25: 0.65, Dense: 0.35, NamedDense: 0.12}

const builtinFeedback = 0.5

// builtinOptions are those of an index that is searched with the embedder that
// every box carries. Passages are cut as they are without an embedder.
func builtinOptions() (index.Options, error) {
	m, err := semantic.Builtin()
	if err != nil {
		return index.Options{}, err
	}
	return StaticOptions(m), nil
}

// StaticOptions are those of an index that is searched with the built-in embedder, or one
// in its place.
func StaticOptions(m *semantic.Model) index.Options {
	by := sourceOf(m)
	return index.Options{Embedder: by.Embedder, EmbedderInfo: by.Info, Fusion: builtinFusion, Feedback: builtinFeedback}
}

func builtinState() api.ModelState {
	m, err := semantic.Builtin()
	if err != nil {
		return api.ModelState{Name: "builtin", Phase: string(llama.Failed), Reason: err.Error()}
	}
	return api.ModelState{Name: m.Info().Name, Phase: string(llama.Ready)}
}
