package lexical

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clipperhouse/uax29/v2/words"
)

func library(s string) (out []string) {
	for it := words.FromString(s); it.Next(); {
		out = append(out, it.Value())
	}
	return out
}

func ours(s string) (out []string) {
	eachToken(s, func(start, end int) { out = append(out, s[start:end]) })
	return out
}

// The short way for ASCII splits as the library does: every string of up to
// four bytes of each class, with and without others between.
func TestTokensAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	pieces := []string{"a", "Z", "0", "_", ":", ",", ";", ".", "'", " ", "\r", "\n", "\t", "-", "\"", "\x00", "\x7f", "é", "µ", "\u0301", "’", "\u2009", "日", "\xff", "😀", "א"}
	var try func(s string, depth int)
	try = func(s string, depth int) {
		if got, want := ours(s), library(s); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", s, got, want)
		}
		if depth > 0 {
			for _, p := range pieces {
				try(s+p, depth-1)
			}
		}
	}
	try("", 4)
	try("a b", 3)
	try("é ", 3)
}

func FuzzTokens(f *testing.F) {
	f.Add("Take 0,5 mg of β-blockers; don't.stop U.S.A. a_b\r\n 1,000.50 ’s")
	f.Add(" é  .a̴ ̴ x")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := ours(s), library(s); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	})
}

// The same over real labels, questions and abstracts.
func TestTokensOfRealText(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	for _, name := range []string{"labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl", "spl_xml/humira.xml", "nfcorpus/corpus.jsonl"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Skipf("the real labels are not on this machine (%s); set RXEDGE_TESTDATA to their folder", dir)
		}
		for l := range strings.Lines(string(b[:min(len(b), 1<<20)])) {
			if !slices.Equal(ours(l), library(l)) {
				t.Fatalf("%s: tokens differ in %q", name, l)
			}
		}
	}
}
