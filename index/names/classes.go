package names

import "slices"

// ClassesOf gives the ids of the classes that the table has the medicine of that
// generic name in; none where it knows no such medicine.
func ClassesOf(medicine string) []string {
	b, err := bases()
	if err != nil {
		return nil
	}
	for _, r := range b.names[medicine] {
		if i := int(r); i >= 0 && i < len(b.medicines) && b.medicines[i].name == medicine {
			return slices.Clone(b.medicines[i].classes)
		}
	}
	return nil
}

// Classes are the ids of all classes of the table.
func Classes() []string {
	t, err := facts()
	if err != nil {
		return nil
	}
	out := make([]string, len(t.classes))
	for i := range t.classes {
		out[i] = t.classes[i].id
	}
	return out
}

// Kinds are what a question can ask about, in the order of the table, with the sections
// that answer it, the likeliest first.
func Kinds() (kinds []string, sections map[string][]Preference) {
	t, err := facts()
	if err != nil {
		return nil, nil
	}
	sections = map[string][]Preference{}
	for _, c := range t.cues {
		if sections[c.asks] == nil {
			kinds, sections[c.asks] = append(kinds, c.asks), c.sections
		}
	}
	return kinds, sections
}
