package guard

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Model is what is trained. Every member gives log-odds that an answer is wrong;
// the stack weighs them.
type Model struct {
	Mean, Scale Vector   // features are taken less Mean, divided by Scale
	Members     []Member `json:"members"`
	// Stack is a logistic regression over the members' log-odds.
	Bias  float64   `json:"bias"`
	Stack []float64 `json:"stack"`
	// Threshold of the ROC curve, from which an answer had better be none; Some
	// from which a doubt is worth showing.
	Threshold float64 `json:"threshold"`
	Some      float64 `json:"some"`
	// Background are answers that explanations compare with.
	Background []Vector `json:"background"`
}

// Member is a logistic regression (Weights) or boosted trees (Trees).
type Member struct {
	Name    string    `json:"name"`
	Bias    float64   `json:"bias"`
	Weights []float64 `json:"weights,omitempty"` // of standardised features
	Trees   []Tree    `json:"trees,omitempty"`
}

// Tree of depth two at most: a split, and a split or none on each side.
type Tree struct {
	Feature   [3]int     `json:"f"` // root, left, right; −1: no split
	Threshold [3]float64 `json:"t"`
	Leaf      [4]float64 `json:"v"` // left of left, right of left, left of right, right of right
}

// Value of the leaf that x falls in.
func (t *Tree) Value(x *Vector) float64 {
	side := 0
	if x[t.Feature[0]] > t.Threshold[0] {
		side = 1
	}
	leaf := 2 * side
	if f := t.Feature[1+side]; f >= 0 && x[f] > t.Threshold[1+side] {
		leaf++
	}
	return t.Leaf[leaf]
}

// LogOdds of a member, for a standardised vector.
func (m *Member) LogOdds(x *Vector) float64 {
	s := m.Bias
	for i, w := range m.Weights {
		s += w * x[i]
	}
	for i := range m.Trees {
		s += m.Trees[i].Value(x)
	}
	return s
}

// Standard is v less the mean, by the scale.
func (m *Model) Standard(v *Vector) (x Vector) {
	for i := range v {
		x[i] = (v[i] - m.Mean[i]) / m.Scale[i]
	}
	return x
}

// Wrong is the probability that an answer of those features is wrong or should be
// none. A feature that is no number makes it 1: what is not known is not trusted.
func (m *Model) Wrong(v *Vector) float64 {
	if !v.valid() {
		return 1
	}
	x := m.Standard(v)
	s := m.Bias
	for i := range m.Members {
		s += m.Stack[i] * m.Members[i].LogOdds(&x)
	}
	return Logistic(s)
}

// Logistic function.
func Logistic(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

//go:embed model.json
var embedded []byte

// Builtin is the model that is built in; it is written by 'make guard-model' and
// read by a test, so an error is a broken build.
var Builtin = sync.OnceValue(func() *Model {
	m, err := Decode(embedded)
	if err != nil {
		panic(fmt.Sprintf("the embedded model of the guard: %v", err))
	}
	return m
})

var errDamaged = errors.New("not a model of the guard")

// Decode reads a model and checks that it can be used.
func Decode(data []byte) (*Model, error) {
	m := &Model{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, err
	}
	if len(m.Members) == 0 || len(m.Stack) != len(m.Members) || len(m.Background) == 0 {
		return nil, errDamaged
	}
	for i := range m.Scale {
		if !(m.Scale[i] > 0) {
			return nil, errDamaged
		}
	}
	for _, k := range m.Members {
		if len(k.Weights) != 0 && len(k.Weights) != Size {
			return nil, errDamaged
		}
		for _, t := range k.Trees {
			if t.Feature[0] < 0 {
				return nil, errDamaged
			}
			for _, f := range t.Feature {
				if f < -1 || f >= Size {
					return nil, errDamaged
				}
			}
		}
	}
	return m, nil
}

// Encode writes the model; the same model gives the same bytes.
func (m *Model) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", " ")
	return append(b, '\n'), err
}
