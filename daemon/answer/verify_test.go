package answer

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/inference"
)

const dose = "Starting metformin is not recommended when the eGFR is between 30 and 45 mL/min/1.73 m²."

// judgement is an Entailer that says what a test wants.
type judgement struct {
	entail float32
	err    error
	hang   bool
	panics bool
	short  bool
}

func (judgement) Model() string { return "test judge" }
func (j judgement) Entail(ctx context.Context, pairs []inference.Pair) ([]inference.Probabilities, error) {
	if j.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if j.panics {
		panic("judge")
	}
	if j.short {
		return nil, nil
	}
	out := make([]inference.Probabilities, len(pairs))
	for i := range out {
		out[i] = inference.Probabilities{Entail: j.entail, Neutral: 1 - j.entail}
	}
	return out, j.err
}

func judged(t *testing.T, g inference.Generator, judge func(context.Context) (inference.Entailer, error)) *Service {
	return &Service{Index: sample(t), Generator: func(context.Context) (inference.Generator, error) { return g, nil }, Entailer: judge}
}

// What the judge says decides between grounded, partly and withheld; a judge that
// fails in any way passes nothing.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		judge      inference.Entailer
		support    string // "": withheld
		unverified int
	}{
		{"sure", judgement{entail: 0.93}, Grounded, 0},
		{"just", judgement{entail: 0.8}, Grounded, 0},
		{"half", judgement{entail: 0.5}, Partly, 0},
		{"below", judgement{entail: 0.4999}, "", 0},
		{"error", judgement{entail: 1, err: errors.New("no")}, "", 1},
		{"NaN", judgement{entail: float32(math.NaN())}, "", 1},
		{"no probability", judgement{entail: 7}, "", 1},
		{"too few", judgement{short: true}, "", 1},
		{"panic", judgement{panics: true}, "", 1},
		{"none", nil, "", 1},
	} {
		s := judged(t, writes{text: dose}, func(context.Context) (inference.Entailer, error) { return c.judge, nil })
		a, err := s.Ask(t.Context(), Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{})
		if err != nil || a.Verification == nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if a.Verification.Unverified != c.unverified {
			t.Errorf("%s: %d unverified, want %d", c.name, a.Verification.Unverified, c.unverified)
		}
		if c.support == "" {
			if a.Mode != ModeExtractive || a.Withheld != 1 {
				t.Errorf("%s: shown: %+v", c.name, a.Claims)
			}
			continue
		}
		if a.Mode != ModeGenerated || len(a.Claims) != 1 || a.Claims[0].Support != c.support || a.Claims[0].Score < 0.5 {
			t.Errorf("%s: %s %+v", c.name, a.Mode, a.Claims)
		}
	}
}

// A judge that never answers holds nobody longer than its limit: here the caller's.
func TestJudgeHangs(t *testing.T) {
	t.Parallel()
	s := judged(t, writes{text: dose}, func(context.Context) (inference.Entailer, error) { return judgement{hang: true}, nil })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Ask(ctx, Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// turns says another text at each call, and keeps the instructions of each.
type turns struct {
	mu    sync.Mutex
	texts []string
	asked []string
}

func (*turns) Model() string { return "test" }
func (g *turns) Generate(ctx context.Context, req inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	g.mu.Lock()
	text := g.texts[min(len(g.asked), len(g.texts)-1)]
	g.asked = append(g.asked, req.Messages[0].Content)
	g.mu.Unlock()
	return writes{text: text}.Generate(ctx, req, emit)
}

// Where sentences fail the model is asked once more, more strictly, and no third time.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	lie := strings.Replace(dose, "45", "60", 1)
	for _, c := range []struct {
		name   string
		texts  []string
		calls  int
		claims []string
		held   int
	}{
		{"true at once", []string{dose}, 1, []string{dose}, 0},
		{"mended", []string{lie, dose}, 2, []string{dose}, 1},
		{"lies twice", []string{lie, strings.Replace(dose, "30", "3", 1), dose}, 2, nil, 2},
		{"the same twice", []string{dose + " " + lie}, 2, []string{dose}, 1},
	} {
		g := &turns{texts: c.texts}
		var events []string
		a, err := judged(t, g, builtinJudge).Ask(t.Context(), Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{
			Claim: func(c Claim) { events = append(events, c.Text) }})
		if err != nil {
			t.Fatal(err)
		}
		if len(g.asked) != c.calls || a.Withheld != c.held || a.Verification.Regenerated != (c.calls > 1) {
			t.Errorf("%s: %d calls, %d withheld, %+v", c.name, len(g.asked), a.Withheld, *a.Verification)
		}
		if c.calls > 1 && !strings.Contains(g.asked[1], "word for word") {
			t.Errorf("%s: asked again as before", c.name)
		}
		if c.claims != nil && !slices.Equal(events, c.claims) {
			t.Errorf("%s: %q", c.name, events)
		}
		if slices.Contains(events, lie) {
			t.Errorf("%s: the lie was sent", c.name)
		}
	}
}

// A passage that the model names is left out of what is shown, and must be the one
// that bears the sentence out.
func TestNamedPassages(t *testing.T) {
	t.Parallel()
	body := strings.TrimSuffix(dose, ".")
	for _, c := range []struct {
		mark  string
		shown bool
	}{{"", true}, {" [99]", false}, {" [0]", false}} {
		a, err := judged(t, writes{text: body + c.mark + "."}, builtinJudge).Ask(t.Context(), Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if shown := a.Mode == ModeGenerated; shown != c.shown {
			t.Errorf("%q: shown %v", c.mark, shown)
		}
	}
	right := 0
	for n := range 9 {
		a, err := judged(t, writes{text: body + " [" + string(rune('0'+n)) + "]."}, builtinJudge).Ask(t.Context(), Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Mode == ModeGenerated {
			right++
			if a.Claims[0].Text != dose {
				t.Errorf("shown as %q", a.Claims[0].Text)
			}
		}
	}
	if right == 0 || right > 3 {
		t.Errorf("%d of the numbers were taken for right", right)
	}
}

// A sentence that was cut off may have lost what turns it round.
func TestCutOff(t *testing.T) {
	t.Parallel()
	g := cut{writes{text: dose + " Metformin is contraindicated when the eGFR is below 30 mL/min/1.73 m² unl"}}
	a, err := judged(t, g, builtinJudge).Ask(t.Context(), Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{})
	if err != nil || len(a.Claims) != 1 || a.Claims[0].Text != dose {
		t.Errorf("%v %+v", err, a)
	}
}

type cut struct{ writes }

func (c cut) Generate(ctx context.Context, req inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	r, err := c.writes.Generate(ctx, req, emit)
	r.FinishReason = "length"
	return r, err
}
