package supportbundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// files that a bundle has, in order, and what each is for. A box that can't be asked lacks
// some, and the manifest says which.
var files = []struct{ name, what string }{
	{"about.json", "versions, machine, firmware profile"},
	{"status.json", "what the box serves, and the conditions that hold, by code"},
	{"doctor.json", "what 'rxedge doctor' looked for and found, by code"},
	{"configuration.json", "settings in force, and where each comes from"},
	{"stops.json", "how the last stop was"},
	{"disk.json", "what the data folder takes, by room"},
	{"cards.json", "GPUs and their driver"},
	{"index.json", "generations of the index"},
	{"rollout.json", "journal of what was staged, served, rolled back"},
	{"sync.json", "the link to the centre"},
	{"sync-history.json", "bundles that came, and what became of them"},
	{"telemetry.json", "numbers of questions, times, drift; nothing of fewer than 11"},
	{"metrics.txt", "metrics of the program; nothing of fewer than 11 questions"},
	{"log.jsonl", "the daemon's last lines, of the messages that rxedge's own code has"},
	{"goroutines.json", "what the daemon is doing, by function names"},
	{"heap.json", "what holds its memory, by function names"},
}

// leftOut on purpose.
var leftOut = []Left{
	{"questions, answers, feedback", "they are people's"},
	{"documents and their names", "what a box has may say whom it serves"},
	{"patients, users, clients, cohorts by name", "they were given by whoever asked"},
	{"names of models, pairs and files that people gave", "a number stands for each"},
	{"counts from 1 to 10 of questions", "so few may be told apart"},
	{"keys, tokens, passphrases, addresses of hub and proxy", "they are secrets, or lead to them"},
	{"sentences of conditions and errors", "they may quote names and paths; the codes are here"},
	{"serial numbers", "they tell one card or machine from another"},
	{"the memory of the process", "it holds questions; names of functions and sizes are here"},
}

// Left is something that is not in a bundle.
type Left struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// File of a bundle.
type File struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
	What   string `json:"what"`
}

// Manifest is the first file of a bundle.
type Manifest struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Rxedge  string    `json:"rxedge"`
	// Box is running, stopped, or unusable where its folder can't be opened.
	Box     string `json:"box"`
	Files   []File `json:"files"`
	LeftOut []Left `json:"left_out"`
	// Missing could not be had from this box as it is.
	Missing []Left `json:"missing,omitempty"`
}

// ManifestName of the first file.
const ManifestName = "manifest.json"

// Bundle gathers what may leave.
type Bundle struct {
	Names *Names
	man   Manifest
	texts map[string][]byte
	why   map[string]string
}

// New bundle of a box that is running, stopped or unusable.
func New(rxedge, box string, now time.Time) *Bundle {
	return &Bundle{NewNames(), Manifest{Format: 1, Created: now.UTC().Truncate(time.Second), Rxedge: rxedge, Box: box, LeftOut: leftOut}, map[string][]byte{}, map[string]string{}}
}

// Box says how the box is, once it is known.
func (b *Bundle) Box(is string) { b.man.Box = is }

// Add what rules let leave of v as the file name.
func (b *Bundle) Add(name string, r Rules, v any) {
	kept, err := r.Keep(v, b.Names)
	if err != nil || kept == nil {
		b.Missing(name, "there is nothing of it")
		return
	}
	b.json(name, kept)
}

func (b *Bundle) json(name string, v any) {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		b.Missing(name, "it could not be written")
		return
	}
	b.put(name, append(text, '\n'))
}

func (b *Bundle) put(name string, text []byte) {
	if !slices.ContainsFunc(files, func(f struct{ name, what string }) bool { return f.name == name }) {
		panic("supportbundle: " + name + " is not on the list")
	}
	b.texts[name] = text
}

// AddTelemetry of numbers that were suppressed here.
func (b *Bundle) AddTelemetry(t Telemetry) { b.json("telemetry.json", t) }

// AddMetrics in Prometheus' text form.
func (b *Bundle) AddMetrics(text io.Reader) {
	kept, err := Metrics(text, b.Names)
	if err != nil {
		b.Missing("metrics.txt", "they could not be read")
		return
	}
	b.put("metrics.txt", kept)
}

// AddProcess of the daemon. It comes over a socket, so its lines and calls are looked at
// once more.
func (b *Bundle) AddProcess(p Process) {
	b.json("goroutines.json", struct {
		Goroutines []Stack `json:"goroutines"`
	}{own(p.Goroutines)})
	b.json("heap.json", struct {
		Memory Memory  `json:"memory"`
		Heap   []Stack `json:"heap"`
	}{p.Memory, own(p.Heap)})
	b.AddLog(p.Lines)
}

// AddLog of lines that were cut to what may leave.
func (b *Bundle) AddLog(lines []Line) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for _, l := range lines {
		if !messages()[l.Message] {
			l.Message, l.Attrs = "", nil
		}
		for k := range l.Attrs {
			if attributes[k] == nil {
				delete(l.Attrs, k)
			}
		}
		_ = e.Encode(l)
	}
	b.put("log.jsonl", out.Bytes())
}

// own are stacks of functions, and nothing else.
func own(stacks []Stack) []Stack {
	out := []Stack{}
	for _, s := range stacks {
		if !slices.ContainsFunc(s.Calls, func(c string) bool { return !callForm.MatchString(c) }) {
			out = append(out, s)
		}
	}
	return out
}

// Missing says that a file could not be had, in words of our own.
func (b *Bundle) Missing(name, why string) { b.why[name] = why }

// Manifest of what was gathered.
func (b *Bundle) Manifest() Manifest {
	m := b.man
	m.Files, m.Missing = []File{}, nil
	for _, f := range files {
		text, ok := b.texts[f.name]
		if !ok {
			why := b.why[f.name]
			if why == "" {
				why = "the box can't be asked"
			}
			m.Missing = append(m.Missing, Left{f.name, why})
			continue
		}
		sum := sha256.Sum256(text)
		m.Files = append(m.Files, File{f.name, len(text), hex.EncodeToString(sum[:]), f.what})
	}
	return m
}

// Write the bundle: a tar, compressed by gzip so that anybody can open it, the manifest
// first.
func (b *Bundle) Write(w io.Writer) error {
	m := b.Manifest()
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	put := func(name string, text []byte) error {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "rxedge-support/" + name, Size: int64(len(text)), Mode: 0o600, ModTime: m.Created}); err != nil {
			return err
		}
		_, err := t.Write(text)
		return err
	}
	if err := put(ManifestName, append(text, '\n')); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	for _, f := range m.Files {
		if err := put(f.Name, b.texts[f.Name]); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
	}
	return errors.Join(t.Close(), z.Close())
}
