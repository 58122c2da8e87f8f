package generation

import (
	"os"
	"path/filepath"
	"strings"
)

// markName is a file in the folder of a generation that was found damaged while
// it served: opening looks at sizes and postings alone, and would let it serve
// again.
const markName = "DAMAGED"

// Mark a generation as damaged; it can't be opened from then on.
func (s *Store) Mark(name, why string) error {
	why = strings.Join(strings.Fields(why), " ")
	if why == "" {
		why = "it was found damaged"
	}
	return writeFileSynced(filepath.Join(s.Dir(name), markName), []byte(why+"\n"))
}

// Marked says why a generation in dir was marked; "": it was not.
func Marked(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, markName))
	if err != nil {
		return ""
	}
	if why := strings.TrimSpace(string(b)); why != "" {
		return why
	}
	return "it was found damaged"
}
