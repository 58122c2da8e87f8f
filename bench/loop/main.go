// Command loop runs the whole of a fleet once, on real processes of this machine: a hub of
// three nodes, sites, the centre's commands. Labels are taken in, reviewed and published; a
// changed one waits for a person, is let out in waves, in the midst of which a node of the
// hub is killed, and the sites answer with its new text; then they are asked other questions than before, the
// centre asks for training, a person approves, the embedder is trained anew and goes out in
// waves: each site tries it in the shadow of what serves, on questions that it is asked over
// HTTP, until a sequential test and an approval that a person has signed let it serve and the
// sites have confirmed it. It writes down what was done and printed, and
// ends with 1 at the first thing that is not as it should be.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"rxedge/bench/process"
	"rxedge/centre/trainer"
	"rxedge/inference/semantic"
	"rxedge/sync/central"
)

var (
	sites  = flag.Int("sites", 20, "sites of the fleet")
	folder = flag.String("dir", "", "folder for all of it, kept (default a temporary one)")
	out    = flag.String("out", ".cache/loop.md", "the transcript")
	labels = flag.String("labels", "../shared/data/labels/openfda_20drugs.jsonl", "labels to publish")
	golden = flag.String("golden", "../shared/data/labels/questions_dev.jsonl", "questions with known answers, of which the first are published")
	asked  = flag.Int("golden-questions", 30, "how many of these")
	kill   = flag.Bool("kill-node", true, "kill a node of the hub while the changed label goes out")
	bins   = flag.String("bin", "", "folder with rxedge and rxedged (default they are built)")
)

const (
	question = "What is the maximum daily dose of metformin for an adult?"
	before   = "maximum dose of 2550 mg per day"
	after    = "maximum dose of 2040 mg per day" // made up for this run
	waves    = "10%,50%,100%"
	changed  = "metformin" // the label's id
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	if *sites < 3 || *sites > 200 || *asked < 1 {
		fmt.Fprintln(os.Stderr, "loop: -sites is 3 to 200, -golden-questions 1 at least")
		return 2
	}
	l := &loop{began: time.Now()}
	defer l.close()
	defer l.end()
	if err := l.all(ctx); err != nil {
		l.say("**It is not as it should be after %s: %v**", l.since(), err)
		return 1
	}
	l.say("All of it was as it should be, in %s.", l.since())
	return 0
}

// all of the loop.
func (l *loop) all(ctx context.Context) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	l.say("# The whole loop, once\n\nWritten by `make loop` on %s, %d sites, a hub of 3 nodes, on one machine: each is a process of its own. What follows is what was done and what it printed; paths are cut to the run's folder, long outputs are cut where it says so.", l.began.UTC().Format("2006-01-02 15:04 MST"), *sites)
	for _, part := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"A centre and its hub", l.hub}, {"The first labels, and the sites", l.enrol}, {"A changed label goes out in waves", l.change},
		{"Other questions are asked", l.drift}, {"The centre asks for training", l.request}, {"A model is trained and registered", l.train}, {"The sites try it, and confirm it", l.confirm},
	} {
		l.say("\n## %s (%s)\n", part.title, l.since())
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(part.title), err)
		}
	}
	return nil
}

func (l *loop) hub(ctx context.Context) error {
	addrs, err := ports(6)
	if err != nil {
		return err
	}
	given := []string{"central", "init", "--name", "loop", "--nodes", "3"}
	for _, a := range addrs[:3] {
		given = append(given, "--hub", a)
	}
	if _, err := l.rxedge(ctx, 0, given...); err != nil {
		return err
	}
	f, err := central.Open(l.centre)
	if err != nil {
		return err
	}
	l.folder = f
	l.say("The nodes' configurations are written as `central hub-config` writes them, with ports of their own since all are on one machine.")
	for i := range 3 {
		conf, err := f.WriteNode(filepath.Join(l.dir, fmt.Sprintf("hub-%d", i+1)), central.Node{Number: i + 1, Listen: addrs[i], Cluster: addrs[3+i], Routes: addrs[3:]})
		if err != nil {
			return err
		}
		if err := l.background(ctx, "listens on", "central", "hub", "--config", conf); err != nil {
			return err
		}
	}
	if err := l.background(ctx, "services are ready", "central", "hub", "--services"); err != nil {
		return err
	}
	l.say("What is trained is to be tried at the sites before it serves: is it no worse by more than 0.05 of the answers that are borne out? A gain is not asked for, as most questions are answered as before.")
	if err := l.planTrial(ctx); err != nil {
		return err
	}
	return errFirst(
		l.background(ctx, "", "central", "rollout", "run"),
		l.background(ctx, "", "central", "retrain", "run", "--trial", l.plan, "--waves", waves, "--soak", "1s", "--confirmed", "100", "--every", "2s"),
	)
}

func (l *loop) enrol(ctx context.Context) error {
	v1, g := filepath.Join(l.dir, "labels-1.jsonl"), filepath.Join(l.dir, "golden.jsonl")
	if err := errFirst(copyLines(*labels, v1, 0, "", ""), copyLines(*golden, g, *asked, "", "")); err != nil {
		return err
	}
	if err := l.steps(ctx,
		[]string{"central", "ingest", v1},
		[]string{"central", "review", "run", "--golden", g, "--as", "ann"},
		[]string{"central", "publish", "--library", "--golden", g, "--as", "ann", "--note", "the labels"},
	); err != nil {
		return err
	}
	l.say("Each site has counted a week of questions as pharmacies ask them, made up, before it starts; it signs and sends these days itself.")
	if err := l.startSites(ctx); err != nil {
		return err
	}
	if err := l.until(ctx, "every site serves the labels", 15*time.Minute, func(s *site) (bool, error) {
		st, err := s.rollout(ctx)
		return err == nil && st.Confirmed != nil && st.Confirmed.Bundle == 1, nil
	}); err != nil {
		return err
	}
	if _, err := l.rxedge(ctx, 0, "central", "site", "list"); err != nil {
		return err
	}
	return l.askAll(ctx, question, before)
}

func (l *loop) change(ctx context.Context) error {
	v2 := filepath.Join(l.dir, "labels-2.jsonl")
	if err := copyLines(*labels, v2, 0, before, after); err != nil {
		return err
	}
	if err := l.steps(ctx,
		[]string{"central", "ingest", v2},
		[]string{"central", "review", "run", "--golden", filepath.Join(l.dir, "golden.jsonl"), "--as", "ann"},
		[]string{"central", "review", "list"},
	); err != nil {
		return err
	}
	if out, err := l.rxedge(ctx, 0, "central", "publish", "--library", "--hold", "--as", "ann"); err != nil {
		return err
	} else if !strings.Contains(out, "nothing was published") {
		return errors.New("a changed dose was published that nobody has looked at")
	}
	if err := l.steps(ctx,
		[]string{"central", "review", "show", changed},
		[]string{"central", "review", "approve", changed, "--as", "ann", "--note", "as the letter of 12 May says"},
		[]string{"central", "publish", "--library", "--hold", "--as", "ann", "--note", "metformin: another maximum"},
	); err != nil {
		return err
	}
	if err := l.askAll(ctx, question, before); err != nil { // it is held
		return err
	}
	if _, err := l.rxedge(ctx, 0, "central", "rollout", "create", "--bundle", "2", "--waves", waves, "--soak", "1s", "--confirmed", "100%", "--as", "ann"); err != nil {
		return err
	}
	l.toKill = *kill
	if err := l.rolledOut(ctx, 2); err != nil {
		return err
	}
	if err := l.nodeBack(ctx); err != nil {
		return err
	}
	if err := l.steps(ctx, []string{"central", "rollout", "show", "2"}, []string{"central", "lineage", changed}); err != nil {
		return err
	}
	return l.askAll(ctx, question, after)
}

func (l *loop) drift(ctx context.Context) error {
	if _, err := l.rxedge(ctx, 0, "central", "fleet", "run", "--once"); err != nil {
		return err
	}
	l.say("Windows are of whole days in UTC, and a run takes no week. So each site is stopped, a week of questions is counted in its store of which half are about kidneys and anticoagulants, and it is started again; the days go out signed by its own key, as any.")
	if err := l.shift(ctx); err != nil {
		return err
	}
	for end := time.Now().Add(15 * time.Minute); ; {
		if _, err := l.quiet(ctx, "central", "fleet", "drift", "--json"); err != nil {
			return err
		}
		t, err := l.folder.Taken()
		if err != nil {
			return err
		}
		if t.Windows >= int64(*sites*(quietDays+changedDays)) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d windows came of %d", t.Windows, *sites*(quietDays+changedDays))
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	_, err := l.rxedge(ctx, 0, "central", "fleet", "drift")
	return err
}

func (l *loop) request(ctx context.Context) error {
	if _, err := l.rxedge(ctx, 0, "central", "fleet", "run", "--once"); err != nil {
		return err
	}
	all, err := trainer.Matters(l.folder)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Cause == "/data_drift/kind" {
			l.id = m.ID
		}
	}
	if l.id == "" {
		return fmt.Errorf("of %d requests none is because of the kinds of questions", len(all))
	}
	if _, err := l.rxedge(ctx, 0, "central", "fleet", "approve", l.id, "--as", "ann", "--note", "seen at the counter, too"); err != nil {
		return err
	}
	if err := l.state(ctx, "exported", 3*time.Minute); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(l.centre, "retrain", l.id, trainer.RequestFile))
	if err != nil {
		return err
	}
	var q struct {
		Drift     json.RawMessage `json:"drift"`
		Questions struct {
			Kinds json.RawMessage `json:"kinds"`
		} `json:"questions"`
	}
	if err := json.Unmarshal(b, &q); err != nil {
		return err
	}
	l.say("The request, %d bytes of `%s`; of it what has changed most, and the kinds of questions:", len(b), trainer.RequestFile)
	l.output(string(q.Drift), 24)
	l.output(string(q.Questions.Kinds), 24)
	for _, s := range l.sites {
		if strings.Contains(string(b), s.name) {
			return fmt.Errorf("the request names %s", s.name)
		}
	}
	return nil
}

func (l *loop) train(ctx context.Context) error {
	dir := filepath.Join(l.dir, "trained")
	if _, err := l.rxedge(ctx, 0, "central", "retrain", "train", l.id, "--out", dir); err != nil {
		return err
	}
	_, err := l.rxedge(ctx, 0, "central", "retrain", "register", l.id, "--model", filepath.Join(dir, trainer.ModelFile), "--metrics", filepath.Join(dir, trainer.MetricsFile), "--as", "ann")
	return err
}

func (l *loop) confirm(ctx context.Context) error {
	if err := l.state(ctx, "rolling", 3*time.Minute); err != nil {
		return err
	}
	sum, err := semantic.Sum(filepath.Join(l.dir, "trained", trainer.ModelFile))
	if err != nil {
		return err
	}
	stop, err := l.feed(ctx)
	if err != nil {
		return err
	}
	if err = l.tryIt(ctx, 3, sum); err == nil {
		err = l.rolledOut(ctx, 3)
	}
	n, ferr := stop()
	if err = errors.Join(err, ferr); err != nil {
		return err
	}
	l.say("%d questions were asked over HTTP for it. Every site's trial, as the centre was told:", n)
	if _, err := l.rxedge(ctx, 0, "central", "trial", "show"); err != nil {
		return err
	}
	if err := l.state(ctx, "confirmed", 3*time.Minute); err != nil {
		return err
	}
	if err := l.until(ctx, fmt.Sprintf("every site searches by the embedder %.12s", sum), time.Minute, func(s *site) (bool, error) {
		g, err := s.generation(ctx)
		return err == nil && g.Embedder.SHA256 == sum, nil
	}); err != nil {
		return err
	}
	if _, err := l.rxedge(ctx, 0, "central", "retrain", "show", l.id); err != nil {
		return err
	}
	if _, err := l.rxedgeAt(ctx, l.sites[0].data, 0, "rollout", "status"); err != nil {
		return err
	}
	if err := l.askAll(ctx, question, after); err != nil {
		return err
	}
	_, err = l.rxedge(ctx, 0, "central", "fleet", "record")
	return err
}

// open the folder, the transcript, the programs.
func (l *loop) open(ctx context.Context) (err error) {
	if l.dir = *folder; l.dir == "" {
		if l.dir, err = os.MkdirTemp("", "rxedge-loop-"); err != nil {
			return err
		}
		l.temporary = true
	} else if l.dir, err = filepath.Abs(l.dir); err == nil {
		err = os.MkdirAll(l.dir, 0o700)
	}
	if err != nil {
		return err
	}
	l.centre = filepath.Join(l.dir, "central")
	if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
		return err
	}
	if l.transcript, err = os.Create(*out); err != nil {
		return err
	}
	if *bins != "" {
		l.tool, l.daemon = filepath.Join(*bins, "rxedge"), filepath.Join(*bins, "rxedged")
		return nil
	}
	if l.tool, err = process.Build(ctx, l.dir, "./admin", "rxedge"); err != nil {
		return err
	}
	l.daemon, err = process.Build(ctx, l.dir, "./daemon", "rxedged")
	return err
}
