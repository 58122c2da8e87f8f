package process

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metrics are the numbers of /metrics, by name with its labels.
type Metrics map[string]float64

// Metrics reads them.
func (d *Daemon) Metrics(ctx context.Context) (Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics: %s", resp.Status)
	}
	m := Metrics{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l := lines.Text()
		at := strings.LastIndexByte(l, ' ')
		if at < 0 || l[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(l[at+1:], 64); err == nil {
			m[l[:at]] = v
		}
	}
	return m, lines.Err()
}

// Live is what the last collection found in use, in bytes: the collector lets the
// heap grow to a multiple of it.
func (m Metrics) Live() float64 {
	return m["go_memstats_next_gc_bytes"] / (1 + m["go_gc_gogc_percent"]/100)
}

// Goroutines at the moment.
func (m Metrics) Goroutines() float64 { return m["go_goroutines"] }
