package bert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	configLimit    = 16 << 20 // bytes of a file of settings
	tokenizerLimit = 64 << 20
	maxCount       = 1 << 22 // far above any width or vocabulary
	maxLayers      = 512
	maxLabels      = 64
)

// Kind is what a model does.
type Kind string

const (
	Encoder  Kind = "encoder"  // a text becomes a vector
	Reranker Kind = "reranker" // two texts become one logit
	Entailer Kind = "entailer" // two texts become three logits
)

// Pooling says how an encoder's vectors of tokens become one.
type Pooling string

const (
	Mean Pooling = "mean"
	CLS  Pooling = "cls" // the first token's
	rank Pooling = "rank"
)

// llama.cpp's enum llama_pooling_type.
var poolingNumbers = map[Pooling]uint32{Mean: 1, CLS: 2, rank: 4}

// architectures that are converted, and whether they classify.
var architectures = map[string]struct{ roberta, classify bool }{
	"BertModel":                        {},
	"BertForSequenceClassification":    {classify: true},
	"RobertaModel":                     {roberta: true},
	"RobertaForSequenceClassification": {roberta: true, classify: true},
}

// Supports says whether Convert takes a model whose config.json names this
// among its architectures.
func Supports(architecture string) bool {
	_, ok := architectures[architecture]
	return ok
}

// config is what config.json and sentence-transformers' files say that matters.
type config struct {
	architecture string
	roberta      bool
	kind         Kind
	pooling      Pooling
	labels       []string // of a classifier, by logit

	hidden, ffn, layers, heads, vocabulary, positions, segments int

	eps         float64
	pad         int // padding token; RoBERTa's positions begin after it
	maxSequence int // sentence-transformers' max_seq_length; 0: none
	notes       []string
}

// firstPosition is the row of the position table that the first token takes.
func (c *config) firstPosition() int {
	if c.roberta {
		return c.pad + 1
	}
	return 0
}

// maxTokens is the longest input, special tokens included.
func (c *config) maxTokens() int { return c.positions - c.firstPosition() }

// doubled: the vocabulary is written once for each segment.
func (c *config) doubled() bool { return c.kind != Encoder && c.segments > 1 }

func (c *config) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// configJSON is config.json. Numbers that may be missing are pointers.
type configJSON struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`

	Hidden     *int     `json:"hidden_size"`
	FFN        *int     `json:"intermediate_size"`
	Layers     *int     `json:"num_hidden_layers"`
	Heads      *int     `json:"num_attention_heads"`
	Vocabulary *int     `json:"vocab_size"`
	Positions  *int     `json:"max_position_embeddings"`
	Segments   *int     `json:"type_vocab_size"`
	Pad        *int     `json:"pad_token_id"`
	Eps        *float64 `json:"layer_norm_eps"`

	Act          string `json:"hidden_act"`
	PositionType string `json:"position_embedding_type"`
	Decoder      bool   `json:"is_decoder"`
	CrossAttends bool   `json:"add_cross_attention"`

	ID2Label  map[string]string `json:"id2label"`
	Label2ID  map[string]int    `json:"label2id"`
	NumLabels *int              `json:"num_labels"`
}

// parseConfig reads config.json. labels, where given, stand for those in it.
func parseConfig(b []byte, labels []string) (*config, error) {
	var j configJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fmt.Errorf("config.json can't be read: %w", err)
	}
	c := &config{}
	for _, name := range j.Architectures {
		if a, ok := architectures[name]; ok {
			c.architecture, c.roberta = name, a.roberta
			if a.classify {
				c.kind = Reranker // or Entailer, by its labels
			} else {
				c.kind = Encoder
			}
			break
		}
	}
	if c.architecture == "" {
		return nil, fmt.Errorf("config.json: architectures is %.200q; only %s are converted here", j.Architectures, strings.Join(supported(), ", "))
	}
	want := "bert"
	if c.roberta {
		want = "roberta"
	}
	if j.ModelType != "" && j.ModelType != want {
		return nil, fmt.Errorf("config.json: model_type is %.80q, and of a %s it must be %q", j.ModelType, c.architecture, want)
	}
	for _, n := range []struct {
		key  string
		from *int
		to   *int
		most int
	}{
		{"hidden_size", j.Hidden, &c.hidden, 1 << 16},
		{"intermediate_size", j.FFN, &c.ffn, 1 << 18},
		{"num_hidden_layers", j.Layers, &c.layers, maxLayers},
		{"num_attention_heads", j.Heads, &c.heads, 1 << 10},
		{"vocab_size", j.Vocabulary, &c.vocabulary, maxCount},
		{"max_position_embeddings", j.Positions, &c.positions, 1 << 20},
	} {
		switch {
		case n.from == nil:
			return nil, fmt.Errorf("config.json: %s is missing", n.key)
		case *n.from < 1 || *n.from > n.most:
			return nil, fmt.Errorf("config.json: %s is %d, no number between 1 and %d", n.key, *n.from, n.most)
		}
		*n.to = *n.from
	}
	c.segments = 2
	if j.Segments != nil {
		c.segments = *j.Segments
	}
	if j.Pad != nil {
		c.pad = *j.Pad
	} else if c.roberta {
		c.pad = 1
	}
	c.eps = 1e-12
	if j.Eps != nil {
		c.eps = *j.Eps
	}
	switch {
	case c.hidden%c.heads != 0:
		return nil, fmt.Errorf("config.json: hidden_size %d is no multiple of num_attention_heads %d", c.hidden, c.heads)
	case c.segments < 1 || c.segments > 2:
		return nil, fmt.Errorf("config.json: type_vocab_size is %d; models of 1 or 2 segments are converted", c.segments)
	case c.pad < 0 || c.pad >= c.vocabulary || c.maxTokens() < 1:
		return nil, fmt.Errorf("config.json: pad_token_id is %d, in a vocabulary of %d and with %d positions", c.pad, c.vocabulary, c.positions)
	case !(c.eps > 0 && c.eps < 1):
		return nil, fmt.Errorf("config.json: layer_norm_eps is %v", c.eps)
	case j.PositionType != "" && j.PositionType != "absolute":
		return nil, fmt.Errorf("config.json: position_embedding_type is %.80q; only absolute positions are converted", j.PositionType)
	case j.Decoder || j.CrossAttends:
		return nil, errors.New("config.json: is_decoder or add_cross_attention is true; only encoders are converted")
	case !slices.Contains([]string{"", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast"}, j.Act):
		return nil, fmt.Errorf("config.json: hidden_act is %.80q, and llama.cpp computes GELU", j.Act)
	}
	if c.kind == Encoder {
		return c, nil
	}
	c.pooling = rank
	return c, c.readLabels(&j, labels)
}

func supported() []string {
	var names []string
	for name := range architectures {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// readLabels finds out what the logits are called and what the model is for.
func (c *config) readLabels(j *configJSON, given []string) error {
	labels, err := j.labels()
	if err != nil {
		return err
	}
	if given != nil {
		if labels != nil && len(labels) != len(given) {
			return fmt.Errorf("%d labels were given, and config.json has %d", len(given), len(labels))
		}
		labels = slices.Clone(given)
	}
	c.labels = labels
	switch len(labels) {
	case 1:
		c.kind = Reranker
		return nil
	case 3:
		c.kind = Entailer
		_, err := entailOrder(labels)
		return err
	}
	return fmt.Errorf("config.json: the model has %d labels %.200q; cross-encoders of 1 and entailment models of 3 are converted", len(labels), labels)
}

// labels by logit. Transformers writes two where a config names none.
func (j *configJSON) labels() ([]string, error) {
	n := len(j.ID2Label)
	if n == 0 {
		n = len(j.Label2ID)
	}
	if n == 0 {
		if j.NumLabels == nil {
			return nil, errors.New("config.json: id2label is missing, and with it how many logits the model has")
		}
		if n = *j.NumLabels; n < 1 || n > maxLabels {
			return nil, fmt.Errorf("config.json: num_labels is %d", n)
		}
	}
	if n > maxLabels {
		return nil, fmt.Errorf("config.json: id2label has %d entries, more than %d", n, maxLabels)
	}
	out := make([]string, n)
	put := func(id int, label string) error {
		if id < 0 || id >= n || out[id] != "" || label == "" {
			return fmt.Errorf("config.json: id2label: %.80q has the number %d, which is taken or not below %d", label, id, n)
		}
		out[id] = label
		return nil
	}
	for key, label := range j.ID2Label {
		id, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("config.json: id2label: %.80q is no number", key)
		}
		if err := put(id, label); err != nil {
			return nil, err
		}
	}
	if len(j.ID2Label) == 0 {
		for label, id := range j.Label2ID {
			if err := put(id, label); err != nil {
				return nil, err
			}
		}
	}
	for i := range out {
		if out[i] == "" {
			out[i] = fmt.Sprintf("LABEL_%d", i) // as transformers does
		}
	}
	return out, nil
}

// entailOrder says at which logits entail, neutral and contradict are.
func entailOrder(labels []string) (order [3]int, err error) {
	found := [3]bool{}
	for i, label := range labels {
		at := -1
		switch l := strings.ToLower(strings.TrimSpace(label)); {
		case strings.HasPrefix(l, "entail"):
			at = 0
		case strings.HasPrefix(l, "neutral"):
			at = 1
		case strings.HasPrefix(l, "contradict"):
			at = 2
		}
		if at < 0 || found[at] {
			return order, fmt.Errorf("the labels %.200q do not say which is entailment, neutral and contradiction; see the model's description and give them in the order of its logits", labels)
		}
		order[at], found[at] = i, true
	}
	if found != [3]bool{true, true, true} {
		return order, fmt.Errorf("the labels %.200q are not entailment, neutral and contradiction", labels)
	}
	return order, nil
}

// readConfig reads the settings of a folder.
func readConfig(dir string, o Options) (*config, error) {
	b, err := readLimited(filepath.Join(dir, "config.json"), configLimit)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("%s has no config.json: not a folder of a Hugging Face model", dir)
	}
	c, err := parseConfig(b, o.Labels)
	if err != nil || c.kind != Encoder {
		return c, err
	}
	if o.Labels != nil {
		return nil, fmt.Errorf("labels were given, and %s has none", c.architecture)
	}
	return c, c.readSentence(dir, o.Pooling)
}

// readLimited reads a file of at most limit bytes; nil where it is missing.
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
