package bert

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

func smallBPE(t testing.TB) *bpe {
	t.Helper()
	b, err := os.ReadFile("testdata/bpe.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := parseBPE(b, 961)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := v.bpe()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// testdata/bpe.json was learnt from this project's own text; bpe_golden.json is
// what the tokenizers library makes of some texts with it.
func TestBPEEqualsReference(t *testing.T) {
	t.Parallel()
	tok := smallBPE(t)
	b, err := os.ReadFile("testdata/bpe_golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Text string
		IDs  []int
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) < 200 {
		t.Fatalf("%d texts", len(golden))
	}
	for _, g := range golden {
		if got := tok.encode([]int{}, g.Text); !slices.Equal(got, g.IDs) {
			t.Errorf("%q: %v, want %v", g.Text, got, g.IDs)
		}
	}
}

func TestBPELongWord(t *testing.T) {
	t.Parallel()
	tok := smallBPE(t)
	// Joining is not quadratic: this takes milliseconds.
	n := len(tok.encode(nil, strings.Repeat("the", 20_000)))
	if n < 10_000 || n > 40_000 {
		t.Errorf("%d tokens", n)
	}
}

func FuzzBPE(f *testing.F) {
	tok := smallBPE(f)
	back := make(map[int]string)
	bytes := make(map[string]byte)
	for text, id := range tok.ids {
		back[int(id)] = text
	}
	for b, s := range printable {
		bytes[s] = byte(b)
	}
	for _, s := range []string{"", " ", "a  b\n\nc", "don't", "\xff\xfe", "é😀", "\u0085x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got []byte
		for _, id := range tok.encodePlain(nil, text) {
			for _, r := range back[id] {
				got = append(got, bytes[string(r)])
			}
		}
		if string(got) != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}
