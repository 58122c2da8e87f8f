package evaluate

import (
	"encoding/json"
	"fmt"
	"io"
)

// RunLine is one line of a run file: what one query came to. A metric that is
// undefined for the query (the recall of nothing) is null or absent.
type RunLine struct {
	ID      string              `json:"id"`
	Kind    string              `json:"kind,omitempty"`
	Metrics map[string]*float64 `json:"metrics"`
}

// ReadRun reads a run file, one RunLine a line. name is for errors.
func ReadRun(name string, r io.Reader) ([]RunLine, error) {
	var out []RunLine
	seen := make(map[string]int)
	err := lines(r, name, func(n int, line string) error {
		var l RunLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return fmt.Errorf("%s:%d: not a line of a run file ({\"id\": …, \"metrics\": {name: number or null}}): %w", name, n, err)
		}
		switch {
		case l.ID == "":
			return fmt.Errorf("%s:%d: field \"id\" is missing", name, n)
		case l.Metrics == nil:
			return fmt.Errorf("%s:%d: field \"metrics\" is missing", name, n)
		case seen[l.ID] > 0:
			return fmt.Errorf("%s:%d: id %q is already on line %d", name, n, l.ID, seen[l.ID])
		}
		seen[l.ID] = n
		out = append(out, l)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: holds no queries", name)
	}
	return out, err
}
