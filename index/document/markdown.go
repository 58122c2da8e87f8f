package document

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
)

// maxMarkdownBytes: the parser's tree is many times the size of the text.
const maxMarkdownBytes = 2 << 20

// maxLinkDefinitions: the parser's time grows with their square.
const maxLinkDefinitions = 2000

// HTML inside Markdown is kept, for only its text is used.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough), goldmark.WithRendererOptions(html.WithUnsafe()))

// parseMarkdown makes sections of the headings; what stands before the text
// between lines of "---" says what the document is (keys id, title, version,
// effective, brand, generic, drug, notice).
func parseMarkdown(base string, text []byte, opt Options) (*Document, error) {
	if len(text) > maxMarkdownBytes {
		return nil, tooLarge(base, int64(len(text)), maxMarkdownBytes)
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	front, body, err := frontMatter(text)
	if err != nil {
		return nil, err
	}
	line := bytes.Count(text[:len(text)-len(body)], []byte{'\n'}) + 1
	definitions := 0
	for l := range bytes.Lines(body) {
		if t := bytes.TrimLeft(l, " >"); len(t) > 0 && t[0] == '[' && bytes.Contains(t, []byte("]:")) {
			if definitions++; definitions > maxLinkDefinitions {
				return nil, Problem{Line: line, Reason: fmt.Sprintf("more than %d link definitions", maxLinkDefinitions), Fix: "write the links where they stand"}
			}
		}
		if lead := l[:len(l)-len(bytes.TrimLeft(l, "> \t*+-"))]; bytes.Count(lead, []byte(">"))+bytes.Count(lead, []byte("- "))+bytes.Count(lead, []byte("* "))+bytes.Count(lead, []byte("+ ")) > opt.MaxDepth/4 {
			return nil, Problem{Line: line, Reason: "Markdown nested too deep", Fix: "mend that line"}
		}
		line++
	}
	var page bytes.Buffer
	if err := markdown.Convert(body, &page); err != nil {
		return nil, Problem{Reason: "Markdown that cannot be read", Fix: "save it as plain text"}
	}
	root, err := htmlTree(page.Bytes(), opt)
	if err != nil {
		return nil, err
	}
	top, h1, err := headed(root, opt)
	if err != nil {
		return nil, err
	}
	d := &Document{Kind: KindMarkdown, Source: base, ID: first(front["id"], derivedID(base)), Version: front["version"], Notice: front["notice"]}
	if v := front["effective"]; v != "" {
		if d.Effective = isoDate(v); d.Effective == "" {
			return nil, Problem{Field: "effective", Reason: "is not a date", Fix: "write it as 2026-01-31"}
		}
	}
	var n names
	for _, v := range listOf(front["brand"]) {
		n.add("brand", v)
	}
	for _, v := range append(listOf(front["generic"]), listOf(front["drug"])...) {
		n.add("generic", v)
	}
	d.Names = n.list
	d.Title = first(front["title"], h1, splTitle("", &Document{ID: d.ID, Names: d.Names}))
	if len(d.Names) == 0 && front["title"] == "" && h1 == "" {
		d.Title = base
	}
	d.Sections = assemble(d.ID, top)
	return d, nil
}

func isoDate(s string) string {
	if len(s) == 10 && s[4] == '-' && s[7] == '-' {
		return splDate(strings.ReplaceAll(s, "-", ""))
	}
	return splDate(s)
}

// frontMatter reads "key: value" lines between two lines of "---". A list is
// written [a, b], a, b or with "- " lines.
func frontMatter(text []byte) (map[string]string, []byte, error) {
	front := map[string]string{}
	text = bytes.TrimLeft(text, "\n")
	if !bytes.HasPrefix(text, []byte("---\n")) {
		return front, text, nil
	}
	head, body, ok := bytes.Cut(text[4:], []byte("\n---"))
	if !ok || len(head) > 64<<10 || len(body) > 0 && body[0] != '\n' && body[0] != '-' && body[0] != ' ' {
		return front, text, nil // a line drawn across the page
	}
	key := ""
	for i, l := range strings.Split(string(head), "\n") {
		trimmed := strings.TrimSpace(l)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if item, isItem := strings.CutPrefix(trimmed, "- "); isItem && key != "" {
			front[key] = strings.TrimPrefix(front[key]+", "+unquote(item), ", ")
			continue
		}
		k, v, isPair := strings.Cut(trimmed, ":")
		if !isPair {
			return nil, nil, Problem{Line: i + 2, Reason: "a line of the front matter that is not \"key: value\"", Fix: "mend that line"}
		}
		key = strings.ToLower(strings.TrimSpace(k))
		if _, twice := front[key]; twice {
			return nil, nil, Problem{Line: i + 2, Field: fieldName(key), Reason: "stands twice in the front matter", Fix: "leave one of them out"}
		}
		front[key] = unquote(v)
	}
	if i := bytes.IndexByte(body, '\n'); i >= 0 {
		body = body[i+1:]
	} else {
		body = nil
	}
	return front, body, nil
}

func unquote(s string) string {
	s = oneLine(s)
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return s
}

func listOf(s string) []string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	var out []string
	for v := range strings.SplitSeq(s, ",") {
		if v = unquote(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}
