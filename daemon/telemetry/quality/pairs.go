package quality

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine of a file of pairs, bytes.
const maxLine = 16 << 20

// ReadPairs reads lines of JSON with prediction and reference; other keys are
// passed over. The error names the line.
func ReadPairs(r io.Reader) ([]Pair, error) {
	var out []Pair
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	for sc.Scan() {
		n++
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 {
			continue
		}
		var p struct{ Prediction, Reference *string }
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, fmt.Errorf("line %d is no JSON object with the texts prediction and reference: %w", n, err)
		}
		if p.Prediction == nil || p.Reference == nil {
			return nil, fmt.Errorf("line %d lacks prediction or reference", n)
		}
		out = append(out, Pair{*p.Prediction, *p.Reference})
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d is longer than %d MB", n+1, maxLine>>20)
	} else if err != nil {
		return nil, err
	}
	return out, nil
}
