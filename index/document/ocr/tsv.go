package ocr

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWords of one reading.
const maxWords = 50_000

// parseTSV reads tesseract's table of words: level, page, block, paragraph, line,
// word, left, top, width, height, confidence, text. The error is ErrFailed with
// the row and what is wrong there; it never holds text of the page.
func parseTSV(data []byte, bounds image.Rectangle) ([]*line, error) {
	var out []*line
	var key [4]int
	n, row := 0, 0
	for l := range bytes.Lines(data) {
		row++
		f := strings.SplitN(strings.TrimRight(string(l), "\r\n"), "\t", 12)
		if row == 1 && f[0] == "level" {
			continue
		}
		if len(f) < 11 {
			if len(f) == 1 && strings.TrimSpace(f[0]) == "" {
				continue
			}
			return nil, fmt.Errorf("%w: row %d of its table has %d columns", ErrFailed, row, len(f))
		}
		var v [10]int
		for i := range v {
			x, err := strconv.Atoi(f[i])
			if err != nil || x < 0 || x > 1<<24 {
				return nil, fmt.Errorf("%w: row %d, column %d of its table is no number", ErrFailed, row, i+1)
			}
			v[i] = x
		}
		if v[0] != 5 || len(f) < 12 {
			continue
		}
		conf, err := strconv.ParseFloat(f[10], 64)
		if err != nil || math.IsNaN(conf) || math.IsInf(conf, 0) {
			return nil, fmt.Errorf("%w: row %d of its table has no confidence", ErrFailed, row)
		}
		text := strings.TrimSpace(f[11])
		box := image.Rect(v[6], v[7], v[6]+v[8], v[7]+v[9]).Intersect(bounds)
		if text == "" || !utf8.ValidString(text) || box.Empty() {
			continue
		}
		if n++; n > maxWords {
			return nil, fmt.Errorf("%w: more than %d words", ErrFailed, maxWords)
		}
		if k := [4]int{v[1], v[2], v[3], v[4]}; len(out) == 0 || k != key {
			key = k
			out = append(out, &line{box: box})
		}
		at := out[len(out)-1]
		at.words = append(at.words, &word{text: text, box: box, conf: max(0, min(conf, 100))})
		at.box = at.box.Union(box)
	}
	return out, nil
}
