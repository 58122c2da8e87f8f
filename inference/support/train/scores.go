package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
)

// scores writes what models say of what they were not trained on, one JSON object a
// line, for measuring it anew: auc.py. Without a file nothing is written.
type scores struct {
	f   *os.File
	w   *bufio.Writer
	err error
}

func newScores(path string) (*scores, error) {
	if path == "" {
		return &scores{}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &scores{f: f, w: bufio.NewWriter(f)}, nil
}

func (s *scores) add(set string, r row, claim string, score float64) {
	if s.f == nil || s.err != nil {
		return
	}
	s.err = json.NewEncoder(s.w).Encode(struct {
		Set   string  `json:"set"`
		Kind  string  `json:"kind"`
		Fold  int     `json:"fold"`
		True  bool    `json:"true"`
		Claim string  `json:"claim"`
		Score float64 `json:"score"`
	}{set, r.kind, r.fold(), r.y, claim, score})
}

func (s *scores) close() error {
	if s.f == nil {
		return nil
	}
	return errors.Join(s.err, s.w.Flush(), s.f.Close())
}
