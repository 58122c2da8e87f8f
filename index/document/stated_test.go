package document

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStatedCorpus holds the dates and names that are found in printed documents beside
// what those state. No wrong one may be found; how many are found is printed.
func TestStatedCorpus(t *testing.T) {
	dir := os.Getenv("RXEDGE_DOCUMENT_CORPUS")
	if dir == "" {
		t.Skip("RXEDGE_DOCUMENT_CORPUS is not set; 'make document-corpus' makes the corpus and measures it")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "stated.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		File  string
		Date  string
		Names []string
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	type count struct{ stated, found, right int }
	var dates, names count
	for _, want := range all {
		var d *Document
		problems, err := Read(context.Background(), filepath.Join(dir, want.File), Options{}, func(read *Document) error { d = read; return nil })
		if err != nil || d == nil {
			t.Errorf("%s: %v, %v", want.File, problems, err)
			continue
		}
		if want.Date != "" {
			dates.stated++
		}
		if d.Effective != "" {
			dates.found++
			if want.Date != "" && strings.HasPrefix(d.Effective, want.Date) {
				dates.right++
			} else {
				t.Errorf("%s: %s, where it states %q", want.File, d.Effective, want.Date)
			}
		} else if want.Date != "" {
			fmt.Printf("%s: the date was not found\n", want.File)
		}
		if len(want.Names) > 0 {
			names.stated++
		}
		right := 0
		for _, n := range d.Names {
			names.found++
			for _, w := range want.Names {
				// A title may leave out a word of a salt's name.
				if short, long := strings.ToLower(n.Text), strings.ToLower(w); short == long || strings.HasPrefix(long, short+" ") {
					right++
					break
				}
			}
		}
		if names.right += right; right < len(d.Names) {
			t.Errorf("%s: %v, where it states %v", want.File, d.Names, want.Names)
		}
		if len(want.Names) > 0 && len(d.Names) == 0 {
			fmt.Printf("%s: the name was not found\n", want.File)
		}
	}
	fmt.Printf("dates: %d stated, %d found, %d right\nnames: %d documents state them, %d found, %d right\n", dates.stated, dates.found, dates.right, names.stated, names.found, names.right)
}
