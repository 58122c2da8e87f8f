package huggingface

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// readLimited reads a file of at most limit bytes; none where it is missing.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d MiB", path, limit>>20)
	}
	return b, nil
}

const (
	configLimit    = 16 << 20  // bytes of a JSON file of settings
	tokenizerLimit = 128 << 20 // of a tokenizer.json; Gemma's has 33 MB
)

// settings is a JSON object of which single keys are asked for. The first key
// that is missing or of a wrong kind is kept in err.
type settings struct {
	file   string
	prefix string // of the keys, for errors
	values map[string]json.RawMessage
	err    error
}

func parseSettings(file string, b []byte) (*settings, error) {
	s := &settings{file: file}
	if err := json.Unmarshal(b, &s.values); err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", file, err)
	}
	return s, nil
}

// readSettings reads dir/file; nil where it is missing.
func readSettings(dir, file string) (*settings, error) {
	b, err := readLimited(filepath.Join(dir, file), configLimit)
	if b == nil || err != nil {
		return nil, err
	}
	return parseSettings(file, b)
}

func (s *settings) fail(key, format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%s: %s%s %s", s.file, s.prefix, key, fmt.Sprintf(format, args...))
	}
}

// unsupported keeps the error that names the key and what it holds.
func (s *settings) unsupported(key string, value any, supported string) {
	s.fail(key, "is %v, which is not supported (%s)", value, supported)
}

func (s *settings) has(key string) bool {
	if s == nil {
		return false
	}
	v, ok := s.values[key]
	return ok && string(v) != "null"
}

func (s *settings) decode(key string, into any) bool {
	if !s.has(key) {
		return false
	}
	if err := json.Unmarshal(s.values[key], into); err != nil {
		s.fail(key, "is %.80s, and that is not what belongs there", s.values[key])
		return false
	}
	return true
}

// maxCount is far above any width, depth or vocabulary.
const maxCount = 1 << 24

// count returns a positive whole number; otherwise, if it is 0, the key must be there.
func (s *settings) count(key string, otherwise int) int {
	if !s.has(key) {
		if otherwise == 0 {
			s.fail(key, "is missing")
			return 1
		}
		return otherwise
	}
	var v float64
	if !s.decode(key, &v) {
		return 1
	}
	if v < 1 || v > maxCount || v != math.Trunc(v) {
		s.fail(key, "is %v, no number between 1 and %d", v, maxCount)
		return 1
	}
	return int(v)
}

func (s *settings) number(key string, otherwise float64) float64 {
	v := otherwise
	s.decode(key, &v)
	return v
}

func (s *settings) text(key, otherwise string) string {
	v := otherwise
	s.decode(key, &v)
	return v
}

func (s *settings) flag(key string, otherwise bool) bool {
	v := otherwise
	s.decode(key, &v)
	return v
}

func (s *settings) object(key string) *settings {
	out := &settings{file: s.file, prefix: s.prefix + key + "."}
	if !s.decode(key, &out.values) {
		return nil
	}
	return out
}

// under returns these settings with those of the object in key laid over them.
func (s *settings) under(key string) *settings {
	inner := s.object(key)
	if inner == nil {
		return s
	}
	inner.err = s.err
	merged := maps.Clone(s.values)
	maps.Copy(merged, inner.values)
	inner.values = merged
	return inner
}

// ids returns token ids: one number or a list.
func (s *settings) ids(key string) []int {
	if !s.has(key) {
		return nil
	}
	var one int
	if json.Unmarshal(s.values[key], &one) == nil {
		return []int{one}
	}
	var many []int
	s.decode(key, &many)
	return many
}

// model is what config.json says that matters to every family.
type model struct {
	*settings
	family *family

	hidden, ffn, layers, heads, kvHeads, headDim, vocabulary, positions int

	tied bool
	rope rope
	// notes for the report: what was left out.
	notes []string
}

func (m *model) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

func readModel(dir string) (*model, error) {
	s, err := readSettings(dir, "config.json")
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("%s has no config.json: not a folder of a Hugging Face model", dir)
	}
	m := &model{}
	kind := s.text("model_type", "")
	var classes []string
	s.decode("architectures", &classes)
	if m.family = familyOf(kind, classes); m.family == nil {
		if s.err == nil {
			s.unsupported("model_type", fmt.Sprintf("%q (architectures %q)", kind, classes), "models of "+strings.Join(supported(), ", ")+" are")
		}
		return nil, s.err
	}
	m.settings = s.under("text_config")
	d := m.family.defaults
	m.hidden = m.count("hidden_size", d.hidden)
	m.ffn = m.count("intermediate_size", d.ffn)
	m.layers = m.count("num_hidden_layers", d.layers)
	m.heads = m.count("num_attention_heads", d.heads)
	kv := d.kvHeads
	if kv == 0 {
		kv = m.heads
	}
	m.kvHeads = m.count("num_key_value_heads", kv)
	dim := d.headDim
	if dim == 0 {
		dim = max(1, m.hidden/m.heads)
	}
	m.headDim = m.count("head_dim", dim)
	m.vocabulary = m.count("vocab_size", d.vocabulary)
	m.positions = m.count("max_position_embeddings", d.positions)
	m.tied = m.flag("tie_word_embeddings", d.tied)
	act := m.text("hidden_activation", m.text("hidden_act", d.act))
	if !slices.Contains(m.family.acts, act) {
		m.unsupported("hidden_act", fmt.Sprintf("%q", act), fmt.Sprintf("%q is", m.family.acts))
	}
	switch {
	case m.heads%m.kvHeads != 0:
		m.fail("num_attention_heads", "is %d, no multiple of num_key_value_heads %d", m.heads, m.kvHeads)
	case m.headDim%2 != 0:
		m.fail("head_dim", "is %d; rotary positions need an even one", m.headDim)
	case m.family.plainHeads && m.heads*m.headDim != m.hidden:
		m.unsupported("head_dim", m.headDim, fmt.Sprintf("for %s, hidden_size/num_attention_heads is", m.family.arch))
	case m.layers > 1<<12:
		m.fail("num_hidden_layers", "is %d, more than %d", m.layers, 1<<12)
	}
	if m.err == nil {
		m.readRope()
	}
	if m.err == nil && m.family.check != nil {
		m.family.check(m)
	}
	return m, m.err
}
