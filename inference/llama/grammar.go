package llama

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"rxedge/inference"
)

const (
	longestRule = 64 << 10 // bytes of a grammar or a schema
	deepestRule = 64       // brackets open in one: the engine's parsers call themselves at each
)

// checkRules refuses what would end the engine or keep it busy for ever. What is
// merely wrong the engine refuses itself.
func checkRules(req inference.GenerateRequest) error {
	for _, rule := range []string{req.Grammar, string(req.JSONSchema)} {
		if len(rule) > longestRule || depth(rule) > deepestRule {
			return fmt.Errorf("longer than %d bytes, or nested deeper than %d: %w", longestRule, deepestRule, inference.ErrGrammar)
		}
	}
	switch {
	case strings.HasPrefix(req.Grammar, "%llguidance"):
		// The engine aborts: it is built without that library.
		return fmt.Errorf("a grammar of llguidance: %w", inference.ErrGrammar)
	case inverted(req.Grammar):
		return errInverted
	case len(req.JSONSchema) == 0:
		return nil
	}
	var schema any
	if json.Unmarshal(req.JSONSchema, &schema) != nil {
		return fmt.Errorf("the schema is not JSON: %w", inference.ErrGrammar)
	}
	if invertedIn(schema) {
		return errInverted
	}
	return nil
}

var errInverted = fmt.Errorf("a repetition of at most fewer times than at least: %w", inference.ErrGrammar)

var repetition = regexp.MustCompile(`\{\s*(\d+)\s*,\s*(\d+)\s*\}`)

// inverted finds a repetition {5,2}, which llama.cpp takes for one of four
// thousand million times. One inside a string literal counts too.
func inverted(text string) bool {
	for _, m := range repetition.FindAllStringSubmatch(text, -1) {
		low, err := strconv.ParseInt(m[1], 10, 64)
		high, err2 := strconv.ParseInt(m[2], 10, 64)
		if err == nil && err2 == nil && low > high {
			return true
		}
	}
	return false
}

// invertedIn finds it in a schema, where patterns and limits turn into them.
func invertedIn(schema any) bool {
	switch v := schema.(type) {
	case string:
		return inverted(v)
	case []any:
		for _, e := range v {
			if invertedIn(e) {
				return true
			}
		}
	case map[string]any:
		for _, what := range []string{"Length", "Items"} {
			low, ok := v["min"+what].(float64)
			high, ok2 := v["max"+what].(float64)
			if ok && ok2 && low > high {
				return true
			}
		}
		for _, e := range v {
			if invertedIn(e) {
				return true
			}
		}
	}
	return false
}

// depth is the largest number of brackets open at a place; brackets in strings
// count too, which errs on the safe side.
func depth(rule string) int {
	open, most := 0, 0
	for i := range len(rule) {
		switch rule[i] {
		case '(', '[', '{':
			open++
			most = max(most, open)
		case ')', ']', '}':
			open = max(open-1, 0)
		}
	}
	return most
}
