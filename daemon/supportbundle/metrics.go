package supportbundle

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"rxedge/daemon/telemetry"
)

// labels of metrics that may leave, by name, and what they may be. A series with another
// label stays, as one by cohort or medicine does.
var labels = map[string]kind{
	"le": matching(`[0-9.]{1,12}(?:e[-+]?[0-9]{1,2})?|\+Inf`), "quantile": matching(`[0-9.]{1,8}`), "version": matching(`go[0-9.]{1,12}`),
	"status": one("answered", "abstained"), "reason": one("", "no_evidence", "conflicting", "stale", "unverified", "unsafe"), "mode": one("", "extractive", "generative", "kept"),
	"stage": one("queue", "cache", "embed", "retrieve", "rerank", "generate", "verify", "total"), "same": one("yes", "no"), "found": one("yes", "no"), "kind": one("answer", "embedding", "earlier"),
	"model": model, "card": matching(`[0-9]{1,3}`), "phase": phase, "slot": slot, "step": one("normal", "warn", "smaller_batch", "smaller_context", "cpu_embeddings", "extractive_only"),
	"severity": severity, "code": condition,
}

// ofPeople are the families that count questions or what was said of answers: fewer than
// LeastCell of something are not told.
var ofPeople = regexp.MustCompile(`^rxedge_(answer|question|claim|feedback|abstain|failed|grounded|cache_(requests|records|compared)|fairness|drift|telemetry|guard|suite)`)

// ofProgram are the families that may leave.
var ofProgram = regexp.MustCompile(`^(rxedge|go|process)_[a-z0-9_]{1,80}$`)

// ratios and quantiles say nothing of how many they are of, and buckets say by their
// differences how few: those of people stay.
var ofFew = regexp.MustCompile(`(_ratio|_quantile_seconds|_sum|_bucket)$`)

// LeastCell is the least number of questions that may be told of.
const LeastCell = telemetry.LeastCell

var seriesForm = regexp.MustCompile(`^([a-z0-9_]+)(?:\{(.*)\})? (\S+)$`)

var labelForm = regexp.MustCompile(`^([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)`)

// Metrics is what may leave of metrics in Prometheus' text form.
func Metrics(text io.Reader, n *Names) ([]byte, error) {
	var out bytes.Buffer
	sc := bufio.NewScanner(text)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		m := seriesForm.FindStringSubmatch(sc.Text())
		if m == nil || !ofProgram.MatchString(m[1]) {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		kept, ok := keepLabels(m[2], n)
		if !ok {
			continue
		}
		shown := m[3]
		if ofPeople.MatchString(m[1]) {
			if ofFew.MatchString(m[1]) {
				continue
			}
			shown = rounded(value)
		}
		out.WriteString(m[1])
		if kept != "" {
			out.WriteString("{" + kept + "}")
		}
		out.WriteString(" " + shown + "\n")
	}
	return out.Bytes(), sc.Err()
}

// rounded down to a multiple of LeastCell, so that of a sum and all but one of its parts
// the one that is left can't be told.
func rounded(n float64) string {
	if n > 0 && n < LeastCell {
		return fmt.Sprintf("<%d", LeastCell)
	}
	return strconv.FormatInt(int64(n)/LeastCell*LeastCell, 10)
}

func keepLabels(text string, n *Names) (string, bool) {
	var out []string
	for text != "" {
		m := labelForm.FindStringSubmatch(text)
		if m == nil {
			return "", false
		}
		text = text[len(m[0]):]
		k := labels[m[1]]
		if k == nil {
			return "", false
		}
		v, ok := k(m[2], n)
		if !ok {
			return "", false
		}
		out = append(out, m[1]+`="`+v.(string)+`"`)
	}
	return strings.Join(out, ","), true
}
