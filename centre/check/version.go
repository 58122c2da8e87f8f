package check

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"rxedge/centre/compare"
	"rxedge/index/document"
)

// aDay is how far a date may be ahead: it is of the publisher's time zone.
const aDay = 24 * time.Hour

func (c *Checker) dates(d *document.Document) []Finding {
	if d.Effective == "" {
		return nil
	}
	at, err := time.Parse(time.DateOnly, d.Effective)
	switch now := c.opt.Now().UTC(); {
	case err != nil:
		return []Finding{Found(DateUnreadable, "", fmt.Sprintf("the effective date %.40q is none", d.Effective), "", d.Effective)}
	case at.After(now.Add(aDay)):
		return []Finding{Found(DateFuture, "", fmt.Sprintf("it is effective on %s, and today is %s", d.Effective, now.Format(time.DateOnly)), "", d.Effective)}
	case at.Year() < 1900:
		return []Finding{Found(DateAncient, "", "it is effective on "+d.Effective, "", d.Effective)}
	}
	return nil
}

// order checks that doc comes after before, and is of the same medicine.
func order(doc, before *document.Document) []Finding {
	var out []Finding
	switch cmp, ok := compareVersions(before.Version, doc.Version); {
	case ok && cmp > 0:
		out = append(out, Found(VersionBackwards, "", fmt.Sprintf("it is version %s, and %s is approved", doc.Version, before.Version), before.Version, doc.Version))
	case doc.Version != "" && doc.Version == before.Version && doc.Effective == before.Effective && document.Hash(doc) != document.Hash(before):
		out = append(out, Found(VersionSame, "", fmt.Sprintf("it is version %s as the approved one is, and says something else", doc.Version), before.Version, doc.Version))
	}
	if doc.Effective != "" && before.Effective != "" && doc.Effective < before.Effective {
		out = append(out, Found(DateBackwards, "", fmt.Sprintf("it is effective on %s, the approved version on %s", doc.Effective, before.Effective), before.Effective, doc.Effective))
	}
	if a, b := names(before), names(doc); len(a) > 0 && len(b) > 0 {
		for n := range a {
			if b[n] {
				return out
			}
		}
		out = append(out, Found(NameChanged, "", "none of its names is one of the version before", before.Title, doc.Title))
	}
	return out
}

func names(d *document.Document) map[string]bool {
	out := map[string]bool{}
	for _, n := range d.Names {
		out[strings.ToLower(strings.TrimSpace(n.Text))] = true
	}
	return out
}

// compareVersions of the form 3 or 1.10.2; ok is false for others.
func compareVersions(a, b string) (c int, ok bool) {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var n [2]int
		for j, v := range [][]string{x, y} {
			if i < len(v) {
				var err error
				if n[j], err = strconv.Atoi(v[i]); err != nil || n[j] < 0 {
					return 0, false
				}
			}
		}
		if c == 0 {
			c = n[0] - n[1]
		}
	}
	return c, true
}

func classesOf(d *document.Document) map[compare.Class]int {
	out := map[compare.Class]int{}
	for i := range d.Sections {
		out[compare.ClassOf(&d.Sections[i])] += len(strings.TrimSpace(d.Sections[i].Text))
	}
	return out
}

// required sections of a label that was read as one. Labels of over-the-counter
// medicines have no contraindications but "Do not use"; older labels have precautions,
// and some no section of contraindications. Other documents need nothing but text.
func required(d *document.Document) []Finding {
	if d.Kind != document.KindSPL && d.Kind != document.KindOpenFDA {
		return nil
	}
	has := classesOf(d)
	var out []Finding
	for _, c := range []compare.Class{compare.Indications, compare.Dosage} {
		if _, ok := has[c]; !ok {
			out = append(out, Found(SectionMissing, "", fmt.Sprintf("it has no section of %s", c), "", ""))
		}
	}
	_, contra := has[compare.Contraindications]
	_, warns := has[compare.Warnings]
	if !contra {
		f := Found(SectionMissing, "", "it has no section of contraindications", "", "")
		if warns {
			f.Severity = Flag // an older label, or one of an over-the-counter medicine
		}
		out = append(out, f)
	}
	return out
}

// sections that the version before had. A section of another code in the same class
// takes its place: warnings and precautions that of warnings.
func sections(doc, before *document.Document) []Finding {
	had, has := classesOf(before), classesOf(doc)
	var out []Finding
	dropped := map[compare.Class]bool{}
	for i := range before.Sections {
		c := compare.ClassOf(&before.Sections[i])
		if _, ok := has[c]; ok || dropped[c] || !c.Critical() {
			continue
		}
		dropped[c] = true
		out = append(out, Found(SectionDropped, before.Sections[i].ID, fmt.Sprintf("the version before had a section of %s, this one has none", c), before.Sections[i].Text, ""))
	}
	for _, c := range []compare.Class{compare.Boxed, compare.Indications, compare.Dosage, compare.Contraindications, compare.Warnings, compare.Interactions, compare.Populations, compare.Overdosage, compare.Adverse} {
		if n, ok := has[c]; ok && had[c] > 500 && 3*n < had[c] {
			out = append(out, Found(SectionShrunk, "", fmt.Sprintf("its %s have %d bytes of text, the version before had %d", c, n, had[c]), "", ""))
		}
	}
	return out
}

// sureAlike is how alike two sentences are of which surely one was made of the other.
const sureAlike = 0.8

// amounts of medicine that changed as they do by mistake. Where the sentence was written
// anew, or people do not act on the section, it is told and holds nothing back.
func amounts(c *compare.Comparison) []Finding {
	var out []Finding
	for _, ch := range c.Changes {
		for _, d := range ch.Doses {
			if d.Unit == "" || !compare.OfMedicine(d.Unit) && !ch.Class.Critical() {
				continue // a share of patients in a study
			}
			var f Finding
			switch {
			case d.Kind == compare.UnitLost:
				f = Found(UnitLost, ch.Section, fmt.Sprintf("%q was %q", d.After, d.Before), ch.Before, ch.After)
			case d.Kind == compare.Unit:
				f = Found(UnitChanged, ch.Section, fmt.Sprintf("%q was %q", d.After, d.Before), ch.Before, ch.After)
			case d.Kind == compare.Value && d.Tenfold():
				f = Found(DoseTenfold, ch.Section, fmt.Sprintf("%q was %q", d.After, d.Before), ch.Before, ch.After)
				if !d.Slip() {
					f.Severity = Flag
				}
			default:
				continue
			}
			if ch.Alike < sureAlike || ch.Class == compare.Packaging {
				f.Severity = Flag
			}
			out = append(out, f)
		}
	}
	return out
}
