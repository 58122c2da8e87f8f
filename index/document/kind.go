package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"rxedge/index/document/ooxml"
)

// archives of a kind that cannot be read, told by their first bytes, whatever the file
// is called.
var archives = []struct{ magic, what string }{
	{"\xfd7zXZ\x00", "xz"}, {"7z\xbc\xaf\x27\x1c", "7-Zip"}, {"Rar!\x1a", "RAR"}, {"\x04\x22\x4d\x18", "lz4"}, {"\x1f\x9d", "compress"},
}

var otherFiles = []struct{ magic, what, fix string }{
	{"GIF8", "a picture in GIF", "save it as PNG, JPEG, TIFF or PDF"}, {"\x7fELF", "a program", "give a label or guideline"},
	{"{\\rtf", "an RTF file", "save it as HTML or plain text"}, {"SQLite format 3\x00", "a database", "export the documents from it"},
}

// detect tells the kind of data, by what is in it first and by its name
// second, and returns it as UTF-8 without a byte order mark.
func detect(name string, data []byte) (kind string, text []byte, err error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return "", nil, Problem{Reason: "the file is empty", Fix: "check how it was copied"}
	}
	for _, a := range archives {
		if bytes.HasPrefix(data, []byte(a.magic)) {
			return "", nil, Problem{Reason: "a compressed archive (" + a.what + "), whatever its name says", Fix: "unpack it first, or pack it as zip"}
		}
	}
	if bytes.HasPrefix(data, []byte(ooxml.CompoundMagic)) {
		return "", nil, officeProblem(ooxml.Compound(data))
	}
	for _, o := range otherFiles {
		if bytes.HasPrefix(data, []byte(o.magic)) {
			return "", nil, Problem{Reason: o.what + ", which cannot be read", Fix: o.fix}
		}
	}
	text, err = toUTF8(data)
	if err != nil {
		return "", nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return "", nil, Problem{Reason: "the file is empty", Fix: "check how it was copied"}
	}
	kind, err = kindOf(name, text)
	return kind, text, err
}

// toUTF8 decodes what a byte order mark or a declaration says; all else must
// be UTF-8 already.
func toUTF8(data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data = data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		dec := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder()
		out, _, err := transform.Bytes(dec, data)
		if err != nil || len(data)%2 != 0 {
			return nil, Problem{Reason: "starts as UTF-16 text but is not", Fix: "save it as UTF-8"}
		}
		data = out
	default:
		if label := declaredEncoding(data); label != "" {
			enc, err := htmlindex.Get(label)
			if err != nil {
				return nil, Problem{Line: 1, Reason: fmt.Sprintf("declares the unknown encoding %q", label), Fix: "save it as UTF-8"}
			}
			// A file that is UTF-8 whatever it says is taken at its bytes.
			if name, _ := htmlindex.Name(enc); name != "utf-8" && (!utf8.Valid(data) || isASCII(data)) {
				if strings.HasPrefix(name, "utf-16") {
					return nil, Problem{Line: 1, Reason: "declares UTF-16 and has no byte order mark", Fix: "save it as UTF-8"}
				}
				out, _, err := transform.Bytes(enc.NewDecoder(), data)
				if err != nil {
					return nil, Problem{Line: 1, Reason: fmt.Sprintf("is not in the encoding %q that it declares", label), Fix: "save it as UTF-8"}
				}
				data = out
			}
		}
	}
	if at := firstInvalid(data); at >= 0 {
		line, col := place(data, at)
		if looksBinary(data) {
			return nil, Problem{Line: line, Column: col, Reason: "binary data, not text", Fix: "give a label as SPL XML, openFDA JSON, JSONL, Markdown, HTML or plain text"}
		}
		return nil, Problem{Line: line, Column: col, Reason: "bytes that are not valid UTF-8", Fix: "save it as UTF-8"}
	}
	if looksBinary(data) {
		return nil, Problem{Reason: "binary data, not text", Fix: "give a label as SPL XML, openFDA JSON, JSONL, Markdown, HTML or plain text"}
	}
	return data, nil
}

var (
	xmlEncoding  = regexp.MustCompile(`^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']`)
	htmlEncoding = regexp.MustCompile(`(?i)<meta[^>]{0,200}?charset\s*=\s*["']?([A-Za-z0-9._:-]{1,40})`)
)

func declaredEncoding(data []byte) string {
	head := data[:min(len(data), 2048)]
	if m := xmlEncoding.FindSubmatch(head); m != nil {
		return string(m[1])
	}
	if m := htmlEncoding.FindSubmatch(head); m != nil {
		return string(m[1])
	}
	return ""
}

func isASCII(data []byte) bool {
	for _, c := range data {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func firstInvalid(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// looksBinary: a NUL, or more than one control character in fifty, at the
// start of the file.
func looksBinary(data []byte) bool {
	head := data[:min(len(data), 8192)]
	n := 0
	for _, c := range head {
		if c == 0 {
			return true
		}
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' {
			n++
		}
	}
	return n*50 > len(head)
}

// place turns a byte offset into a line and a column, both from 1.
func place(data []byte, at int) (line, col int) {
	at = min(max(at, 0), len(data))
	line = 1 + bytes.Count(data[:at], []byte{'\n'})
	return line, at - bytes.LastIndexByte(data[:at], '\n')
}

func kindOf(name string, text []byte) (string, error) {
	ext := strings.ToLower(filepath.Ext(name))
	body := bytes.TrimSpace(text)
	switch ext {
	case ".md", ".markdown":
		return KindMarkdown, nil
	}
	switch {
	case body[0] == '<':
		return markupKind(ext, body)
	case body[0] == '{' || body[0] == '[':
		return jsonKind(ext, body)
	case ext == ".jsonl" || ext == ".ndjson":
		return KindJSONL, nil // and every line of it will say what is wrong
	case ext == ".json":
		return "", Problem{Line: 1, Column: 1, Reason: "named .json, but does not start with { or [", Fix: "check how it was written"}
	case ext == ".xml":
		return "", Problem{Line: 1, Column: 1, Reason: "named .xml, but does not start with <", Fix: "check how it was written"}
	case ext == ".html" || ext == ".htm" || ext == ".xhtml":
		return KindHTML, nil
	case bytes.HasPrefix(body, []byte("---\n")) || bytes.HasPrefix(body, []byte("---\r\n")) || bytes.HasPrefix(body, []byte("# ")):
		return KindMarkdown, nil
	case ext == "" || ext == ".txt" || ext == ".text":
		return KindText, nil
	}
	return "", Problem{Reason: fmt.Sprintf("files named %s are of no kind that can be read", ext), Fix: "give a label as SPL XML, openFDA JSON, JSONL, Markdown, HTML or plain text (.txt)"}
}

var rootElement = regexp.MustCompile(`<([A-Za-z_][A-Za-z0-9._:-]{0,80})`)

func markupKind(ext string, body []byte) (string, error) {
	head := body[:min(len(body), 4096)]
	lower := bytes.ToLower(head)
	if bytes.Contains(head, []byte("urn:hl7-org:v3")) {
		return KindSPL, nil
	}
	root := ""
	if m := rootElement.FindSubmatch(stripComments(head)); m != nil {
		root = string(m[1])
	}
	switch {
	case bytes.HasPrefix(lower, []byte("<!doctype html")), strings.EqualFold(root, "html"):
		return KindHTML, nil
	case root == "document":
		return KindSPL, nil
	case ext == ".html" || ext == ".htm" || ext == ".xhtml":
		return KindHTML, nil
	case ext == ".txt" || ext == ".text":
		return KindText, nil
	case bytes.HasPrefix(body, []byte("<?xml")) || ext == ".xml":
		line, col := 1, 1
		return "", Problem{Line: line, Column: col, Reason: fmt.Sprintf("XML, but not a label: its first element is <%s>, not <document>", root), Fix: "give an SPL document as DailyMed publishes it"}
	}
	return KindHTML, nil
}

func stripComments(b []byte) []byte {
	for {
		i := bytes.Index(b, []byte("<!--"))
		if i < 0 {
			return b
		}
		j := bytes.Index(b[i:], []byte("-->"))
		if j < 0 {
			return b[:i]
		}
		b = append(bytes.Clone(b[:i]), b[i+j+3:]...)
	}
}

// jsonKind tells JSONL from openFDA JSON: a first line that is a complete
// object with more after it is JSONL; so is one record of JSONL alone.
func jsonKind(ext string, body []byte) (string, error) {
	first, rest, _ := bytes.Cut(body, []byte("\n"))
	first = bytes.TrimSpace(first)
	whole := len(bytes.TrimSpace(rest)) == 0
	var rec map[string]json.RawMessage
	complete := first[0] == '{' && len(first) <= 1<<24 && json.Unmarshal(first, &rec) == nil
	jsonlName := ext == ".jsonl" || ext == ".ndjson"
	if !complete {
		if jsonlName {
			return KindJSONL, nil
		}
		return KindOpenFDA, nil
	}
	_, text := rec["text"]
	_, id := rec["id"]
	_, bid := rec["_id"]
	_, results := rec["results"]
	switch {
	case text && (id || bid):
		return KindJSONL, nil
	case results && whole:
		return KindOpenFDA, nil
	case whole && !jsonlName:
		return KindOpenFDA, nil
	}
	return KindJSONL, nil
}
