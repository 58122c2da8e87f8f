package chunk

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func texts(s string) []string {
	var out []string
	for _, sp := range Sentences(s) {
		out = append(out, s[sp.Start:sp.End])
	}
	return out
}

// Sentences are written with "¦" where one ends and the next begins.
func TestSentences(t *testing.T) {
	t.Parallel()
	for _, want := range []string{
		"Take 0.5 mg daily. ¦Do not exceed 2.5 mg.",
		"Dr. Smith advised it. ¦See Fig. 2 for more.",
		"Use NSAIDs (e.g. Ibuprofen or Naproxen) with care. ¦Avoid them, i.e. Do not use them.",
		"Warfarin vs. Apixaban was studied. ¦The result was clear.",
		"Take q.d. with food. ¦Take it q.d. ¦The next dose follows.",
		"Approved in the U.S. Food and Drug terms. ¦It was sold in the U.S. ¦The label says so.",
		"The maximum is approx. 40 mg. ¦No. 3 is different.",
		"Monitor INR weekly (5.1). ¦Stop if bleeding occurs.",
		"Monitor INR weekly. (5.1) ¦Stop if bleeding occurs.",
		"Fatal cases occurred. [see Warnings and Precautions (5.1)]. ¦Stop at once.",
		"Fatal cases occurred [see Warnings and Precautions (5.1)]. ¦Stop at once.",
		"1. Wash your hands. ¦2. Take the pen.",
		"• 1. Wash your hands. ¦Then dry them.",
		"The dose is 2.5mg.¦Next, titrate.",
		"Contact Pfizer Inc. at 1-800-555-0100 or www.fda.gov/medwatch. ¦Call now.",
		"J. Smith and E. coli were there. ¦In hepatitis B. ¦Monitor them.",
		"Table 1. Adverse Reactions of Adults\n¦They are shown in Table 1. ¦The rest are not.",
		"Is it safe? ¦Yes! ¦It is.",
		"Heading without a stop\n¦Body of it. ¦More.",
		"Lead-in:\n¦• first item\n¦• second item. ¦With more\n\n¦Next paragraph",
		"Dose | N. Patients | Mean. Change\n¦10 mg | 22 | -29",
		"• Mild Impairment. ¦• Not a list",
		"pH was 7.4. ¦eGFR fell.",
	} {
		got := strings.Join(texts(strings.ReplaceAll(want, "¦", "")), "¦")
		clean := strings.NewReplacer(" ¦", "¦", "\n\n¦", "¦", "\n¦", "¦").Replace(want)
		if got != clean {
			t.Errorf("\n got %q\nwant %q", got, clean)
		}
	}
}

func TestSentencesFindLostStops(t *testing.T) {
	t.Parallel()
	text := "Renal Impairment: Prior to initiation, assess renal function with estimated glomerular filtration rate (eGFR) Do not use in patients with eGFR below 30 mL/minute/1.73 m 2 Initiation is not recommended in patients with eGFR between 30 to 45 mL/minute/1.73 m 2 Assess risk/benefit of continuing if eGFR falls below 45 mL/minute/1.73 m 2 Discontinue if eGFR falls below 30 mL/minute/1.73 m 2"
	got := texts(text)
	for _, want := range []string{
		"Do not use in patients with eGFR below 30 mL/minute/1.73 m 2",
		"Initiation is not recommended in patients with eGFR between 30 to 45 mL/minute/1.73 m 2",
		"Discontinue if eGFR falls below 30 mL/minute/1.73 m 2",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no sentence %q in %q", want, got)
		}
	}
	// A name in capitals and what stands in brackets are left whole.
	whole := "The safety and effectiveness of the medicine have been established in the controlled trials of Adult Patients [see Use in Specific Populations (8.4), Dosage and Administration (2.1), and Clinical Studies (14)] for the Treatment of Severe Disease."
	if got := texts(whole); len(got) > 2 {
		t.Errorf("cut into %q", got)
	}
}

// check reports the first way in which spans do not cover text as promised.
func check(text string, spans []Span) string {
	at := 0
	for _, s := range spans {
		if s.Start < at || s.End <= s.Start || s.End > len(text) {
			return "spans overlap, are empty or out of order"
		}
		if strings.TrimSpace(text[at:s.Start]) != "" {
			return "text between spans is lost"
		}
		if got := text[s.Start:s.End]; strings.TrimFunc(got, unicode.IsSpace) != got {
			return "a span has white space around it"
		}
		at = s.End
	}
	if strings.TrimSpace(text[at:]) != "" {
		return "text at the end is lost"
	}
	return ""
}

func labelish() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		words := rapid.SliceOf(rapid.SampledFrom([]string{"Take", "e.g.", "0.5", "mg.", "(5.1)", "[see", "]", "U.S.", "\n", "\n\n", "• ", " | ", "1.", "The", "dose.Next",
			"patients", "Do", "not", "é", "≥", "m²", "?", "Renal Impairment:", "Dr.", "a", " ", "  "})).Draw(t, "words")
		return strings.Join(words, rapid.SampledFrom([]string{" ", ""}).Draw(t, "sep"))
	})
}

func TestSentencesCoverTheText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(labelish(), rapid.String()).Draw(t, "text")
		if bad := check(text, Sentences(text)); bad != "" {
			t.Fatalf("%s: %q → %v", bad, text, Sentences(text))
		}
	})
}

func FuzzSentences(f *testing.F) {
	f.Add("Take 0.5 mg q.d. (5.1) The next.\n• a | b\n")
	f.Add("mg.Next [see X (5.1)]. A. B. Smith\xff \u2028 x")
	f.Fuzz(func(t *testing.T, text string) {
		if bad := check(text, Sentences(text)); bad != "" {
			t.Fatal(bad)
		}
	})
}
