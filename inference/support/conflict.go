package support

// Conflicted says whether a claim states what the window does not bear out, in a
// way that no agreement elsewhere makes good: a number, a limit, a denial, a
// medicine, or how often and by which way it is given.
func Conflicted(x []float32) bool { return Conflicts(x) != "" }

// Conflicts names the first conflict of a claim with a window; "" where there is
// none.
func Conflicts(x []float32) string {
	switch {
	case x[fNumbersMissing] > 0:
		return "number"
	case x[fTwice] > 0:
		return "number stated once or elsewhere"
	case x[fBounds] > 0:
		return "limit"
	case x[fFrequency] > 0:
		return "frequency"
	case x[fDrugs] > 0:
		return "medicine"
	case x[fHeads] > 0:
		return "denied word"
	case x[fClaimDenies] > 0:
		return "denial"
	case x[fRival] > rivalMargin:
		return "number of something else"
	}
	return ""
}

// capped keeps the order of what conflicts and lets none of it come near a
// threshold.
func capped(p float64) float64 {
	if p <= ceiling/2 {
		return p
	}
	return ceiling/2 + (p-ceiling/2)*ceiling/2
}

const (
	// ceiling on the support of a claim that conflicts, far below any threshold.
	ceiling = 0.05
	// rivalMargin by which the words around another number of the same unit may
	// agree better with the claim: beyond it the claim took the wrong number.
	rivalMargin = 0.2
	// parallel are sentences whose words around two numbers agree with the claim as
	// well but for so much.
	parallel = 0.05
)
