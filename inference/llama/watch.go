package llama

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"rxedge/inference"
)

const (
	loadTimeout = time.Hour // a large model from a slow disk that gets on
	// loadStall is how long a child that starts may use no processor and read
	// nothing.
	loadStall = 12 * time.Second
	// silences is how many pulses long nothing of what a child is asked may be
	// answered before it is taken for dead.
	silences = 5
)

// becomeReady waits for the child to load its model and then has it do what it
// is for: its /health can say OK while generation hangs.
func (c *child) becomeReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, loadTimeout, fmt.Errorf("the model was not loaded within %v", loadTimeout))
	defer cancel()
	stop := c.watchLoad(ctx)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		k := c.begin(ctx)
		resp, err := k.send("/health", nil)
		if err == nil {
			resp.Body.Close()
		}
		k.cancel()
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.gone.Done():
			return context.Cause(c.gone)
		case <-tick.C:
		}
	}
	k := c.begin(ctx)
	defer k.cancel()
	if err := c.describe(k); err != nil {
		return fmt.Errorf("asking the engine about the model: %w", err)
	}
	if err := c.firstProof(k); err != nil {
		return err
	}
	c.pulse.mu.Lock()
	c.pulse.proved = time.Now()
	c.pulse.mu.Unlock()
	return nil
}

// firstProof has the model write its first token, or make its first embedding,
// and measures how fast it reads.
func (c *child) firstProof(k *call) error {
	const text = "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a" // any will do
	tokens, err := k.tokenize(text, true, false)
	if err != nil {
		return fmt.Errorf("trying the tokenizer: %w", err)
	}
	tokens = tokens[:min(len(tokens), max(c.limit-1, 1))]
	if err := c.checkWords(k); err != nil {
		return fmt.Errorf("trying the tokenizer: %w", err)
	}
	if c.o.Kind == Embed {
		v, err := k.embed([][]int{tokens}, 0)
		if err != nil {
			return fmt.Errorf("trying an embedding: %w", err)
		}
		c.dimension = len(v[0])
		c.pulse.remember(tokens, nil)
		// The first reads the weights from the disk.
		began := time.Now()
		if _, err := k.embed([][]int{tokens}, c.dimension); err != nil {
			return fmt.Errorf("trying an embedding: %w", err)
		}
		c.pulse.measured(len(tokens), time.Since(began))
		return nil
	}
	if c.o.Kind == Rank {
		c.pulse.remember(tokens, nil)
		var took time.Duration
		for range 2 { // the first reads the weights from the disk
			began := time.Now()
			if _, err := k.logits([][]int{tokens}); err != nil {
				return fmt.Errorf("trying a pair: %w", err)
			}
			took = time.Since(began)
		}
		c.pulse.measured(len(tokens), took)
		return nil
	}
	c.pulse.remember(tokens, nil)
	if _, err := k.try(tokens, nil, false); err != nil {
		return err
	}
	took, err := k.try(tokens, nil, false)
	if err == nil {
		c.pulse.measured(len(tokens), took)
	}
	return err
}

// try has the model write one token.
func (k *call) try(tokens []int, adapters []loraScale, cached bool) (took time.Duration, err error) {
	var first struct {
		Predicted int `json:"tokens_predicted"`
	}
	body := map[string]any{
		"prompt": tokens, "n_predict": 1, "temperature": 0, "cache_prompt": cached,
		"response_fields": []string{"tokens_predicted"},
	}
	if adapters != nil {
		body["lora"] = adapters
	}
	began := time.Now()
	if err := k.do("/completion", body, &first); err != nil {
		return 0, fmt.Errorf("trying a token: %w", err)
	}
	if first.Predicted != 1 {
		return 0, fmt.Errorf("trying a token: the engine wrote %d", first.Predicted)
	}
	return time.Since(began), nil
}

// watchLoad gives a child up that is neither computing nor reading while it
// starts. What it returns ends the watch.
func (c *child) watchLoad(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(c.o.pulse)
		defer tick.Stop()
		last, since := effort(c.cmd.Process.Pid), time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.gone.Done():
				return
			case <-tick.C:
			}
			if now := effort(c.cmd.Process.Pid); now != last {
				last, since = now, time.Now()
			} else if time.Since(since) > max(min(loadStall, 6*c.o.pulse), 3*time.Second) {
				c.hang("it neither computed nor read while it loaded the model")
				return
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// effort is a number that grows while a process computes (its ticks of the
// processor) or reads (its major page faults); see proc_pid_stat(5).
func effort(pid int) uint64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := bytes.Fields(rest)
	var sum uint64
	for _, i := range []int{12, 14, 15} { // majflt, utime, stime: 3 is the first of rest
		if i-3 < len(fields) {
			n, _ := strconv.ParseUint(string(fields[i-3]), 10, 64)
			sum += n
		}
	}
	return sum
}

// waitedToRun is how long a process's first thread, which hands out the work, was
// ready to run and had no processor, since it began; see the kernel's
// sched-stats. A thread that hangs or is stopped does not wait. 0: unknown.
func waitedToRun(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(n)
}

// watch stays with a serving child until it is gone or ctx ends. A child that
// lives but can no longer be spoken to (its socket was removed or is silent, it
// is stopped), or that makes no progress with what it has in hand, or that does
// nothing when it is tried, is given up.
func (c *child) watch(ctx context.Context) {
	batch := c.o.Batch
	if c.o.Kind != Generate {
		batch = 0
	}
	silence := silences * c.o.pulse
	tick := time.NewTicker(c.o.pulse)
	defer tick.Stop()
	var (
		answered = time.Now()
		ticked   = answered
		pid      = c.cmd.Process.Pid
		delayed  = waitedToRun(pid)
		looks    = make(chan error, 1)
		looking  bool
		probing  = make(chan struct{}, 1)
		isProbed bool
	)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if looking {
			<-looks
		}
		if isProbed {
			<-probing
		}
	}()
	for {
		select {
		case <-c.gone.Done():
			return
		case <-ctx.Done():
			return
		case err := <-looks:
			looking = false
			if err == nil {
				answered = time.Now()
			}
			continue
		case <-probing:
			isProbed = false
			continue
		case <-tick.C:
		}
		now, hung := time.Now(), ""
		waited := waitedToRun(pid)
		lost := waited - delayed
		if gap := now.Sub(ticked); gap > silence/2 {
			// We did not run ourselves: the machine was halted, or had no time for
			// anybody. The child has had none either.
			lost = max(lost, gap)
		}
		ticked, delayed = now, waited
		if lost > 0 {
			answered = later(answered, lost, now)
			c.pulse.excuse(lost, now)
		}
		switch {
		case now.Sub(answered) > silence:
			hung = fmt.Sprintf("it did not answer for %v", silence)
		case c.pulse.stalled(now, batch):
			hung = "it made no progress with what it was asked"
		}
		if hung != "" {
			c.hang(hung)
			return
		}
		if !looking {
			looking = true
			go func() { looks <- c.look(ctx, silence) }()
		}
		if !isProbed && c.pulse.due(now, c.o.idle) {
			isProbed = true
			go func() { c.probe(ctx); probing <- struct{}{} }()
		}
	}
}

// look asks for the slots: unlike /health, that is answered by the thread that
// hands out the work.
func (c *child) look(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	k := c.begin(ctx)
	defer k.cancel()
	var slots []struct{}
	return k.do("/slots", nil, &slots)
}

// probe proves an idle child. One that does not answer is seen to stall.
func (c *child) probe(ctx context.Context) {
	k := c.begin(ctx)
	defer k.cancel()
	tokens, adapters := c.pulse.remembered()
	w := c.pulse.begin(len(tokens), k.cancel)
	var err error
	switch c.o.Kind {
	case Embed:
		_, err = k.embed([][]int{tokens}, c.dimension)
	case Rank:
		_, err = k.logits([][]int{tokens})
	default:
		_, err = k.try(tokens, adapters, true)
	}
	if err == nil {
		w.progress(0, true)
	}
	// A child that answers with an error at once is no proof and no stall.
	if err != nil && c.gone.Err() == nil && ctx.Err() == nil && !errors.Is(err, errUnreached) && !errors.Is(err, inference.ErrEngineLost) {
		c.hang("it failed when it was tried")
	}
	w.done(false)
}
