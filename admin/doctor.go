package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/api"
	"rxedge/daemon/config"
	"rxedge/daemon/health"
)

// Outcomes of a condition that was looked for.
const (
	outcomeOK   = "ok"
	outcomeNote = "note" // it works; somebody should know
	outcomeWarn = "warn" // it works, worse than it could
	outcomeFail = "fail" // something does not work
	outcomeSkip = "skip" // it could not be looked for
)

// diagnosis is what was found of one condition.
type diagnosis struct {
	Code     string          `json:"code"`
	Outcome  string          `json:"outcome"`
	Severity health.Severity `json:"severity"` // of the condition, as it shows here
	Title    string          `json:"title"`
	Finding  string          `json:"finding"`
	Fix      string          `json:"fix,omitempty"`
	// Because is the code of what is to be mended first.
	Because string `json:"because,omitempty"`
	// Fixed says what --fix did.
	Fixed string `json:"fixed,omitempty"`
}

// repair is what --fix may do: nothing that could lose data.
type repair struct {
	what string // is asked for: "take the right to read FILE from others"
	do   func(context.Context) error
	last bool // after all checks, as it needs the data folder for itself
}

// look is one check: what it looks for, and what it found.
type look struct {
	name string // on its line where all is well
	of   []*health.Condition
	rest bool // finds what the box itself finds, whatever it is
	run  func(context.Context, *patient, *seen)
}

// seen by one look.
type seen struct {
	found   []health.Finding
	repairs map[string]repair // by code
	ok      string            // what is well, in a few words
	skip    string            // why it could not look; "": it did
}

func (s *seen) find(f health.Finding) { s.found = append(s.found, f) }

// mend offers what --fix would do about a finding.
func (s *seen) mend(f health.Finding, r repair) {
	s.find(f)
	if s.repairs == nil {
		s.repairs = map[string]repair{}
	}
	s.repairs[f.Code] = r
}

// patient is what the checks look at. What several of them need is looked up once.
type patient struct {
	app    *app
	cfg    config.Config
	cfgErr error
	quick  bool

	svc    *service
	st     station
	stErr  error
	opened bool
	status *api.Health
	back   func() error // to the user that this process was
}

// looks in the order in which things depend on one another.
var looks []look

func init() { // they use it
	looks = slices.Concat(folderLooks, machineLooks, fileLooks, serviceLooks, cardLooks, boxLooks, modelLooks, linkLooks)
}

func (a *app) doctor() *cobra.Command {
	var (
		fix, yes, quick bool
		explain         string
		only            []string
	)
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, and how to mend it",
		Long: `Look for every condition that rxedge knows, in the order in which things depend on one
another, and name for each that holds the command or the act that mends it: what is to
be mended first is at the top, and what is wrong because of it says so.

It works beside a running service, through its socket, and where that is stopped, hangs
or never was. A stopped box is opened as a start would open it. Run it as root or as
the service's user: others see less.

Nothing is changed without --fix, which asks before each thing it does, and does only
what can lose no data: permissions and owners, files left over, the service's start.

Exit code 4 where a condition of severity error or critical holds.`,
		Example: `  rxedge doctor
  rxedge doctor --fix
  rxedge doctor --explain port-taken
  rxedge doctor --only disk-low,disk-full --json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if explain != "" {
				return a.explain(explain)
			}
			for _, code := range only {
				if health.Lookup(code) == nil {
					return usage("there is no condition %q; 'rxedge doctor --json' has the codes of all", code)
				}
			}
			if a.json && fix && !yes {
				return usage("--fix asks, which it can't with --json; say --yes")
			}
			return a.examine(c.Context(), quick, only, fix, yes)
		},
	}
	c.Flags().BoolVar(&fix, "fix", false, "mend what can be mended without losing data; asks before each")
	c.Flags().BoolVar(&yes, "yes", false, "with --fix: do not ask")
	c.Flags().BoolVar(&quick, "quick", false, "leave out what takes long: reading the index and the models again")
	c.Flags().StringVar(&explain, "explain", "", "print what a condition means, by its `code`")
	c.Flags().StringSliceVar(&only, "only", nil, "look for these conditions alone, by `codes`")
	return c
}

func (a *app) explain(code string) error {
	c := health.Lookup(code)
	if c == nil {
		return fmt.Errorf("%w: there is no condition %q; 'rxedge doctor --json' has the codes of all", errNotFound, code)
	}
	if a.json {
		return a.print(struct {
			Code     string          `json:"code"`
			Severity health.Severity `json:"severity"`
			Title    string          `json:"title"`
			Text     string          `json:"text"`
			Fix      string          `json:"fix"`
		}{c.Code, c.Severity, c.Title, c.Text, c.Fix})
	}
	a.printf("%s\n\n%s", c.Code, c.Explain())
	return nil
}

// examine the box.
func (a *app) examine(ctx context.Context, quick bool, only []string, fix, yes bool) error {
	p := &patient{app: a, quick: quick}
	if p.cfg, p.cfgErr = a.settings(); p.cfgErr != nil {
		data := p.cfg.Data
		p.cfg = config.Default()
		if data != "" {
			p.cfg.Data = data
		}
		if a.data != "" {
			p.cfg.Data = a.data
		}
	}
	defer func() { _ = p.close() }()
	wanted := func(code string) bool { return len(only) == 0 || slices.Contains(only, code) }
	var (
		found []health.Finding
		well  []string             // lines
		by    = map[string]*seen{} // what looked for a code
		fixed = map[string]string{}
		last  []repair
		codes []string // of last
	)
	for i := range looks {
		l := &looks[i]
		if l.rest && !needsRest(only) || !l.rest && !slices.ContainsFunc(l.of, func(c *health.Condition) bool { return wanted(c.Code) }) {
			continue
		}
		s := &seen{}
		l.run(ctx, p, s)
		if err := ctx.Err(); err != nil {
			return err
		}
		if fix {
			again := false
			for _, f := range s.found {
				r, ok := s.repairs[f.Code]
				if !ok || !wanted(f.Code) {
					continue
				}
				if r.last {
					last, codes = append(last, r), append(codes, f.Code)
					continue
				}
				if done, err := a.do(ctx, f, r, yes); err != nil {
					return err
				} else if done {
					fixed[f.Code], again = r.what, true
				}
			}
			if again {
				s = &seen{}
				l.run(ctx, p, s)
			}
		}
		for _, f := range s.found {
			if wanted(f.Code) && !slices.ContainsFunc(found, func(g health.Finding) bool { return g.Code == f.Code && (l.rest || g.Detail == f.Detail) }) {
				found = append(found, f)
			}
		}
		for _, c := range l.of {
			if prev := by[c.Code]; prev == nil || prev.skip != "" {
				by[c.Code] = s
			}
		}
		if len(s.found) == 0 && s.skip == "" && s.ok != "" {
			well = append(well, fmt.Sprintf("ok        %-20s %s", l.name, s.ok))
		}
	}
	if err := p.close(); err != nil {
		return err
	}
	for i, r := range last {
		f := found[slices.IndexFunc(found, func(f health.Finding) bool { return f.Code == codes[i] })]
		if done, err := a.do(ctx, f, r, yes); err != nil {
			return err
		} else if done {
			fixed[f.Code] = r.what
			found = slices.DeleteFunc(found, func(g health.Finding) bool { return g.Code == f.Code })
		}
	}
	return a.conclude(diagnose(p, health.Arrange(found), by, fixed, wanted), well)
}

// needsRest says whether one of the codes is found by the box alone.
func needsRest(only []string) bool {
	own := func(code string) bool {
		return slices.ContainsFunc(looks, func(l look) bool {
			return !l.rest && slices.ContainsFunc(l.of, func(c *health.Condition) bool { return c.Code == code })
		})
	}
	return len(only) == 0 || slices.ContainsFunc(only, func(code string) bool { return !own(code) })
}

// do a repair, if it is wanted.
func (a *app) do(ctx context.Context, f health.Finding, r repair, yes bool) (bool, error) {
	if !yes {
		a.note("%s: %s\n  %s? [y/N] ", f.Code, f.Detail, r.what)
		said, _ := a.readLine()
		if s := strings.ToLower(strings.TrimSpace(said)); s != "y" && s != "yes" {
			a.note("left as it is\n")
			return false, nil
		}
	}
	if err := r.do(ctx); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		a.note("%s: it did not work: %v\n", f.Code, err)
		return false, nil
	}
	return true, nil
}

// readLine of what the user types; a byte at a time, as the next question is the next
// reader's.
func (a *app) readLine() (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := a.in.Read(b)
		if n == 1 && b[0] == '\n' || err != nil {
			return string(line), err
		}
		line = append(line, b[:n]...)
	}
}

// diagnose every condition that was wanted: first those that hold, what is to be mended
// first at the front; then the others, in the order of conditions.
func diagnose(p *patient, found []health.Finding, by map[string]*seen, fixed map[string]string, wanted func(string) bool) []diagnosis {
	out := []diagnosis{}
	holds := map[string]bool{}
	for _, f := range found {
		holds[f.Code] = true
		outcome := outcomeFail
		switch f.Severity {
		case health.Notice:
			outcome = outcomeNote
		case health.Warning:
			outcome = outcomeWarn
		}
		out = append(out, diagnosis{Code: f.Code, Outcome: outcome, Severity: f.Severity, Title: f.Title, Finding: f.Detail, Fix: f.Fix, Because: f.Because, Fixed: fixed[f.Code]})
	}
	for _, c := range health.All() {
		if holds[c.Code] || !wanted(c.Code) {
			continue
		}
		d := diagnosis{Code: c.Code, Outcome: outcomeOK, Severity: c.Severity, Title: c.Title, Fixed: fixed[c.Code]}
		switch s := by[c.Code]; {
		case s != nil && s.skip == "":
			d.Finding = s.ok
		case p.status != nil: // the box looks for it by itself
		case s != nil:
			d.Outcome, d.Finding = outcomeSkip, s.skip
		default:
			d.Outcome, d.Finding = outcomeSkip, "the box can't be asked"
		}
		out = append(out, d)
	}
	return out
}

// conclude: print it all, and refuse where something does not work.
func (a *app) conclude(all []diagnosis, well []string) error {
	n := map[string]int{}
	for _, d := range all {
		n[d.Outcome]++
	}
	if a.json {
		if err := a.print(all); err != nil {
			return err
		}
	} else {
		a.show(all, well, n)
	}
	if f := n[outcomeFail]; f > 0 {
		return &refusedError{fmt.Sprintf("%d of %d conditions that were looked for hold and are errors", f, len(all)-n[outcomeSkip])}
	}
	return nil
}

func (a *app) show(all []diagnosis, well []string, n map[string]int) {
	for _, d := range all {
		if d.Outcome == outcomeOK || d.Outcome == outcomeSkip {
			continue
		}
		a.printf("%-9s %-20s %s\n", d.Severity, d.Code, d.Finding)
		switch {
		case d.Because != "":
			a.printf("%30s because of %s\n", "", d.Because)
		case d.Fixed != "":
			a.printf("%30s done, and it still holds: %s\n%30s mend: %s\n", "", d.Fixed, "", d.Fix)
		default:
			a.printf("%30s mend: %s\n", "", d.Fix)
		}
	}
	for _, d := range all {
		if d.Outcome == outcomeOK && d.Fixed != "" {
			a.printf("fixed     %-20s %s\n", d.Code, d.Fixed)
		}
	}
	for _, l := range well {
		a.printf("%s\n", l)
	}
	var skipped []string
	why := ""
	for _, d := range all {
		if d.Outcome == outcomeSkip {
			skipped = append(skipped, d.Code)
			why = d.Finding
		}
	}
	if len(skipped) > 0 {
		a.printf("skipped   %s\n", strings.TrimSpace(wrap(fmt.Sprintf("%d conditions (%s): %s", len(skipped), why, strings.Join(skipped, ", ")), "          ", lineWidth)))
	}
	a.printf("\n%d conditions were looked for: %d of them are errors, %d warnings, %d notices.\n", len(all)-len(skipped), n[outcomeFail], n[outcomeWarn], n[outcomeNote])
}

// close what was opened, once.
func (p *patient) close() error {
	var errs []error
	if p.st != nil {
		errs = append(errs, p.st.Close())
		p.st = nil
	}
	if p.back != nil {
		errs = append(errs, p.back())
		p.back = nil
	}
	return errors.Join(errs...)
}
