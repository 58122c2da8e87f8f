package evaluate_test

import (
	"strings"
	"testing"

	"rxedge/daemon/answer/evaluate"
)

func TestReadSaysWhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, says string }{
		{"", "holds no questions"},
		{"{\"id\":\"a\",\"question\":\"q\"}\nnoise\n", "line 2: not a JSON object"},
		{"{\"id\":7,\"question\":\"q\"}\n", "line 1: field \"id\" is of the wrong type, want string"},
		{"{\"id\":\"a\"}\n", "line 1: field \"question\" is missing"},
		{"{\"id\":\"a\",\"question\":\"q\"}\n\n{\"id\":\"a\",\"question\":\"r\"}\n", "line 3: id \"a\" was used in line 1"},
		{strings.Repeat("x", 2<<20), "line 1: longer than"},
	} {
		if _, err := evaluate.Read("f.jsonl", strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: %v does not say %q", c.file, err, c.says)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("{\"id\":\"a\",\"question\":\"q\",\"relevant\":[\"x#y\"],\"numbers\":[\"5 mg\"]}\n")
	f.Add("\xef\xbb\xbf{}\n")
	f.Fuzz(func(t *testing.T, s string) {
		qs, err := evaluate.Read("f.jsonl", strings.NewReader(s))
		if err == nil && len(qs) == 0 {
			t.Fatal("no error and no questions")
		}
	})
}
