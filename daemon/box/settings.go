package box

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"rxedge/daemon/config"
	"rxedge/inference/catalog"
	"rxedge/inference/ladder"
)

// Settings of a box as it runs. What is secret in them is left out.
type Settings struct {
	// Given is what the configuration says, InForce what is made of it with the firmware
	// profile and the catalog.
	Given   []config.Value `json:"given"`
	InForce []config.Value `json:"in_force"`
}

// Settings in force. Secrets are comparable with those of another list under the same key.
func (b *Box) Settings(_ context.Context, key []byte) (Settings, error) {
	return settingsOf(&b.Config, b.Models, key), nil
}

// SettingsOf are what a box would run with, whose folder nobody has opened.
func SettingsOf(cfg config.Config, key []byte, log *slog.Logger) (Settings, error) {
	dir := filepath.Join(cfg.Data, "models")
	if _, err := os.Stat(dir); err != nil { // the catalog would make it
		tmp, err := os.MkdirTemp("", "rxedge-catalog-*")
		if err != nil {
			return Settings{}, err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	}
	c, err := catalog.Open(dir)
	if err != nil {
		return Settings{}, fmt.Errorf("opening the catalog of models: %w", err)
	}
	m := newModels(c, cfg.Model, cfg.Data, log)
	defer m.Close()
	return settingsOf(&cfg, m, key), nil
}

func settingsOf(cfg *config.Config, m *Models, key []byte) Settings {
	s := Settings{Given: cfg.Values(key), InForce: cfg.Values(key)}
	c := m.chosen()
	p := c.profile
	host, _ := m.budgets()
	var e catalog.Entry // of a generator whose length is not bounded by its training
	e.Kind = catalog.Generator
	o := m.options(e, c, ladder.Normal)
	latency := time.Duration(p.Latency.Extractive)
	if m.use[catalog.Generator] != "" {
		latency = time.Duration(p.Latency.Generated)
	}
	has := map[string]any{
		"model.profile": p.Name, "model.context": o.Context, "model.slots": o.Slots, "model.batch": o.Batch, "model.kv_type": string(o.KV),
		"model.gpu_layers": o.GPULayers, "model.threads": o.Threads, "model.memory_mb": int(host >> 20),
		"index.disk_floor_mb": p.Disk.FloorGB * 1000, "rollout.latency": config.Wait(latency),
		"model.generator": m.use[catalog.Generator], "model.embedder": m.use[catalog.Embedder], "model.reranker": m.use[catalog.Reranker], "model.entailer": m.use[catalog.Entailer],
	}
	for i, v := range s.InForce {
		x, ok := has[v.Key]
		if !ok {
			continue
		}
		switch v.Value {
		case "", "0", `""`, `"0s"`, `"` + config.Auto + `"`:
		default:
			continue // somebody has set it
		}
		if v.Value == `""` && v.Key != "model.kv_type" { // that is a choice: none
			continue
		}
		if name, ok := x.(string); ok && name == "" {
			x = config.None
			if v.Key == "model.reranker" || v.Key == "model.entailer" {
				x = config.Builtin
			} else if v.Key == "model.generator" {
				x = ""
			}
		}
		s.InForce[i].Value, s.InForce[i].From, s.InForce[i].Where = config.Text(x), config.FromProfile, p.Name
	}
	return s
}
