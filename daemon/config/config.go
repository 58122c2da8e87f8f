// Package config reads rxedge.toml: strictly, so that a misspelt key is an
// error with its line and not a setting that never took effect.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	profiles "rxedge/firmware-profiles"
)

// Config of one box. The zero value of a field that Default sets is never meant.
type Config struct {
	// Listen is host:port of the HTTP interface; loopback only.
	Listen string `toml:"listen"`
	// Data is the folder that holds everything the box keeps. $RXEDGE_DATA comes before the
	// default, and so does ./var in a checkout.
	Data string `toml:"data"`
	// KeyFile holds the key that the data folder is encrypted with: a path of mode 0600,
	// or the name of a credential of the service. "": the credential data_key, where the
	// service manager gives one.
	KeyFile string `toml:"key_file"`
	// Key is what was read of it, where that was done before the folder is opened.
	Key []byte `toml:"-"`
	Log Log    `toml:"log"`
	// Sample ingests the embedded sample formulary where the index is empty.
	Sample bool   `toml:"sample"`
	Model  Model  `toml:"model"`
	Index  Index  `toml:"index"`
	Answer Answer `toml:"answer"`
	API    API    `toml:"api"`
	Cache  Cache  `toml:"cache"`
	Sync   Sync   `toml:"sync"`
	// Rollout says how what is new comes to serve.
	Rollout Rollout `toml:"rollout"`
	Suite   Suite   `toml:"suite"`
	// Telemetry says what is counted.
	Telemetry Telemetry `toml:"telemetry"`
	// Disk says what may take how much of it.
	Disk Disk `toml:"disk"`

	origins map[string]Origin // of what is no default

	// File that this was read from; "": it is the default.
	File string `toml:"-"`
}

// Cache says how long and how much is kept of what was answered.
type Cache struct {
	Enabled    bool     `toml:"enabled"`    // answers and vectors of questions are kept
	Answers    Duration `toml:"answers"`    // how long a kept answer is served
	Earlier    Duration `toml:"earlier"`    // how long an answer is kept, should nothing be left to search
	Embeddings Duration `toml:"embeddings"` // how long a vector of a question is kept
	Disk       int      `toml:"disk_mb"`    // MiB on disk
	Memory     int      `toml:"memory_mb"`  // MiB in memory
}

// Log says what is written to standard error.
type Log struct {
	Level  string `toml:"level"`  // debug, info, warn, error
	Format string `toml:"format"` // text or json
	// KeepMB is what of the log is kept in the data folder, in MiB, where the journal does
	// not take it, for 'rxedge log'; 0: nothing.
	KeepMB int `toml:"keep_mb"`
}

// Auto lets the firmware profile choose.
const Auto = "auto"

// Builtin is rxedge's own embedder, and None none at all.
const (
	Builtin = "builtin"
	None    = "none"
)

// Model names the models of the catalog that are used, and how they are run.
// What is 0 or "" here is as the firmware profile has it.
type Model struct {
	// Profile is the firmware profile; "auto": the one that suits the machine.
	Profile string `toml:"profile"`
	// Generator is the language model that writes answers; "": they are the documents'
	// own sentences. "auto" is the profile's, where the catalog has it, else none.
	Generator string `toml:"generator"`
	// Embedder makes vectors; "builtin": the one that every box carries; "none" or "":
	// search is by words alone. "auto" is the profile's, where the catalog has it, else
	// the one that is built in.
	Embedder string `toml:"embedder"`
	// Reranker orders passages; "builtin", "none" or "": the judge that every box
	// carries. "auto" is the profile's, where the catalog has it.
	Reranker string `toml:"reranker"`
	// Entailer judges whether passages support a claim; "builtin", "none" or "": the
	// judge that every box carries. "auto" is the profile's, where the catalog has it.
	Entailer  string   `toml:"entailer"`
	Context   int      `toml:"context"`       // tokens of one request; 0: as the firmware profile has it
	Slots     int      `toml:"slots"`         // requests at the same time; 0: as the firmware profile has it
	Batch     int      `toml:"batch"`         // tokens that are worked on at once; 0: as the firmware profile has it
	KVType    string   `toml:"kv_type"`       // f16, q8_0 or q4_0; "": as the firmware profile has it
	GPULayers *int     `toml:"gpu_layers"`    // -1: all; 0: none
	Threads   int      `toml:"threads"`       // 0: as the firmware profile has it, or one a core
	Memory    int      `toml:"memory_mb"`     // MiB of the machine's that all models together may take; 0: as the firmware profile has it
	Idle      Duration `toml:"idle_unload"`   // after which a model that is not configured above is unloaded
	Start     Duration `toml:"start_timeout"` // that an engine may take until it answers
	// Mirror is where 'rxedge model pull' gets models: the address of a hub or
	// its mirror, or a folder; "": nowhere.
	Mirror   string    `toml:"mirror"`
	Adapters []Adapter `toml:"adapter"`
}

// Adapter is a LoRA adapter that is loaded beside its base and used by those
// requests that name it.
type Adapter struct {
	Name string `toml:"name"` // by which requests ask for it
	Base string `toml:"base"` // model of the catalog
	Path string `toml:"path"` // GGUF file
}

// Index holds the settings of the search index.
type Index struct {
	// DiskFloorMB is what has to stay free on its disk, in MB of 10⁶ bytes: what
	// would leave less is refused. As the firmware profile has it where it is not
	// set.
	DiskFloorMB *int `toml:"disk_floor_mb"`
}

// Answer holds the settings of the pipeline.
type Answer struct {
	Passages  int      `toml:"passages"`   // looked at for one question
	MaxTokens int      `toml:"max_tokens"` // of a generated answer
	Timeout   Duration `toml:"timeout"`    // of one question, whole
	// StaleAfter is the age of a label from which an answer that cites it says so.
	StaleAfter Duration `toml:"stale_after"`
	// Stale is "show" (older labels answer, and it is said) or "abstain" (they answer
	// nothing).
	Stale string `toml:"stale"`
	// Guard is "tell" (the doubt is shown beside the answer) or "abstain" (an extract
	// of which there is much doubt is not shown).
	Guard string `toml:"guard"`
	// ShortPath: simple lookups ("max dose of X") are answered by the label's own
	// sentences, and the language model is not asked.
	ShortPath bool `toml:"short_path"`
}

// API holds the limits of the HTTP interface.
type API struct {
	// MaxRequestBytes is what one request may be long.
	MaxRequestBytes int64 `toml:"max_request_bytes"`
	// RawCompletions lets /v1/chat/completions reach a model of the catalog by
	// its name, without documents and so without citations.
	RawCompletions bool `toml:"raw_completions"`
	// RequireToken: programs other than the page bring a token, of a client below
	// or of one that 'rxedge service token add' made.
	RequireToken bool `toml:"require_token"`
	// Rate is the requests a second that one client may send for long; 0: as many as it
	// likes.
	Rate float64 `toml:"rate"`
	// Burst is the requests that one client may send at once.
	Burst   int      `toml:"burst"`
	Clients []Client `toml:"client"`
}

// Client is a program that asks.
type Client struct {
	Name string `toml:"name"` // in the log and the limits of rate
	// TokenFile is the file with its token, mode 0600; without a slash it is a credential
	// of the service (systemd's LoadCredential).
	TokenFile string `toml:"token_file"`
}

// Duration reads "5m" and "1h30m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 30s or 5m", b)
	}
	if v <= 0 {
		return fmt.Errorf("%q must be greater than zero", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Default is the configuration of a box that was told nothing.
func Default() Config {
	return Config{
		Listen:    "127.0.0.1:8731",
		Data:      DefaultData(),
		Log:       Log{Level: "info", Format: "text", KeepMB: 8},
		Sample:    true,
		Model:     Model{Profile: Auto, Embedder: Auto, Reranker: Auto, Entailer: Auto, Idle: Duration(15 * time.Minute), Start: Duration(2 * time.Minute)},
		Answer:    Answer{Passages: 8, MaxTokens: 256, Timeout: Duration(60 * time.Second), StaleAfter: Duration(3 * 365 * 24 * time.Hour), Stale: "show", Guard: "tell", ShortPath: true},
		API:       API{MaxRequestBytes: 1 << 20, RawCompletions: true, Rate: 1000, Burst: 2000},
		Cache:     Cache{Enabled: true, Answers: Duration(time.Hour), Earlier: Duration(30 * 24 * time.Hour), Embeddings: Duration(24 * time.Hour), Disk: 256, Memory: 32},
		Sync:      Sync{SpoolMB: 64, Vectors: true},
		Telemetry: Telemetry{Cohorts: []string{"0-17", "18-64", "65+"}, FullPrecision: FullPrecision{Model: Auto, Share: 0.01, Gather: Duration(30 * time.Minute)}},
		Disk:      Disk{KeepModels: Duration(30 * 24 * time.Hour)},
		Rollout:   Rollout{Watch: Wait(10 * time.Minute), Defer: Wait(30 * time.Second), Warm: Wait(time.Hour), Models: true},
	}
}

// DefaultData is RXEDGE_DATA, or var in the checkout that the program was
// built in, or /var/lib/rxedge.
func DefaultData() string {
	if d := os.Getenv("RXEDGE_DATA"); d != "" {
		return d
	}
	var roots []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			roots = append(roots, filepath.Dir(filepath.Dir(real)))
		}
	}
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
	}
	for _, r := range roots {
		if b, err := os.ReadFile(filepath.Join(r, "go.mod")); err == nil && bytes.HasPrefix(b, []byte("module rxedge\n")) {
			return filepath.Join(r, "var")
		}
	}
	return InstalledData
}

// InstalledData is the data folder of an installed box, and installedFile its
// configuration where the folder holds none.
const InstalledData = "/var/lib/rxedge"

var installedFile = "/etc/rxedge/rxedge.toml" // a test has another

// Load reads the file over the defaults. An empty path means the default place:
// rxedge.toml in the data folder, and for an installed box /etc/rxedge/rxedge.toml
// where that is missing; that all are missing is no error.
func Load(path string) (Config, error) {
	c := Default()
	if os.Getenv("RXEDGE_DATA") != "" {
		c.Given("data", FromEnvironment, "RXEDGE_DATA")
	}
	must := path != ""
	if !must {
		path = c.file()
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !must:
		return c, nil
	case err != nil:
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := c.decode(path, b); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	c.File = path
	return c, nil
}

// File is where Load looks for the settings when it is given no path; it may not be
// there.
func File() string {
	c := Default()
	return c.file()
}

func (c *Config) file() string {
	path := filepath.Join(c.Data, "rxedge.toml")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && filepath.Clean(c.Data) == InstalledData {
		return installedFile
	}
	return path
}

// decode reads b, of file path, over c. The error is the first fault.
func (c *Config) decode(path string, b []byte) error {
	if faults := c.examine(path, b); len(faults) > 0 {
		return &faults[0]
	}
	return nil
}

// Check says what is wrong with the values.
func (c *Config) Check() error {
	if err := CheckListen(c.Listen); err != nil {
		return err
	}
	if c.Data == "" {
		return wrong("data", "name a folder")
	}
	if _, err := c.Log.level(); err != nil {
		return err
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		return wrong("log.format", "%q is neither text nor json", c.Log.Format)
	}
	for _, f := range []struct {
		name      string
		v, lo, hi int64
	}{
		{"log.keep_mb", int64(c.Log.KeepMB), 0, 1024},
		{"model.context", int64(c.Model.Context), 0, 1 << 20},
		{"model.slots", int64(c.Model.Slots), 0, 256},
		{"model.batch", int64(c.Model.Batch), 0, 1 << 16},
		{"model.threads", int64(c.Model.Threads), 0, 1024},
		{"model.memory_mb", int64(c.Model.Memory), 0, 1 << 24},
		{"answer.passages", int64(c.Answer.Passages), 1, 100},
		{"answer.max_tokens", int64(c.Answer.MaxTokens), 1, 8192},
		{"cache.disk_mb", int64(c.Cache.Disk), 1, 1 << 20},
		{"cache.memory_mb", int64(c.Cache.Memory), 1, 1 << 16},
		{"api.rate", int64(c.API.Rate), 0, 1 << 20},
		{"api.burst", int64(c.API.Burst), 1, 1 << 20},
		{"api.max_request_bytes", c.API.MaxRequestBytes, 1024, 1 << 30},
	} {
		if f.v < f.lo || f.v > f.hi {
			return wrong(f.name, "%d is outside %d to %d", f.v, f.lo, f.hi)
		}
	}
	if c.Answer.Stale != "show" && c.Answer.Stale != "abstain" {
		return wrong("answer.stale", "%q is neither show nor abstain", c.Answer.Stale)
	}
	if c.Answer.Guard != "tell" && c.Answer.Guard != "abstain" {
		return wrong("answer.guard", "%q is neither tell nor abstain", c.Answer.Guard)
	}
	if f := c.Index.DiskFloorMB; f != nil && (*f < 0 || *f > 1<<30) {
		return wrong("index.disk_floor_mb", "%d is outside 0 to %d", *f, 1<<30)
	}
	if err := c.checkDisk(); err != nil {
		return err
	}
	if err := c.Sync.check(); err != nil {
		return err
	}
	if err := c.Suite.check(); err != nil {
		return err
	}
	if err := c.Telemetry.check(); err != nil {
		return err
	}
	if err := c.Rollout.check(); err != nil {
		return err
	}
	return c.Model.check()
}

func (m *Model) check() error {
	if m.Profile != Auto {
		if _, err := profiles.Get(m.Profile); err != nil {
			return wrong("model.profile", "%w; 'rxedge profile list' shows those there are, \"auto\" chooses", err)
		}
	}
	switch m.KVType {
	case "", "f16", "q8_0", "q4_0":
	default:
		return wrong("model.kv_type", "%q is none of f16, q8_0, q4_0", m.KVType)
	}
	if m.GPULayers != nil && *m.GPULayers < -1 {
		return wrong("model.gpu_layers", "%d is neither -1 (all), 0 (none) nor a number of layers", *m.GPULayers)
	}
	seen := map[string]bool{}
	for i, a := range m.Adapters {
		switch {
		case a.Name == "" || a.Base == "" || a.Path == "":
			return &ValueError{Key: "model.adapter", Item: i + 1, Why: "it needs a name, a base (a model of the catalog) and a path"}
		case seen[a.Base+"\x00"+a.Name]:
			return &ValueError{Key: "model.adapter", Item: i + 1, Why: fmt.Sprintf("%s has an adapter named %q already", a.Base, a.Name)}
		}
		seen[a.Base+"\x00"+a.Name] = true
	}
	return nil
}

// CheckListen refuses an address that other machines could reach.
func CheckListen(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return wrong("listen", "%q is not host:port, for example 127.0.0.1:8731", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return wrong("listen", "%q is not a loopback address; rxedge answers on this machine alone, use 127.0.0.1", host)
	}
	return nil
}

func (l Log) level() (slog.Level, error) {
	var v slog.Level
	if err := v.UnmarshalText([]byte(l.Level)); err != nil {
		return 0, wrong("log.level", "%q is none of debug, info, warn, error", l.Level)
	}
	return v, nil
}

// Logger as the settings say, on standard error.
func (l Log) Logger() *slog.Logger { return slog.New(l.Handler()) }

// Handler of it.
func (l Log) Handler() slog.Handler {
	opt := &slog.HandlerOptions{Level: l.Least()}
	if l.Format == "json" {
		return slog.NewJSONHandler(os.Stderr, opt)
	}
	return slog.NewTextHandler(os.Stderr, opt)
}

// Least level that is logged.
func (l Log) Least() slog.Level {
	v, _ := l.level()
	return v
}
