package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rxedge/inference/gpu"
	"rxedge/inference/ladder"
	"rxedge/inference/llama"
)

// load is what NVML read while the card worked.
type load struct {
	Readings       int        `json:"readings"`
	TemperatureMax int        `json:"temperature_max_c"`
	PowerMax       float64    `json:"power_max_w"`
	UtilisationMax int        `json:"utilisation_max_percent"`
	MemoryMax      uint64     `json:"memory_max_bytes"`
	GraphicsMax    int        `json:"graphics_max_mhz"`
	Held           []gpu.Held `json:"held"`
	ReadMax        string     `json:"slowest_reading"`
}

// watchLoad reads the first card until the function that it returns is called.
func (c *check) watchLoad(ctx context.Context) func() load {
	if c.src == nil {
		return func() load { return load{} }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan load, 1)
	go func() {
		var l load
		var slowest time.Duration
		seen := map[gpu.Held]bool{}
		for tick := time.NewTicker(200 * time.Millisecond); ; <-tick.C {
			if ctx.Err() != nil {
				tick.Stop()
				l.ReadMax = slowest.String()
				done <- l
				return
			}
			began := time.Now()
			snap, err := c.src.Read(ctx)
			if err != nil {
				continue
			}
			slowest = max(slowest, time.Since(began))
			card := snap.Cards[0]
			l.Readings++
			l.TemperatureMax = most(l.TemperatureMax, card.Temperature.Now)
			l.PowerMax = most(l.PowerMax, card.Power.Draw)
			l.GraphicsMax = most(l.GraphicsMax, card.Clocks.Graphics)
			if card.Utilisation != nil {
				l.UtilisationMax = max(l.UtilisationMax, card.Utilisation.GPU)
			}
			if card.Memory != nil {
				l.MemoryMax = max(l.MemoryMax, card.Memory.Used)
			}
			for _, h := range card.Clocks.Held {
				if !seen[h] {
					seen[h] = true
					l.Held = append(l.Held, h)
				}
			}
		}
	}()
	return func() load {
		cancel()
		l := <-done
		fmt.Printf("%-28s %d readings, slowest %s: at most %d °C, %.0f W, %d %% busy, %d MiB, %d MHz, held by %v\n", "NVML under load",
			l.Readings, l.ReadMax, l.TemperatureMax, l.PowerMax, l.UtilisationMax, l.MemoryMax>>20, l.GraphicsMax, l.Held)
		if l.Readings == 0 || l.UtilisationMax == 0 || l.MemoryMax == 0 {
			c.Failures = append(c.Failures, fmt.Sprintf("NVML showed no load: %+v", l))
		}
		return l
	}
}

func most[T int | float64](a T, b *T) T {
	if b == nil {
		return a
	}
	return max(a, *b)
}

// transition of the ladder, as it was seen.
type transition struct {
	After  string      `json:"after"`
	Step   ladder.Step `json:"step"`
	Why    string      `json:"why"`
	Memory float64     `json:"memory_percent"`
}

// squeeze fills the card with engines until the ladder stands at its end, and
// takes them away until it stands at Normal. The thresholds are set low, from
// what is used at rest, so that no other program on the card is starved; the
// dwell times are short.
func (c *check) squeeze(ctx context.Context) error {
	rest, err := c.memory(ctx)
	if err != nil {
		return err
	}
	if rest > 45 {
		return fmt.Errorf("%.0f %% of the card's memory is used before it begins; end what uses it", rest)
	}
	limits := ladder.Limits{MemoryHysteresis: 3, Rise: time.Second, Fall: 2 * time.Second, Gap: 5 * time.Second}
	for i := range limits.Memory {
		limits.Memory[i] = max(10, rest+4) + 8*float64(i)
	}
	l, err := ladder.New(limits)
	if err != nil {
		return err
	}
	began := time.Now()
	var running []*llama.Server
	stop := func() error {
		var errs []error
		for _, s := range running {
			errs = append(errs, s.Close())
		}
		running = nil
		return errors.Join(errs...)
	}
	defer func() { _ = stop() }()
	// Each engine takes the weights and a cache; on a big card several are
	// needed. The start of one is waited for while the ladder watches.
	const engines = 16
	for len(running) < engines && l.State().Step < ladder.ExtractiveOnly {
		s, err := llama.Start(llama.Options{Engine: c.engine, Model: c.model, Kind: llama.Generate, Context: 16384, Slots: 4})
		if err != nil {
			return err
		}
		running = append(running, s)
		started := make(chan error, 1)
		go func() { started <- s.WaitReady(ctx) }()
		var settled time.Time
		for settled.IsZero() || time.Since(settled) < 7*time.Second && l.State().Step < ladder.ExtractiveOnly {
			select {
			case err := <-started:
				settled = time.Now()
				if err != nil {
					fmt.Println("an engine did not start any more:", err)
				}
				started = nil
			case <-time.After(250 * time.Millisecond):
			}
			if err := c.observe(ctx, l, began); err != nil {
				return err
			}
		}
	}
	if l.State().Step != ladder.ExtractiveOnly {
		c.Failures = append(c.Failures, fmt.Sprintf("the ladder stands at %s with %d engines on the card", l.State().Step, len(running)))
	}
	if err := stop(); err != nil {
		return err
	}
	for until := time.Now().Add(time.Minute); l.State().Step != ladder.Normal && time.Now().Before(until); {
		time.Sleep(250 * time.Millisecond)
		if err := c.observe(ctx, l, began); err != nil {
			return err
		}
	}
	if l.State().Step != ladder.Normal {
		c.Failures = append(c.Failures, fmt.Sprintf("the ladder stands at %s a minute after the engines ended", l.State().Step))
	}
	return nil
}

// memory of the first card, in percent used.
func (c *check) memory(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	snap, err := c.src.Read(ctx)
	if err != nil {
		return 0, err
	}
	if m := snap.Cards[0].Memory; m != nil {
		return 100 * float64(m.Used) / float64(m.Total), nil
	}
	return 0, errors.New("the card does not tell its memory")
}

func (c *check) observe(ctx context.Context, l *ladder.Ladder, began time.Time) error {
	used, err := c.memory(ctx)
	if err != nil {
		return err
	}
	if s, changed := l.Observe(time.Now(), ladder.Reading{Memory: &used}); changed {
		t := transition{After: time.Since(began).Round(100 * time.Millisecond).String(), Step: s.Step, Why: s.Why, Memory: used}
		c.Transitions = append(c.Transitions, t)
		fmt.Printf("%8s  %-16s %5.1f %%  %s\n", t.After, t.Step, t.Memory, t.Why)
	}
	return nil
}
