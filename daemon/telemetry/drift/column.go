package drift

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Column of a CSV. Numbers is nil where a value is none.
type Column struct {
	Values  []string
	Numbers []float64
	Missing int // empty, NA, NaN, null
}

// ReadColumn reads the column of that name of a CSV with a header. The error
// names the line.
func ReadColumn(r io.Reader, name string) (Column, error) {
	cr := csv.NewReader(r)
	cr.ReuseRecord = true
	head, err := cr.Read()
	if errors.Is(err, io.EOF) {
		return Column{}, errors.New("the file is empty; its first line names the columns")
	}
	if err != nil {
		return Column{}, err
	}
	head = slices.Clone(head)
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	at := slices.Index(head, name)
	if at < 0 {
		return Column{}, fmt.Errorf("there is no column %q; the columns are %s", name, strings.Join(head, ", "))
	}
	c := Column{Numbers: []float64{}}
	for {
		row, err := cr.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Column{}, err
		}
		v := strings.TrimSpace(row[at])
		switch strings.ToLower(v) {
		case "", "na", "nan", "null":
			c.Missing++
			continue
		}
		c.Values = append(c.Values, v)
		if c.Numbers == nil {
			continue
		}
		if f, err := strconv.ParseFloat(v, 64); err == nil && !math.IsInf(f, 0) {
			c.Numbers = append(c.Numbers, f)
		} else {
			c.Numbers = nil
		}
	}
	if len(c.Values) == 0 {
		return c, fmt.Errorf("the column %q has no values", name)
	}
	return c, nil
}

// Columns compares two: as numbers where both are, as words else.
func Columns(baseline, current Column, bins, least int) (Comparison, error) {
	if baseline.Numbers != nil && current.Numbers != nil {
		return Numbers(baseline.Numbers, current.Numbers, bins, least)
	}
	return Categories(baseline.Values, current.Values, least)
}
