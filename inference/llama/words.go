package llama

import (
	"slices"
	"strings"

	"rxedge/inference/gguf"
	"rxedge/inference/wordpiece"
)

// readWords makes the tokenizer of a WordPiece encoder out of its file: the ids
// are then the reference's, of which llama.cpp's differ here and there, and no
// text goes to the engine to be cut. nil: the engine cuts.
func readWords(m *gguf.Metadata) *wordpiece.Tokenizer {
	if model, _ := m.Text("tokenizer.ggml.model"); model != "bert" {
		return nil
	}
	t, err := wordpiece.FromGGUF(m)
	if err != nil { // another kind of vocabulary, or one in two segments
		return nil
	}
	return t
}

// asText takes special tokens that are written out in a text for text: the
// tokenizer finds them before it removes what has no width.
var asText = strings.NewReplacer("[PAD]", "[\u200bPAD]", "[UNK]", "[\u200bUNK]", "[CLS]", "[\u200bCLS]", "[SEP]", "[\u200bSEP]", "[MASK]", "[\u200bMASK]")

// wordsProbe is a text whose tokens a vocabulary tells from those of another
// kind: capitals, accents, punctuation, words in several pieces.
const wordsProbe = "Take 2.5 mg of Levothyroxin-Na (naïve, don't chew) 30% [SEP] daily."

// checkWords asks the engine whether it takes the vocabulary as we do; where it
// does not, it is the one that knows the model.
func (c *child) checkWords(k *call) error {
	if c.header.words == nil {
		return nil
	}
	theirs, err := k.tokenize(wordsProbe, true, false)
	if err != nil {
		return err
	}
	ours, err := c.header.words.Input(asText.Replace(wordsProbe), len(wordsProbe))
	if err != nil || !slices.Equal(ours, theirs) {
		c.header.words = nil
		c.log.to.Info("the engine cuts the texts for this model: its vocabulary is read in another way than WordPiece's")
	}
	return nil
}

// input is what an encoder reads of a text, special tokens included.
func (k *call) input(text string) ([]int, error) {
	if w := k.c.header.words; w != nil {
		return w.Input(asText.Replace(text), k.c.limit)
	}
	return k.tokenize(text, true, false)
}

// plain is a text's tokens alone.
func (k *call) plain(text string) ([]int, error) {
	if w := k.c.header.words; w != nil {
		return w.Encode(asText.Replace(text)), nil
	}
	return k.tokenize(text, false, false)
}
