package rollout

import (
	"fmt"
	"slices"
	"time"
)

// Stage of a version, as registries of models have it.
type Stage string

// Stages.
const (
	None       Stage = "None"
	Staging    Stage = "Staging"
	Production Stage = "Production"
	Archived   Stage = "Archived"
)

// Kinds of versions.
const (
	KindIndex   = "index"
	KindModel   = "model"
	KindAdapter = "adapter"
	KindProfile = "profile"
	// KindEmbedder is a model in place of the built-in embedder.
	KindEmbedder = "embedder"
	// KindThresholds are the guard's thresholds by cohort.
	KindThresholds = "thresholds"
)

// Made says by what a version is told from others of its kind: the way it is
// made, what it was trained by, its data.
type Made struct {
	Algorithm string `json:"algorithm,omitempty"`
	Training  string `json:"training,omitempty"`
	Data      string `json:"data,omitempty"`
}

// Lineage says where a version comes from.
type Lineage struct {
	Documents    string `json:"documents,omitempty"` // hash of the source documents
	Base         string `json:"base,omitempty"`      // the model, or the generation, that it was made from
	Quantisation string `json:"quantisation,omitempty"`
	// Signed says whose signature it came with: channel, bundle, hash of the
	// manifest that the targets key signs; "": made here.
	Signed string `json:"signed,omitempty"`
}

// Version of an index, a model, an adapter or a profile.
type Version struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"` // generation, name in the catalog, name of the file
	Version string `json:"version"`
	SHA256  string `json:"sha256,omitempty"`
	Made
	Lineage Lineage `json:"lineage"`
	// Evaluation is what validation found of the pair it was in.
	Evaluation *Verdict  `json:"evaluation,omitempty"`
	Stage      Stage     `json:"stage"`
	Pair       string    `json:"pair"` // the latest that it was in, by id
	At         time.Time `json:"at"`
}

// number gives v its version: after the latest of its kind, by what is another.
func (s *State) number(v *Version) {
	var last *Version
	for i := range s.Versions {
		if o := &s.Versions[i]; o.Kind == v.Kind {
			last = o
		}
	}
	if last == nil {
		v.Version = "1.0.0"
		return
	}
	var a, b, c int
	if _, err := fmt.Sscanf(last.Version, "%d.%d.%d", &a, &b, &c); err != nil {
		a, b, c = 1, 0, 0
	}
	switch {
	case v.Algorithm != last.Algorithm:
		a, b, c = a+1, 0, 0
	case v.Training != last.Training:
		b, c = b+1, 0
	default:
		c++
	}
	v.Version = fmt.Sprintf("%d.%d.%d", a, b, c)
}

// same says whether v is known: by its hash, or an index by its data.
func (v *Version) same(o *Version) bool {
	return v.Kind == o.Kind && v.Name == o.Name && v.SHA256 == o.SHA256 && v.Made == o.Made
}

// stages brings the registry in step with a record.
func (s *State) stages(r Record) {
	e := s.entries[r.ID]
	for _, v := range r.Versions {
		v.Pair, v.At = r.ID, r.At
		i := slices.IndexFunc(s.Versions, func(o Version) bool { return v.same(&o) })
		if i < 0 {
			s.number(&v)
			s.Versions = append(s.Versions, v)
			continue
		}
		s.Versions[i].Pair, s.Versions[i].At = r.ID, r.At
	}
	for i := range s.Versions {
		v := &s.Versions[i]
		if v.Pair == r.ID && r.Verdict != nil && r.Op != OpRollBack {
			v.Evaluation = r.Verdict
		}
		stage := Archived
		switch {
		case s.Confirmed != nil && (v.Pair == s.Confirmed.ID || s.Confirmed.holds(v)):
			stage = Production
		case s.Candidate != nil && v.Pair == s.Candidate.ID:
			stage = Staging
		case e == nil:
			stage = v.Stage
		}
		v.Stage = stage
	}
}

// holds says whether a version is part of the pair.
func (p *Pair) holds(v *Version) bool {
	f := File{}
	switch v.Kind {
	case KindModel:
		f = p.Model
	case KindAdapter:
		f = p.Adapter
	case KindProfile:
		f = p.Profile
	case KindEmbedder:
		f = p.Embedder
	case KindThresholds:
		f = p.Thresholds
	case KindIndex:
		return v.Name == p.Generation
	}
	return f.SHA256 != "" && f.SHA256 == v.SHA256
}
