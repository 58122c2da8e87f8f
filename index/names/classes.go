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
