package api

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ERRORS.md lists the codes that the code sends, each once, and no others.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, sent []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(table), -1) {
		if slices.Contains(listed, m[1]) {
			t.Errorf("%s is listed twice", m[1])
		}
		listed = append(listed, m[1])
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?:Code: |mk\([\w.]+, |p\.Code, p\.Detail = )"([a-z_]+)"`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(string(b), -1) {
			sent = append(sent, m[1])
		}
	}
	for _, status := range []int{400, 403, 404, 413, 422, 500, 503, 504} {
		sent = append(sent, codeOf(status))
	}
	slices.Sort(sent)
	sent = slices.Compact(sent)
	slices.Sort(listed)
	if !slices.Equal(sent, listed) || len(sent) < 30 {
		t.Errorf("sent   %v\nlisted %v", sent, listed)
	}
	for _, p := range []string{"/v1/embeddings", "/v1/ask"} {
		b, err := json.Marshal(&Problem{Status: 503, Code: "busy", Detail: "x", openAI: openAIPath(p)})
		if err != nil || strings.Contains(string(b), `"error"`) != openAIPath(p) {
			t.Errorf("%s: %s %v", p, b, err)
		}
	}
}
