package supportbundle

import (
	"regexp"
	"strings"

	"rxedge/daemon/config"
)

// Setting in force.
type Setting struct {
	Key  string `json:"key"`
	From string `json:"from"` // default, file, environment, flag, profile
	// Value that may leave; "set" for one that may not, "" for none.
	Value string `json:"value"`
}

// plainValue of a setting: a number, true or false, a span of time.
var plainValue = regexp.MustCompile(`^"?(true|false|-?[0-9]{1,18}(\.[0-9]{1,9})?|([0-9]{1,6}(\.[0-9]{1,9})?(h|m|s|ms|µs))+)"?$`)

// words that settings of a closed list may have.
var settingWords = map[string]kind{
	"log.level": one("debug", "info", "warn", "error"), "log.format": one("text", "json"), "model.profile": profile, "model.kv_type": one("", "f16", "q8_0", "q4_0"),
	"answer.stale": one("show", "abstain"), "answer.guard": one("tell", "abstain"), "model.generator": model, "model.embedder": model, "model.reranker": model, "model.entailer": model,
	"listen": matching(`(?:127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5}`), "sync.quiet_hours": matching(`[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}`),
}

// ConfigurationOf settings. Paths, addresses and names that people gave are "set".
func ConfigurationOf(values []config.Value, n *Names) []Setting {
	known := map[string]bool{"model.adapter": true, "api.client": true}
	for _, s := range config.Settings() {
		known[s.Key] = true
	}
	out := []Setting{}
	for _, v := range values {
		if !known[v.Key] {
			continue
		}
		s := Setting{Key: v.Key, From: string(v.From)}
		text := strings.Trim(v.Value, `"'`)
		switch {
		case v.Value == "" || text == "" || v.Value == "[]":
		case plainValue.MatchString(v.Value):
			s.Value = text
		default:
			s.Value = "set"
			if k := settingWords[v.Key]; k != nil {
				if kept, ok := k(text, n); ok {
					s.Value, _ = kept.(string)
				}
			}
		}
		out = append(out, s)
	}
	return out
}

// AddConfiguration of settings.
func (b *Bundle) AddConfiguration(values []config.Value) {
	b.json("configuration.json", ConfigurationOf(values, b.Names))
}
