package box

import (
	"rxedge/daemon/api"
	"rxedge/index"
	"rxedge/inference/llama"
	"rxedge/inference/semantic"
)

// builtinOptions are those of an index that is searched with the embedder that
// every box carries. Passages are cut as they are without an embedder.
func builtinOptions() (index.Options, error) {
	m, err := semantic.Builtin()
	if err != nil {
		return index.Options{}, err
	}
	i := m.Info()
	return index.Options{Embedder: m, EmbedderInfo: index.EmbedderInfo{Name: i.Name, SHA256: i.SHA256, Dimension: i.Dimension}}, nil
}

func builtinState() api.ModelState {
	m, err := semantic.Builtin()
	if err != nil {
		return api.ModelState{Name: "builtin", Phase: string(llama.Failed), Reason: err.Error()}
	}
	return api.ModelState{Name: m.Info().Name, Phase: string(llama.Ready)}
}
