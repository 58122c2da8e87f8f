package trainer

import (
	"os"
	"time"

	"rxedge/daemon/rollout/trial"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// TrialFile is the plan of a model's trial, in the matter's folder and in the bundle.
const TrialFile = "retrain-trial.json"

// trialSilence is how long sites may try a model without a word to the controller of
// rollouts: figures come up with what is asked, which takes days.
const trialSilence = central.Duration(30 * 24 * time.Hour)

// trialOf a bundle, by its id; "": it asks for none.
func (t *Trainer) trialOf(m *bundle.Manifest) (id string, err error) {
	for i := range m.Artefacts {
		if m.Artefacts[i].Kind != bundle.KindTrial {
			continue
		}
		b, err := os.ReadFile(t.Folder.ArtefactPath(&m.Artefacts[i]))
		if err != nil {
			return "", err
		}
		p, err := trial.ParsePlan(b)
		if err != nil {
			return "", err
		}
		id = p.ID
	}
	return id, nil
}

// askForTrial lets the release of a matter's model have the plan that the options name, in
// the place of any that the channel has. Without one, a plan that an earlier matter has
// left there goes: it was that model's.
func (t *Trainer) askForTrial(m *central.Matter, rel *central.Release, set *bundle.Set) (id string, err error) {
	if len(t.Options.Trial) > 0 {
		p, err := trial.ParsePlan(t.Options.Trial)
		if err != nil {
			return "", err
		}
		if err := keep(t.Dir(m.ID), TrialFile, t.Options.Trial); err != nil {
			return "", err
		}
		rel.Files = append(rel.Files, central.File{Name: TrialFile, Kind: bundle.KindTrial, Path: t.path(m, TrialFile), Version: rel.Files[0].Version})
		id = p.ID
	}
	if set == nil {
		return id, nil
	}
	for _, a := range set.Manifest.Artefacts {
		if a.Kind == bundle.KindTrial && (a.Name == TrialFile) != (id != "") {
			rel.Drop = append(rel.Drop, a.Name)
		}
	}
	return id, nil
}
