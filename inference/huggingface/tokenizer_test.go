package huggingface

import (
	"strconv"
)

// byteRune is GPT-2's letter for a byte: itself where it can be seen.
func byteRune(b int) rune {
	if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
		return rune(b)
	}
	n := 0
	for i := range b {
		if !(i >= '!' && i <= '~' || i >= 0xa1 && i <= 0xac || i >= 0xae) {
			n++
		}
	}
	return rune(256 + n)
}

// byteLevel is a tokenizer.json of n tokens of byte-level BPE that cuts texts by
// an expression ("": GPT-2's): the bytes, a chain of merges that spell numbers,
// and <|im_start|> and <|im_end|> at 256 and 257.
func byteLevel(n int, cut string, ignoreMerges bool) map[string]any {
	vocab := make(map[string]int)
	for b := range 256 {
		vocab[string(byteRune(b))] = b
	}
	merges := [][2]string{}
	for i := 0; len(vocab)+2 < n-5; i++ { // the last five stay unused
		text := strconv.Itoa(i)
		if _, ok := vocab[text]; ok {
			continue
		}
		vocab[text] = len(vocab) + 2
		merges = append(merges, [2]string{text[:len(text)-1], text[len(text)-1:]})
	}
	pre := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": cut == ""}
	if cut != "" {
		pre = map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]string{"Regex": cut}, "behavior": "Isolated", "invert": false}, pre,
		}}
	}
	return map[string]any{
		"added_tokens": []any{
			map[string]any{"id": 256, "content": "<|im_start|>", "special": true},
			map[string]any{"id": 257, "content": "<|im_end|>", "special": true},
		},
		"normalizer": map[string]any{"type": "NFC"}, "pre_tokenizer": pre, "post_processor": nil,
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": false, "ignore_merges": ignoreMerges},
	}
}
