// Package names reads a question as a pharmacist would: which medicines it
// names (brand, generic, salt, class, misspelt), what its shorthand stands for,
// and which sections of a label it asks about. It knows a compact table of
// facts and the names that the documents themselves state. Every reading says
// from which words of the question it came. DESIGN.md tells how it was made and
// what it is worth.
package names

// Reasons for an expansion.
const (
	WhyMedicine = "medicine" // another name of a medicine that is named
	WhyClass    = "class"    // the class of a medicine that is named
	WhyMember   = "member"   // a medicine of a class that is named
	WhyMeaning  = "meaning"  // what shorthand or a lay word stands for
)

// Expansion is something that is searched beside the words that were typed.
type Expansion struct {
	From  string `json:"from"` // as typed
	Start int    `json:"start"`
	End   int    `json:"end"` // bytes [Start, End) of the question
	To    string `json:"to"`
	// Weight of the words of To beside a typed word, 0 to 1. With 0 it is not
	// searched: From says nothing about the subject.
	Weight float64 `json:"weight"`
	Why    string  `json:"why"`
}

// Subject is a medicine, or a class of them, that a question names.
type Subject struct {
	Asked string `json:"asked"` // as typed
	Start int    `json:"start"`
	End   int    `json:"end"`
	Name  string `json:"name"` // generic name or id of the class
	// Spelling: Asked is no known name, and Name is the only one near it.
	Spelling bool `json:"spelling,omitempty"`
	Class    bool `json:"class,omitempty"`
	// Substance: a mineral, food or the like, mentioned without being asked about.
	Substance bool `json:"substance,omitempty"`
	// Documents that are about it; none where no document covers it.
	Documents []string `json:"documents,omitempty"`
	// Refs are the same documents by their places in the lexicon's segments.
	Refs []DocRef `json:"-"`
}

// Preference is a section of labels that a question asks for.
type Preference struct {
	Cue    string  `json:"cue"`   // as typed
	Asks   string  `json:"asks"`  // dose, renal, …
	LOINC  string  `json:"loinc"` // of the section
	Weight float64 `json:"weight"`
}

// Reading of a question.
type Reading struct {
	Subjects   []Subject    `json:"subjects,omitempty"`
	Expansions []Expansion  `json:"expansions,omitempty"`
	Sections   []Preference `json:"sections,omitempty"`
	// Previous is what was taken over from an earlier question of a conversation;
	// the words above are then of its ReadAs.
	Previous *Carried `json:"previous,omitempty"`
}

// Carried is what a question is about that does not say so itself.
type Carried struct {
	Medicines []string `json:"medicines"`       // as typed before
	Words     []string `json:"words,omitempty"` // of what was asked before
	From      string   `json:"from"`            // the earlier question
	ReadAs    string   `json:"read_as"`         // what is searched instead
}

// About gives the documents that the question is about: those of the medicines
// it names, or, where it names none that is known, those of its classes.
func (r *Reading) About() []string {
	var medicines, classes []string
	named := false
	for _, s := range r.Subjects {
		switch {
		case s.Class:
			classes = append(classes, s.Documents...)
		case s.Substance:
		default:
			named = true
			medicines = append(medicines, s.Documents...)
		}
	}
	if !named {
		medicines = classes
	}
	seen := make(map[string]bool, len(medicines))
	out := medicines[:0:0]
	for _, d := range medicines {
		if !seen[d] {
			seen[d] = true
			out = append(out, d)
		}
	}
	return out
}

// Strangers are the medicines that the question is about where no document is
// about any of them; empty where one is covered or none is named.
func (r *Reading) Strangers() []Subject {
	var out []Subject
	for _, s := range r.Subjects {
		switch {
		case s.Class || s.Substance:
		case len(s.Documents) > 0:
			return nil
		default:
			out = append(out, s)
		}
	}
	return out
}

// Section gives the weight of a LOINC section, 0 where it is not asked for.
func (r *Reading) Section(loinc string) float64 {
	w := 0.0
	for _, p := range r.Sections {
		if p.LOINC == loinc {
			w = max(w, p.Weight)
		}
	}
	return w
}
