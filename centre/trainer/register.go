package trainer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/record"
)

// Names of the files of a registered model in the request's folder.
const (
	ModelFile   = "model.rxe"
	MetricsFile = "metrics.json"
)

// Metrics of a model beside the champion, both measured in the same way.
type Metrics struct {
	Schema  int    `json:"schema"`
	Request string `json:"request"` // its id
	Model   string `json:"model"`   // SHA-256 of the file
	// Golden questions of the channel; nil: there are none.
	Golden *Contest `json:"golden"`
	// HeldOut are made-up questions, in wordings that nothing was trained on, as often of
	// each kind as they are asked now.
	HeldOut Contest `json:"held_out"`
	Trained Trained `json:"trained"`
}

// Contest of champion and challenger over the same questions.
type Contest struct {
	Questions  int     `json:"questions"`
	Champion   Quality `json:"champion"`
	Challenger Quality `json:"challenger"`
}

// Quality of retrieval of sections, means over the questions: as a site searches, and by
// vectors alone.
type Quality struct {
	NDCG10  float64 `json:"ndcg@10"`
	Recall5 float64 `json:"recall@5"`
	MRR     float64 `json:"mrr"`
	Dense   float64 `json:"ndcg@10_vectors_alone"`
}

// Trained says how a model was made.
type Trained struct {
	Program string  `json:"program"`
	Seed    uint64  `json:"seed"`
	Epochs  int     `json:"epochs"`
	Pairs   int     `json:"pairs"` // of an epoch
	Loss    float64 `json:"loss"`  // of the last
}

// RefusedError is a model that is not taken; nothing was changed.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// maxMetrics is the most bytes of a file of metrics.
const maxMetrics = 64 << 10

// ParseMetrics reads metrics, strictly.
func ParseMetrics(b []byte) (*Metrics, error) {
	if len(b) > maxMetrics {
		return nil, refuse("the metrics have %d bytes; the most is %d", len(b), maxMetrics)
	}
	m := &Metrics{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, refuse("the metrics can't be read: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse("the metrics can't be read: something follows them")
	}
	if m.Schema != Schema {
		return nil, refuse("the metrics are of schema %d, and this rxedge reads %d", m.Schema, Schema)
	}
	return m, nil
}

// Register a model that was made for a request: it is taken where it is what was asked
// for, loads, and is no worse than the champion. Registered again it changes nothing.
func (t *Trainer) Register(ctx context.Context, id, model, metrics string, by central.By) (*central.Matter, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	m, err := t.matter(id)
	if err != nil {
		return nil, err
	}
	if m.Step(record.RetrainExported) == nil {
		return nil, refuse("%s is %s: what is to be trained was not exported yet; another person than %s approves it, and 'rxedge central retrain run' exports it", id, m.State, m.Who)
	}
	q, err := t.ReadRequest(m)
	if err != nil {
		return nil, err
	}
	raw, sum, err := readModel(model, q)
	if err != nil {
		return nil, err
	}
	mb, err := os.ReadFile(metrics)
	if err != nil {
		return nil, err
	}
	given, err := ParseMetrics(mb)
	if err != nil {
		return nil, err
	}
	if was, err := RegisteredOf(m); err != nil {
		return nil, err
	} else if was != nil {
		if was.SHA256 == sum {
			return m, nil
		}
		return nil, refuse("%s has a model already, %.12s; it is %s", id, was.SHA256, m.State)
	}
	switch {
	case m.State != "exported":
		return nil, refuse("%s is %s", id, m.State)
	case time.Now().After(q.Deadline):
		return nil, refuse("the deadline of %s was %s", id, q.Deadline.Format(time.DateTime))
	case given.Request != id || given.Model != sum:
		return nil, refuse("the metrics are of %s and model %.12s, not of %s and %.12s", given.Request, given.Model, id, sum)
	case sum == q.Model.Champion.SHA256:
		return nil, refuse("it is the model that serves")
	}
	dir := t.Dir(id)
	if t.Measure != nil {
		measured, err := t.Measure(ctx, dir, q, model)
		if err != nil {
			return nil, fmt.Errorf("measuring the model: %w", err)
		}
		if err := same(given, measured); err != nil {
			return nil, err
		}
	}
	if err := q.Beat.judge(given); err != nil {
		return nil, err
	}
	if err := keep(dir, ModelFile, raw); err != nil {
		return nil, err
	}
	if err := keep(dir, MetricsFile, mb); err != nil {
		return nil, err
	}
	x, err := data1[Exported](m, record.RetrainExported)
	if err != nil {
		return nil, err
	}
	mh := sha256.Sum256(mb)
	m, _, err = t.Folder.Advance(id, record.RetrainRegistered, Registered{Request: x.Request, Name: id + ".rxe", SHA256: sum, Size: int64(len(raw)), Champion: q.Model.Champion.SHA256,
		Documents: q.Documents.SHA256, Metrics: hex.EncodeToString(mh[:]), Figures: *given}, by)
	return m, err
}

// readModel reads the file of a model as a site will.
func readModel(path string, q *Request) (raw []byte, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if raw, err = io.ReadAll(io.LimitReader(f, q.Model.MaxBytes+1)); err != nil {
		return nil, "", err
	}
	if int64(len(raw)) > q.Model.MaxBytes {
		return nil, "", refuse("the model has more than the %d bytes that %s allows", q.Model.MaxBytes, q.ID)
	}
	if _, err := semantic.Read(raw); err != nil {
		return nil, "", refuse("%s does not load as %s: %v", filepath.Base(path), q.Model.Format, err)
	}
	h := sha256.Sum256(raw)
	return raw, hex.EncodeToString(h[:]), nil
}

// same says whether figures are those that were measured here.
func same(given, here *Metrics) error {
	if (given.Golden == nil) != (here.Golden == nil) {
		return refuse("the metrics and the request's folder do not agree on whether there are golden questions")
	}
	pairs := [][2]*Contest{{&given.HeldOut, &here.HeldOut}}
	if given.Golden != nil {
		pairs = append(pairs, [2]*Contest{given.Golden, here.Golden})
	}
	for _, p := range pairs {
		a, b := p[0], p[1]
		if a.Questions != b.Questions {
			return refuse("the metrics are of %d questions; measured here there are %d", a.Questions, b.Questions)
		}
		for _, x := range [][2]float64{{a.Champion.NDCG10, b.Champion.NDCG10}, {a.Challenger.NDCG10, b.Challenger.NDCG10}} {
			// The processor may round otherwise, and one near tie fall the other way.
			if !(math.Abs(x[0]-x[1]) <= 1/float64(max(a.Questions, 1))) {
				return refuse("the metrics say nDCG@10 %.4f; measured here it is %.4f", x[0], x[1])
			}
		}
	}
	return nil
}

// judge whether a model is good enough to be tried by sites.
func (b *Beat) judge(m *Metrics) error {
	if m.HeldOut.Questions == 0 {
		return refuse("it was measured by no question")
	}
	c, x := m.HeldOut.Champion.NDCG10, m.HeldOut.Challenger.NDCG10
	if !(x >= c+b.HeldOutGain) {
		return refuse("held-out questions: nDCG@10 %.4f, the champion has %.4f and at least %+.4f is asked for", x, c, b.HeldOutGain)
	}
	if g := m.Golden; g != nil && g.Questions > 0 && !(g.Challenger.NDCG10 >= g.Champion.NDCG10-b.GoldenLoss) {
		return refuse("golden questions: nDCG@10 %.4f, the champion has %.4f and may be above it by at most %.4f", g.Challenger.NDCG10, g.Champion.NDCG10, b.GoldenLoss)
	}
	return nil
}

// keep a file of the request's folder, on disk when it returns.
func keep(dir, name string, b []byte) error {
	tmp, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	return err
}

// modelOf a matter that was registered, checked against what is on record.
func (t *Trainer) modelOf(m *central.Matter, r *Registered) (path string, err error) {
	path = filepath.Join(t.Dir(m.ID), ModelFile)
	b, err := os.ReadFile(path)
	if err == nil && bundle.HashOf(b).String() != r.SHA256 {
		err = fmt.Errorf("%s is not the model that is on record; restore the folder from its backup", path)
	}
	return path, err
}
