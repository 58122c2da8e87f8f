package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/index"
)

// selfTestCode of parse: the self-test is asked for.
const selfTestCode = 100

// selfTestQuestion is one that the sample formulary answers.
const selfTestQuestion = "What are the contraindications of metformin?"

// selfTest opens a box in a folder of its own, with no configuration but the
// defaults, puts the sample in, asks, and reads each citation again. It touches no
// data and no port.
func selfTest(ctx context.Context, stdout io.Writer) (err error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "rxedged-self-test-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg := config.Default()
	cfg.Data, cfg.Sample = dir, true
	floor := 0
	cfg.Index.DiskFloorMB = &floor
	b, err := box.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if _, err := b.IngestSample(ctx); err != nil {
		return fmt.Errorf("putting in the sample: %w", err)
	}
	a, err := b.Answers.Ask(ctx, answer.Question{Text: selfTestQuestion}, answer.Events{})
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	snap := b.Index.Acquire()
	if snap == nil {
		return index.ErrClosed
	}
	defer snap.Release()
	citations := 0
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			s, err := snap.Section(ci.SectionID)
			if err != nil {
				return fmt.Errorf("reading a citation again: %w", err)
			}
			if text := s.Section.Text; ci.Start < 0 || ci.End > len(text) || ci.Start >= ci.End || text[ci.Start:ci.End] != ci.Quote || strings.TrimSpace(ci.Quote) == "" {
				return errors.New("a citation does not read again as it was given")
			}
			citations++
		}
	}
	if citations == 0 {
		return fmt.Errorf("the sample answers %q, and this release does not (%s)", selfTestQuestion, a.Status)
	}
	fmt.Fprintf(stdout, "rxedged %s passes its self-test: %d citations read again, %v\n", box.Version, citations, time.Since(began).Round(time.Millisecond))
	return nil
}
