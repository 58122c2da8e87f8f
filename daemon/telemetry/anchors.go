package telemetry

// Anchors are sentences of ours about what labels speak of. A question is counted
// under the one that it is nearest to by meaning. Their vectors are made anew by each
// embedder and each generation, the sentences stay: so the counts of boxes, embedders
// and generations can be added, which those of centroids of vectors could not.
// The order is the encoding's: new ones go to the end, with a new Schema.
var anchors = [...]string{
	"recommended starting dose and maximum daily dose for adults",
	"dose for children and adolescents by weight and age",
	"dose adjustment in renal impairment by creatinine clearance or eGFR",
	"dose adjustment in hepatic impairment and liver disease",
	"older and geriatric patients",
	"use in pregnancy, risk to the fetus",
	"breastfeeding and lactation, presence in human milk",
	"contraindications and hypersensitivity",
	"boxed warning of serious or fatal events",
	"bleeding risk and haemorrhage",
	"interaction with another drug, inhibitors and inducers",
	"taken with food, alcohol or grapefruit juice",
	"common adverse reactions in clinical trials",
	"overdose, symptoms and treatment",
	"storage, temperature and shelf life of tablets",
	"how to take, swallow, crush or inject a dose",
	"missed dose, stopping and tapering",
	"monitoring of blood tests and laboratory values",
	"indications, what the medicine is used for",
	"mechanism of action",
	"pharmacokinetics, half-life and elimination",
	"heart, blood pressure and QT prolongation",
	"infection, antibiotic and duration of treatment",
	"blood sugar, insulin and diabetes",
	"mood, suicide, sleep and the nervous system",
	"surgery, anaesthesia and procedures",
	"switching from or to another medicine",
	"ingredients, strengths and dosage forms",
}

// Anchors there are.
func Anchors() []string { return anchors[:] }

// Nearest is the index of the vector that v is nearest to, of unit vectors; -1 where
// there is none of v's dimensions.
func Nearest(vectors [][]float32, v []float32) int {
	best, most := -1, float32(-2)
	for i, a := range vectors {
		if len(a) != len(v) || len(v) == 0 {
			continue
		}
		var dot float32
		for k, x := range a {
			dot += x * v[k]
		}
		if dot > most {
			best, most = i, dot
		}
	}
	return best
}
