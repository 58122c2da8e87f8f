// Command corpus makes hard documents out of real label texts, with the programs
// that people make documents with, and writes beside them what each of them says:
// the texts that were given to those programs.
//
//	go run ./index/document/corpus -data ../shared/data -out .cache/document-corpus
//
// It needs chromium, soffice (LibreOffice Writer and Calc), groff, gs, qpdf,
// pdftoppm, convert (ImageMagick). The same seed gives the same texts.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Truth is what a file of the corpus says.
type Truth struct {
	File   string       `json:"file"`
	Group  string       `json:"group"` // digital, scan300, scan150, table, refused
	Text   []string     `json:"text,omitempty"`
	Tables [][][]string `json:"tables,omitempty"`
	// Refused is a part of the reason for which the file must be refused.
	Refused string `json:"refused,omitempty"`
	Gone    string `json:"gone,omitempty"` // a running header, which must not be in the text
	Pages   int    `json:"pages,omitempty"`
}

type maker struct {
	ctx    context.Context
	out    string
	tmp    string
	src    *source
	truths []Truth
	// dosePages are made for each kind of harm.
	dosePages int
	harms     string // those wanted, comma separated; all where empty
}

func main() {
	data := flag.String("data", "../shared/data", "folder of the label texts")
	out := flag.String("out", ".cache/document-corpus", "where the files go")
	seed := flag.Uint64("seed", 1, "of the choice of texts")
	only := flag.String("only", "", "steps to make, comma separated; all where empty")
	pages := flag.Int("doses", 2, "documents full of doses for each kind of harm to a scan")
	harms := flag.String("harms", "", "kinds of harm to make them for, comma separated; all where empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *data, *out, *seed, *only, *pages, *harms); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, data, out string, seed uint64, only string, dosePages int, harms string) error {
	steps := []struct {
		name  string
		make  func(*maker) error
		needs string
	}{
		{"stated", stated, "chromium"}, {"digital", digital, "chromium"}, {"office", office, "soffice gs qpdf"}, {"typeset", typeset, "groff gs"}, {"long", long, "chromium"},
		{"scans", scans, "chromium pdftoppm convert"}, {"doses", doses, "chromium pdftoppm convert"}, {"sample", sample, "chromium pdftoppm convert"},
		{"tables", tables, "chromium pdftoppm convert"},
		{"spreadsheets", spreadsheets, "soffice"}, {"word", word, "soffice"}, {"hostile", hostile, "chromium qpdf gs"},
	}
	wanted := func(name string) bool {
		return only == "" || slices.Contains(strings.Split(only, ","), name)
	}
	var needs []string
	for _, s := range steps {
		if wanted(s.name) {
			needs = append(needs, strings.Fields(s.needs)...)
		}
	}
	for _, name := range needs {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not here; on Debian: apt-get install chromium libreoffice-writer-nogui libreoffice-calc-nogui groff ghostscript qpdf poppler-utils imagemagick fonts-liberation fonts-dejavu", name)
		}
	}
	src, err := readSource(ctx, data, seed)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "rxedge-corpus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	m := &maker{ctx: ctx, out: out, tmp: tmp, src: src, dosePages: dosePages, harms: harms}
	for _, step := range steps {
		if !wanted(step.name) {
			continue
		}
		if err := step.make(m); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(m.truths, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "truth.json"), b, 0o644); err != nil {
		return err
	}
	fmt.Printf("%d files in %s\n", len(m.truths), out)
	return nil
}

func (m *maker) path(name string) string { return filepath.Join(m.out, name) }

func (m *maker) add(t Truth) {
	m.truths = append(m.truths, t)
	fmt.Println(t.File)
}

// cmd runs a program in the folder for what lies between.
func (m *maker) cmd(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(m.ctx, 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = m.tmp
	c.Env = append(os.Environ(), "HOME="+m.tmp, "SOURCE_DATE_EPOCH=1700000000")
	b, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(b)))
	}
	return nil
}

func (m *maker) write(name, text string) (string, error) {
	p := filepath.Join(m.tmp, name)
	return p, os.WriteFile(p, []byte(text), 0o644)
}

// abs: the programs run in another folder.
func (m *maker) abs(name string) string {
	p, err := filepath.Abs(m.path(name))
	if err != nil {
		return m.path(name)
	}
	return p
}
