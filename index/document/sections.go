package document

import (
	"strings"
	"unicode"
)

// StandardSection is a section of a drug label that LOINC has a code for.
type StandardSection struct {
	LOINC string
	Name  string // as labels commonly write it
	Slug  string // of Name: "dosage-and-administration"
}

// Unclassified is the LOINC code of a section that has no code of its own.
const Unclassified = "42229-5"

// standardSections are the codes that FDA's labels use for their sections
// (FDA Structured Product Labeling resources, "Section Headings (LOINC)"), the
// usual name first, other names and openFDA field names after it.
var standardSections = [][]string{
	{"34066-1", "Boxed Warning", "boxed warnings", "black box warning", "warning: boxed"},
	{"43683-2", "Recent Major Changes"},
	{"34067-9", "Indications and Usage", "indications", "indication", "uses", "use", "indications & usage", "therapeutic indications"},
	{"34068-7", "Dosage and Administration", "dosage", "dosing", "directions", "dosage & administration", "dose and administration", "posology"},
	{"43678-2", "Dosage Forms and Strengths", "dosage forms", "dosage forms & strengths", "strengths"},
	{"34070-3", "Contraindications", "contraindication"},
	{"43685-7", "Warnings and Precautions", "warnings & precautions", "warnings and cautions"},
	{"34071-1", "Warnings", "warning"},
	{"42232-9", "Precautions"},
	{"34072-9", "General Precautions"},
	{"34084-4", "Adverse Reactions", "adverse effects", "side effects", "undesirable effects"},
	{"90374-0", "Clinical Trials Experience"},
	{"90375-7", "Postmarketing Experience", "post-marketing experience"},
	{"34073-7", "Drug Interactions", "interactions", "interaction"},
	{"34074-5", "Drug and/or Laboratory Test Interactions", "laboratory test interactions"},
	{"34075-2", "Laboratory Tests"},
	{"43684-0", "Use in Specific Populations", "specific populations", "use in special populations"},
	{"42228-7", "Pregnancy"},
	{"34077-8", "Teratogenic Effects"},
	{"34078-6", "Nonteratogenic Effects"},
	{"34079-4", "Labor and Delivery", "labor & delivery"},
	{"77290-5", "Lactation", "breastfeeding", "breast-feeding"},
	{"34080-2", "Nursing Mothers"},
	{"77291-3", "Females and Males of Reproductive Potential"},
	{"34081-0", "Pediatric Use", "paediatric use", "children", "use in children"},
	{"34082-8", "Geriatric Use", "use in the elderly", "older adults"},
	{"88828-9", "Renal Impairment", "renal", "renal dosing", "use in renal impairment", "kidney impairment", "dosage in renal impairment"},
	{"88829-7", "Hepatic Impairment", "hepatic", "hepatic dosing", "use in hepatic impairment", "liver impairment"},
	{"42227-9", "Drug Abuse and Dependence", "abuse and dependence"},
	{"34085-1", "Controlled Substance"},
	{"34086-9", "Abuse"},
	{"34087-7", "Dependence"},
	{"34088-5", "Overdosage", "overdose"},
	{"34089-3", "Description"},
	{"34090-1", "Clinical Pharmacology", "pharmacology"},
	{"43679-0", "Mechanism of Action"},
	{"43681-6", "Pharmacodynamics"},
	{"43682-4", "Pharmacokinetics"},
	{"66106-6", "Pharmacogenomics"},
	{"49489-8", "Microbiology"},
	{"43680-8", "Nonclinical Toxicology"},
	{"34083-6", "Carcinogenesis, Mutagenesis, Impairment of Fertility", "carcinogenesis & mutagenesis & impairment of fertility"},
	{"34091-9", "Animal Pharmacology and/or Toxicology", "animal pharmacology and toxicology"},
	{"34092-7", "Clinical Studies"},
	{"34093-5", "References"},
	{"34069-5", "How Supplied/Storage and Handling", "how supplied"},
	{"44425-7", "Storage and Handling", "storage"},
	{"34076-0", "Patient Counseling Information", "information for patients", "patient counselling information", "counseling", "counselling"},
	{"42230-3", "Patient Information", "spl patient package insert", "patient package insert"},
	{"42231-1", "Medication Guide", "spl medguide"},
	{"59845-8", "Instructions for Use"},
	{"51945-4", "Package Label", "package label.principal display panel", "principal display panel", "package label principal display panel"},
	{"55106-9", "Active Ingredient", "active ingredients", "otc active ingredient"},
	{"55105-1", "Purpose", "otc purpose"},
	{"50570-1", "Do Not Use"},
	{"50569-3", "Ask a Doctor Before Use", "ask a doctor before use if", "ask doctor"},
	{"50568-5", "Ask a Doctor or Pharmacist Before Use", "ask a doctor or pharmacist before use if", "ask doctor or pharmacist"},
	{"50567-7", "When Using This Product", "when using"},
	{"50566-9", "Stop Use and Ask a Doctor", "stop use and ask a doctor if", "stop use"},
	{"53414-9", "Pregnancy or Breast-Feeding", "if pregnant or breast-feeding", "pregnancy or breast feeding"},
	{"50565-1", "Keep Out of Reach of Children"},
	{"51727-6", "Inactive Ingredients", "inactive ingredient"},
	{"53413-1", "Questions", "questions or comments", "questions?"},
	{"48780-1", "SPL Listing Data Elements", "spl product data elements", "package label listing data"},
	{"60561-8", "Other Safety Information", "safety"},
	{"69718-5", "Statement of Identity"},
	{"69719-3", "Health Claim"},
}

var (
	sectionByLOINC = map[string]StandardSection{}
	sectionBySlug  = map[string]StandardSection{}
)

func init() {
	for _, row := range standardSections {
		s := StandardSection{LOINC: row[0], Name: row[1], Slug: slug(row[1])}
		sectionByLOINC[s.LOINC] = s
		for _, name := range row[1:] {
			if _, dup := sectionBySlug[slug(name)]; !dup {
				sectionBySlug[slug(name)] = s
			}
		}
	}
}

// SectionByLOINC returns the standard section of a LOINC code.
func SectionByLOINC(code string) (StandardSection, bool) {
	s, ok := sectionByLOINC[code]
	return s, ok
}

// SectionByName returns the standard section that name, a title, a slug or an
// openFDA field, stands for; case, punctuation and a leading section number do
// not matter.
func SectionByName(name string) (StandardSection, bool) {
	s, ok := sectionBySlug[slug(name)]
	if !ok {
		_, title := splitNumber(name, true)
		s, ok = sectionBySlug[slug(title)]
	}
	return s, ok
}

// slug is s in lower-case letters and digits with single hyphens between:
// "Dosage & Administration" → "dosage-and-administration".
func slug(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(strings.ReplaceAll(s, "&", " and ")) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			gap = false
			b.WriteRune(r)
		case r == '\'' || r == '’' || unicode.IsMark(r):
		default:
			gap = true
		}
		if b.Len() > 100 {
			break
		}
	}
	return b.String()
}
