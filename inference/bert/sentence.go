package bert

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// readSentence reads the files of sentence-transformers that lie beside an
// encoder: modules.json says which steps follow it, and the pooling's
// config.json how it is done. given, if any, goes before them.
func (c *config) readSentence(dir string, given Pooling) error {
	switch given {
	case "", Mean, CLS:
	default:
		return fmt.Errorf("pooling %q: it is %q or %q", given, Mean, CLS)
	}
	poolingDir, found, err := readModules(dir)
	if err != nil {
		return err
	}
	if c.maxSequence, err = readMaxSequence(dir); err != nil {
		return err
	}
	if c.maxSequence > 0 && c.maxSequence < c.maxTokens() {
		c.note("sentence-transformers cuts texts at %d tokens (max_seq_length); here up to %d are read", c.maxSequence, c.maxTokens())
	}
	if given != "" {
		c.pooling = given
		return nil
	}
	if !found {
		c.pooling = Mean
		c.note("nothing says how vectors of tokens become one (modules.json, 1_Pooling/config.json); the mean is taken")
		return nil
	}
	b, err := readLimited(filepath.Join(dir, poolingDir, "config.json"), configLimit)
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("modules.json names the pooling %s, whose config.json is missing; fetch it too", poolingDir)
	}
	if c.pooling, err = parsePooling(b, c.hidden); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(poolingDir, "config.json"), err)
	}
	return nil
}

// readModules finds the folder of the pooling.
func readModules(dir string) (poolingDir string, found bool, err error) {
	b, err := readLimited(filepath.Join(dir, "modules.json"), configLimit)
	if err != nil {
		return "", false, err
	}
	if b != nil {
		return parseModules(b)
	}
	// The folder alone: someone fetched it and not the list.
	b, err = readLimited(filepath.Join(dir, "1_Pooling", "config.json"), configLimit)
	return "1_Pooling", b != nil, err
}

// parseModules reads modules.json: Transformer, Pooling and possibly Normalize,
// which is done to all vectors here.
func parseModules(b []byte) (poolingDir string, found bool, err error) {
	var modules []struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &modules); err != nil {
		return "", false, fmt.Errorf("modules.json can't be read: %w", err)
	}
	for _, m := range modules {
		switch m.Type[strings.LastIndexByte(m.Type, '.')+1:] {
		case "Transformer", "Normalize":
		case "Pooling":
			if found || !filepath.IsLocal(m.Path) {
				return "", false, fmt.Errorf("modules.json: the pooling at %.80q comes twice or lies elsewhere", m.Path)
			}
			poolingDir, found = m.Path, true
		default:
			return "", false, fmt.Errorf("modules.json: a step is %.120q, which is not supported (Transformer, Pooling and Normalize are)", m.Type)
		}
	}
	return poolingDir, found, nil
}

// parsePooling reads the pooling's config.json.
func parsePooling(b []byte, hidden int) (Pooling, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return "", fmt.Errorf("it can't be read: %w", err)
	}
	var on []string
	for key, value := range raw {
		mode, ok := strings.CutPrefix(key, "pooling_mode_")
		if ok && string(value) == "true" {
			on = append(on, mode)
		}
	}
	if v, ok := raw["pooling_mode"]; ok && len(on) == 0 { // as newer versions write it
		var mode string
		if json.Unmarshal(v, &mode) == nil && (mode == "mean" || mode == "cls") {
			on = []string{map[string]string{"mean": "mean_tokens", "cls": "cls_token"}[mode]}
		}
	}
	var width int
	if v, ok := raw["word_embedding_dimension"]; ok {
		if err := json.Unmarshal(v, &width); err != nil || width != hidden {
			return "", fmt.Errorf("word_embedding_dimension is %.40s, and the model's hidden_size is %d", v, hidden)
		}
	}
	if len(on) == 1 {
		switch on[0] {
		case "mean_tokens":
			return Mean, nil
		case "cls_token":
			return CLS, nil
		}
	}
	return "", fmt.Errorf("the pooling is %.120q; mean_tokens alone or cls_token alone is supported", on)
}

// readMaxSequence reads max_seq_length of sentence_bert_config.json; 0: none.
func readMaxSequence(dir string) (int, error) {
	b, err := readLimited(filepath.Join(dir, "sentence_bert_config.json"), configLimit)
	if b == nil || err != nil {
		return 0, err
	}
	var j struct {
		Max *int `json:"max_seq_length"`
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return 0, fmt.Errorf("sentence_bert_config.json can't be read: %w", err)
	}
	if j.Max == nil {
		return 0, nil
	}
	return max(*j.Max, 0), nil
}
