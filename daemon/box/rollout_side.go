package box

import (
	"context"
	"errors"
	"time"

	"rxedge/daemon/answer"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/pace"
	"rxedge/inference"
)

// givesWay is how long a question that nobody waits for lets others go first.
const givesWay = 250 * time.Millisecond

// mostPutOff is how often it is put off for one that came while it was worked on:
// it ends on a busy box, too.
const mostPutOff = 3

var errPutOff = errors.New("somebody asks meanwhile")

// aside is all that nobody waits for of one piece of work, such as judging a
// candidate, in one goroutine. Whoever waits for an answer comes first.
type aside struct {
	askers *pace.Askers
	work   *pace.Work
	ran    time.Duration // the question before
}

// behind is a context of work that nobody waits for, and what its questions are asked by.
func (b *Box) behind(ctx context.Context) (context.Context, *aside) {
	ctx = pace.Behind(ctx, &b.rollout.asking)
	work := pace.BeginIn(ctx)
	return ctx, &aside{askers: &b.rollout.asking, work: &work}
}

// ask when nobody waits for an answer, and again where somebody comes meanwhile. The
// time before it was asked last is in the answer's Timings.Queue.
func (d *aside) ask(ctx context.Context, ask func(context.Context) (*answer.Answer, error)) (*answer.Answer, error) {
	came := time.Now()
	for putOff := 0; ; putOff++ {
		d.work.Rest(ctx, d.ran)
		waited := d.askers.Idle(ctx, givesWay)
		began := time.Now()
		try := ask
		if putOff < mostPutOff && waited < givesWay { // where there is always somebody it is asked beside them
			try = func(ctx context.Context) (*answer.Answer, error) { return d.try(ctx, ask) }
		}
		a, err := try(ctx)
		d.ran = time.Since(began)
		if errors.Is(err, errPutOff) {
			continue
		}
		if a != nil {
			c := *a
			c.Timings.Queue += float64(began.Sub(came).Microseconds()) / 1000
			a = &c
		}
		return a, err
	}
}

// try is ended with errPutOff where somebody begins to wait.
func (d *aside) try(ctx context.Context, ask func(context.Context) (*answer.Answer, error)) (*answer.Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := d.askers.Begun()
	go func() {
		select {
		case <-begun:
			cancel(errPutOff)
		case <-ctx.Done():
		}
	}()
	a, err := ask(ctx)
	if errors.Is(context.Cause(ctx), errPutOff) {
		return nil, errPutOff // an answer may lack what was cut off
	}
	return a, err
}

// side is a pair that is asked and not observed.
type side struct {
	q *question
	*aside
}

// Ask implements validate.Side.
func (s side) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	return s.ask(ctx, func(ctx context.Context) (*answer.Answer, error) {
		return s.q.b.Answers.Ask(answer.WithServing(ctx, s.q), q, ev)
	})
}

// Document implements validate.Side.
func (s side) Document(_ context.Context, id string) (*document.Document, error) {
	return s.q.snap.Document(id)
}

// Section implements validate.Side.
func (s side) Section(_ context.Context, id string) (index.SectionRef, error) {
	return s.q.snap.Section(id)
}

// paced is a generation that is read to be compared: by one goroutine, which
// stands back for those who ask.
type paced struct {
	*index.Snapshot
	work *pace.Work
}

// Document of the generation.
func (p paced) Document(id string) (*document.Document, error) {
	p.work.Pause()
	return p.Snapshot.Document(id)
}

// afterAskers is a generator that begins when nobody asks.
type afterAskers struct {
	inference.Generator
	*aside
}

// Generate implements inference.Generator.
func (g afterAskers) Generate(ctx context.Context, req inference.GenerateRequest, emit func(piece string) error) (inference.GenerateResult, error) {
	g.work.Rest(ctx, g.ran)
	g.askers.Idle(ctx, givesWay)
	began := time.Now()
	defer func() { g.ran = time.Since(began) }()
	return g.Generator.Generate(ctx, req, emit)
}
