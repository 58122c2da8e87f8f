package document

import (
	"reflect"
	"strings"
	"testing"
)

func TestDateAt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2024-02-29": "2024-02-29", "2023-02-29": "", "31 January 2024": "2024-01-31", "1st of May": "", "1st May 2024": "2024-05-01", "May 3, 2024.": "2024-05-03",
		"Sept 2023": "2023-09-01", "Sep. 9, 2023": "2023-09-09", "12/2023": "2023-12-01", "13/2023": "", "31/12/2023": "2023-12-31", "12/31/2023": "2023-12-31",
		"03/04/2024": "", "04/04/2024": "2024-04-04", "03.04.2024": "2024-04-03", "3/2024/7": "", "2023": "", "12/23": "", "June 1823": "", "31 June 2023": "",
		"2024-01-31T10": "2024-01-31", "May 2024–2026": "2024-05-01", "5/2024-01": "", "1.2.2024.5": "", "0/2024": "", "Marchand 2024": "",
	} {
		if got, _, _, ok := dateAt(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

// pages is a document of these lines, of which those that begin with "# " are headings.
func pages(lines ...string) *Document {
	d := &Document{Title: "A guideline"}
	for _, l := range lines {
		if h, ok := strings.CutPrefix(l, "# "); ok {
			d.Sections = append(d.Sections, Section{Title: h})
			continue
		}
		if len(d.Sections) == 0 {
			d.Sections = append(d.Sections, Section{Title: "Introduction"})
		}
		s := &d.Sections[len(d.Sections)-1]
		s.Text = joinText(s.Text, l)
	}
	return d
}

func TestDocumentDate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Something else is said here. ", 200)
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"highlights":            {[]string{"Initial U.S. Approval: 1996", "See 17 for PATIENT COUNSELING INFORMATION. Revised: 12/2023", long}, "2023-12-01"},
		"alone":                 {[]string{long, "Revised: 4/2022"}, "2022-04-01"},
		"twice":                 {[]string{"Revised: 12/2023", long, "Revised: 12/2023"}, "2023-12-01"},
		"an attached guide":     {[]string{"Revised: 12/2023", long, "Revised: 06/2021"}, "2023-12-01"},
		"a later one after":     {[]string{"Revised: 06/2021", long, "Revised: 12/2023"}, ""},
		"the day of that month": {[]string{"Revised: 12/2023", "Revision date: 15 December 2023"}, "2023-12-15"},
		"SmPC":                  {[]string{"# 9. DATE OF FIRST AUTHORISATION/RENEWAL OF THE AUTHORISATION", "Date of first authorisation: 30 September 2008", "# 10. DATE OF REVISION OF THE TEXT", "14 March 2024", "Detailed information is available."}, "2024-03-14"},
		"SmPC without headings": {[]string{"10. DATE OF REVISION OF THE TEXT", "03/2024"}, "2024-03-01"},
		"SmPC without a date":   {[]string{"# 10. DATE OF REVISION OF THE TEXT", "Detailed information of 3 May 2020 is available."}, ""},
		"leaflet":               {[]string{"This leaflet was last revised in November 2022."}, "2022-11-01"},
		"effective":             {[]string{"Effective date: 1 May 2024", "Last revised: March 2024", "Published: 2 January 2020"}, "2024-05-01"},
		"a front page":          {[]string{"Effective date: 1 May 2024 Review date: 1 May 2027"}, "2024-05-01"},
		"a control table":       {[]string{"Version | 3\nDate of issue | 03.04.2024\nNext review | 03.04.2027"}, "2024-04-03"},
		"published":             {[]string{"Published: June 2, 2021"}, "2021-06-02"},
		"updated":               {[]string{"Last updated on 2 June 2021"}, "2021-06-02"},

		"first approval":  {[]string{"Initial U.S. Approval: 1996", "Date of first authorisation: 30 September 2008"}, ""},
		"next":            {[]string{"Next revision date: 5 May 2027", "Review date: 5 May 2027", "Expiry date: 5 May 2027"}, ""},
		"somebody else's": {[]string{"The rule was revised: 12/2023 says who. It was issued: 3 May 2020", "The guideline was published on 3 May 2020."}, ""},
		"a reference":     {[]string{"Smith J. On doses. Lancet. Published: 3 May 2019.", "Accessed 12 March 2020."}, ""},
		"a span":          {[]string{"Effective date: 1 May 2020 to 1 May 2022 for those who"}, ""},
		"ambiguous":       {[]string{"Revised: 03/04/2024"}, ""},
		"a year":          {[]string{"Revised: 2023", "© 2024 Somebody"}, ""},
		"in the middle":   {[]string{long, "Published: 3 May 2019", "Effective date: 3 May 2019", long}, ""},
		"two":             {[]string{"Effective date: 1 May 2020", "Effective date: 1 May 2024"}, ""},
		"a study":         {[]string{"Patients enrolled from 1 May 2020 were followed until 1 May 2022."}, ""},
	} {
		if got := documentDate(pages(c.lines...)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDocumentNames(t *testing.T) {
	t.Parallel()
	us := func(name, line string) []string {
		return []string{"# HIGHLIGHTS OF PRESCRIBING INFORMATION", "These highlights do not include all the information needed to use " + name + " safely and effectively. See full prescribing information for " + name + ". " + line + " Initial U.S. Approval: 1996"}
	}
	brand := func(b, g string) []Name { return []Name{{b, "brand"}, {g, "generic"}} }
	for name, c := range map[string]struct {
		title string
		lines []string
		want  []Name
	}{
		"US brand":       {"", us("LIPITOR®", "LIPITOR (atorvastatin calcium) tablets, for oral use"), brand("LIPITOR", "atorvastatin calcium")},
		"US injection":   {"", us("HUMIRA", "HUMIRA (adalimumab) injection, for subcutaneous use"), brand("HUMIRA", "adalimumab")},
		"US generic":     {"", us("METFORMIN HYDROCHLORIDE EXTENDED-RELEASE TABLETS", "METFORMIN HYDROCHLORIDE extended-release tablets"), []Name{{"METFORMIN HYDROCHLORIDE", "generic"}}},
		"US in a title":  {us("ZED", "")[1], nil, []Name{{"ZED", "brand"}}},
		"DailyMed":       {"LIPITOR- atorvastatin calcium tablet, film coated", nil, brand("LIPITOR", "atorvastatin calcium")},
		"SmPC":           {"", []string{"# 1. NAME OF THE MEDICINAL PRODUCT", "Xarelto 10 mg film-coated tablets", "# 2. QUALITATIVE AND QUANTITATIVE COMPOSITION", "Each tablet contains 10 mg rivaroxaban."}, []Name{{"Xarelto", "brand"}}},
		"SmPC strengths": {"", []string{"1. NAME OF THE MEDICINAL PRODUCT", "Xarelto 15 mg film-coated tablets\nXarelto® 20 mg film-coated tablets", "2. QUALITATIVE AND QUANTITATIVE COMPOSITION", "x"}, []Name{{"Xarelto", "brand"}}},

		"two labels":          {"", append(us("LIPITOR", ""), us("ZOCOR", "")...), nil},
		"one says another":    {"", []string{"These highlights do not include all the information needed to use A safely and effectively. See full prescribing information for B."}, nil},
		"SmPC of two":         {"", []string{"1. NAME OF THE MEDICINAL PRODUCT", "Xarelto 15 mg tablets\nEliquis 5 mg tablets", "2. QUALITATIVE AND QUANTITATIVE COMPOSITION", "x"}, nil},
		"SmPC without rest":   {"", []string{"1. NAME OF THE MEDICINAL PRODUCT", "Xarelto 10 mg tablets", "3. PHARMACEUTICAL FORM", "x"}, nil},
		"a guideline":         {"Management of atrial fibrillation - anticoagulant tablets", []string{"Warfarin 5 mg tablets are given."}, nil},
		"a guideline in caps": {"DOSING - renal impairment", []string{"See full prescribing information for details."}, nil},
	} {
		d := pages(c.lines...)
		if c.title != "" {
			d.Title = c.title
		}
		if got := documentNames(d); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
