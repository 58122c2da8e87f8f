// Package codes recognises the codes that a pharmacist types or scans (NDC,
// GTIN with or without a GS1 string around it, RxCUI, set id, UNII, LOINC, ATC),
// brings each into one canonical form, and keeps postings from codes to
// documents. A code that does not check is reported and never looked up.
package codes

import (
	"errors"
	"fmt"
	"strings"
)

// Code systems, as in document.Code.
const (
	NDC   = "ndc"   // National Drug Code, of a package or of a product
	GTIN  = "gtin"  // GTIN-14; UPC-A, EAN-13 and GTIN-8 with zeros before them
	RxCUI = "rxcui" // concept of RxNorm
	SPL   = "spl"   // set id or document id of a label: UUIDs, alike to look at
	UNII  = "unii"  // substance
	LOINC = "loinc" // section of a label
	ATC   = "atc"   // WHO's anatomical therapeutic chemical class
)

// Code is a code that was read.
type Code struct {
	System string `json:"system"`
	// Value in canonical form: an NDC as 6-4-2 or 6-4 digits, a GTIN as 14, an
	// RxCUI without leading zeros, a UUID in lower case, the others in capitals.
	// Of an NDC without hyphens that can be read in several ways, and of a code
	// with a Problem, what was typed, without separators.
	Value string `json:"value"`
	// Readings are the NDCs that an NDC or GTIN can stand for, in canonical form,
	// the likeliest first; empty for other systems and where there is a Problem.
	Readings []string `json:"readings,omitempty"`
	As       string   `json:"as"` // as typed
	Start    int      `json:"start"`
	End      int      `json:"end"` // bytes [Start, End) of the text
	// Pack is what a GS1 string says beside the GTIN.
	Pack *Pack `json:"pack,omitempty"`
	// Weak: it has the form of a code of this system, and may as well be a
	// telephone number or a range. It counts only where a document has it.
	Weak bool `json:"weak,omitempty"`
	// Problem says, for a person, why it is no valid code of its system.
	Problem string `json:"problem,omitempty"`
}

// Pack is one package, as its GS1 string tells.
type Pack struct {
	Expires string `json:"expires,omitempty"` // 2006-01-02
	Lot     string `json:"lot,omitempty"`
	Serial  string `json:"serial,omitempty"`
	// Problem: what of lot, serial number and date could not be read. The GTIN
	// beside it is right.
	Problem string `json:"problem,omitempty"`
}

var (
	// ErrSystem: a code system that this package does not know.
	ErrSystem = errors.New("the code system is none of ndc, gtin, rxcui, spl, unii, loinc, atc, nor one of their URIs and OIDs")
	// ErrForm: the value has not the form of a code of its system.
	ErrForm = errors.New("the code has not the form of its system")
)

// Normalise reads one code whose system is known, by the name, URI or OID that
// System knows; with system "" it tells from the form alone. A code that has the
// form and does not check has a Problem and no error. Errors (ErrSystem,
// ErrForm) hold nothing of the value.
func Normalise(system, value string) (Code, error) {
	as := value
	value = strings.Trim(strings.ToValidUTF8(value, ""), " \t\r\n\"'")
	if system == "" {
		for _, c := range Find(value) {
			if c.As == strings.Trim(value, "*") || c.Pack != nil {
				c.As, c.Start, c.End = as, 0, len(as)
				return c, nil
			}
		}
		return Code{}, fmt.Errorf("%w: it is no NDC, GTIN, RxCUI, set id, UNII, LOINC or ATC code", ErrForm)
	}
	sys := System(system)
	if sys == "" {
		return Code{}, ErrSystem
	}
	c := read(sys, value)
	c.As, c.Start, c.End = as, 0, len(as)
	if c.System == "" {
		return Code{}, fmt.Errorf("%w: %s", ErrForm, forms[sys])
	}
	return c, nil
}

// forms say what a code of a system looks like.
var forms = map[string]string{
	NDC:   "an NDC has 10, 11 or 12 digits, in hyphenated form 4-4-2, 5-3-2, 5-4-1, 5-4-2 or 6-4-2, without package 4-4, 5-3, 5-4 or 6-4",
	GTIN:  "a GTIN has 8, 12, 13 or 14 digits, the last of them a check digit",
	RxCUI: "an RxCUI is a number of up to 8 digits",
	SPL:   "a set id or document id is a UUID: 8-4-4-4-12 hexadecimal digits",
	UNII:  "a UNII has 10 letters and digits, the last of them a check character",
	LOINC: "a LOINC code is a number of up to 7 digits, a hyphen and a check digit",
	ATC:   "an ATC code is a letter, two digits, a letter, a letter, two digits, or a beginning of that",
}

// read reads a value of a system; the zero Code where it has not its form.
func read(system, value string) Code {
	switch system {
	case NDC:
		return readNDC(value)
	case GTIN:
		return readGTIN(value)
	case RxCUI:
		return readRxCUI(value)
	case SPL:
		return readUUID(value)
	case UNII:
		return readUNII(value)
	case LOINC:
		return readLOINC(value)
	case ATC:
		return readATC(value)
	}
	return Code{}
}

// systems by names, URIs (FHIR R4, "Using Codes", table of code systems;
// terminology.hl7.org) and object identifiers (HL7 OID registry; FDA SPL
// Implementation Guide).
var systems = map[string]string{
	"ndc": NDC, "http://hl7.org/fhir/sid/ndc": NDC, "2.16.840.1.113883.6.69": NDC,
	"gtin": GTIN, "upc": GTIN, "ean": GTIN, "http://gs1.org/gtin": GTIN, "http://www.gs1.org/gtin": GTIN, "1.3.160": GTIN,
	"rxcui": RxCUI, "rxnorm": RxCUI, "http://www.nlm.nih.gov/research/umls/rxnorm": RxCUI, "2.16.840.1.113883.6.88": RxCUI,
	"spl": SPL, "setid": SPL, "set id": SPL, "spl_set_id": SPL, "spl_id": SPL, "uuid": SPL,
	"unii": UNII, "http://fdasis.nlm.nih.gov": UNII, "2.16.840.1.113883.4.9": UNII,
	"loinc": LOINC, "http://loinc.org": LOINC, "2.16.840.1.113883.6.1": LOINC,
	"atc": ATC, "http://www.whocc.no/atc": ATC, "2.16.840.1.113883.6.73": ATC,
}

// System gives the code system that a name ("RxNorm"), a URI
// ("http://hl7.org/fhir/sid/ndc") or an OID ("urn:oid:2.16.840.1.113883.6.69")
// means; "" for one that is not known.
func System(name string) string {
	n := strings.ToLower(strings.TrimSpace(name))
	n = strings.TrimPrefix(n, "urn:oid:")
	n = strings.TrimSuffix(n, "/")
	if rest, ok := strings.CutPrefix(n, "https://"); ok {
		n = "http://" + rest
	}
	return systems[n]
}
