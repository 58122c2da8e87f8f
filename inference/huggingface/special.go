package huggingface

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
)

// endings are texts of tokens that llama.cpp takes for the end of an answer by
// itself (llama-vocab.cpp, special_eog_ids).
var endings = []string{
	"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>",
	"</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
}

// readExtras reads what lies beside tokenizer.json: special tokens, what is put
// before a text, and the chat template.
func (v *vocabulary) readExtras(dir string, f *tokenizerFile, config *settings) error {
	tokens, err := readSettings(dir, "tokenizer_config.json")
	if err != nil {
		return err
	}
	generation, err := readSettings(dir, "generation_config.json")
	if err != nil {
		return err
	}
	mapped, err := readSettings(dir, "special_tokens_map.json")
	if err != nil {
		return err
	}
	id := func(role string) int {
		for _, s := range []*settings{tokens, mapped} {
			if text := tokenText(s, role+"_token"); text != "" {
				if at := v.id(text); at >= 0 {
					return at
				}
			}
		}
		for _, s := range []*settings{config, generation} {
			if s == nil {
				continue
			}
			if ids := s.ids(role + "_token_id"); len(ids) > 0 && ids[0] >= 0 && ids[0] < len(v.tokens) {
				return ids[0]
			}
		}
		return -1
	}
	for _, role := range []struct{ theirs, ours string }{{"bos", "bos"}, {"eos", "eos"}, {"unk", "unknown"}, {"pad", "padding"}} {
		if at := id(role.theirs); at >= 0 {
			v.special = append(v.special, specialToken{role.ours, at})
		}
	}
	if err := v.readEndings(id("eos"), config, generation); err != nil {
		return err
	}
	v.readFrame(f, tokens, id("bos"), id("eos"))
	for _, s := range []*settings{tokens, generation, mapped, config} {
		if s != nil && s.err != nil {
			return s.err
		}
	}
	return v.readTemplate(dir, tokens)
}

// tokenText is the text of a special token: a string or an object with content.
func tokenText(s *settings, key string) string {
	if !s.has(key) {
		return ""
	}
	var text string
	if json.Unmarshal(s.values[key], &text) == nil {
		return text
	}
	var object struct {
		Content string `json:"content"`
	}
	s.decode(key, &object)
	return object.Content
}

// readEndings adds the other tokens at which a model's answer ends. GGUF has
// room for two that llama.cpp does not know by their text.
func (v *vocabulary) readEndings(eos int, from ...*settings) error {
	var more []int
	for _, s := range from {
		if s == nil {
			continue
		}
		for _, at := range s.ids("eos_token_id") {
			if at < 0 || at >= len(v.tokens) {
				return fmt.Errorf("%s: eos_token_id holds %d, and the model has %d tokens", s.file, at, len(v.tokens))
			}
			if at != eos && !slices.Contains(more, at) && !slices.Contains(endings, v.tokens[at]) {
				more = append(more, at)
			}
		}
	}
	keys := []string{"eot", "eom"}
	if len(more) > len(keys) {
		return fmt.Errorf("generation_config.json: eos_token_id ends answers at %d tokens that llama.cpp does not know (%q); there is room for %d", len(more), v.tokens[more[0]], len(keys))
	}
	for i, at := range more {
		v.special = append(v.special, specialToken{keys[i], at})
	}
	return nil
}

// readFrame finds out whether a text gets tokens before and behind it.
func (v *vocabulary) readFrame(f *tokenizerFile, tokens *settings, bos, eos int) {
	for _, s := range f.PostProcessor.flat() {
		if s.Type != "TemplateProcessing" || len(s.Single) == 0 {
			continue
		}
		if first := s.Single[0].SpecialToken; first != nil {
			v.addBOS = bos >= 0 && v.tokens[bos] == first.ID
		}
		if last := s.Single[len(s.Single)-1].SpecialToken; last != nil && len(s.Single) > 1 {
			v.addEOS = eos >= 0 && v.tokens[eos] == last.ID
		}
	}
	if tokens != nil {
		v.addBOS = tokens.flag("add_bos_token", v.addBOS)
		v.addEOS = tokens.flag("add_eos_token", v.addEOS)
	}
}

const templateLimit = 1 << 20 // bytes

// readTemplate finds the chat template: a file of its own, or the tokenizer's
// settings, where there may be several with names.
func (v *vocabulary) readTemplate(dir string, tokens *settings) error {
	own, err := readLimited(filepath.Join(dir, "chat_template.jinja"), templateLimit)
	if err != nil {
		return err
	}
	if own != nil {
		v.template = string(own)
		return nil
	}
	if !tokens.has("chat_template") {
		if tokens, err = readSettings(dir, "chat_template.json"); err != nil || !tokens.has("chat_template") {
			return err
		}
	}
	if json.Unmarshal(tokens.values["chat_template"], &v.template) == nil {
		return nil
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if !tokens.decode("chat_template", &named) {
		return tokens.err
	}
	v.templates = make(map[string]string)
	for _, t := range named {
		if t.Name == "default" {
			v.template = t.Template
		} else if validTemplate(t.Name) {
			v.templates[t.Name] = t.Template
		}
	}
	return nil
}

// validTemplate keeps a name from making a key of another kind.
func validTemplate(name string) bool {
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_') {
			return false
		}
	}
	return name != "" && len(name) <= 64
}
