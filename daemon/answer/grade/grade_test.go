package grade_test

import (
	"testing"

	"rxedge/daemon/answer/grade"
)

// The sentences are of FDA labels.
func TestGrade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, loinc, title, severity, action, evidence string }{
		{"Drug A: Warfarin | Drug B: Aspirin | Severity: Major | Effect: More bleeding.", "34073-7", "Interaction with Aspirin", "warning", "", ""},
		{"A: Warfarin | B: Rifampicin | Grade: moderate (2) | Effect: The INR falls.", "34073-7", "Interaction with Rifampicin", "caution", "", ""},
		{"A: Warfarin | B: Paracetamol | Grade: minor (1) | Effect: None of major weight.", "34073-7", "Interaction with Paracetamol", "", "", ""},
		{"Initiation is not recommended in patients with eGFR between 30 to 45 mL/minute/1.73 m 2", "34068-7", "", "caution", "avoid", ""},
		{"Discontinue if eGFR falls below 30 mL/minute/1.73 m 2", "34068-7", "", "", "stop", ""},
		{"Lisinopril is contraindicated in combination with a neprilysin inhibitor (e.g., sacubitril).", "34070-3", "", "contraindication", "avoid", ""},
		{"Do not administer Lisinopril tablet USP within 36 hours of switching to or from sacubitril/valsartan", "34070-3", "", "contraindication", "separate", ""},
		{"Administer levothyroxine sodium tablets at least 4 hours before or after drugs known to interfere with absorption.", "34068-7", "", "", "separate", ""},
		{"Limit the dose of simvastatin in patients on amlodipine to 20 mg daily.", "34073-7", "", "caution", "limit_dose", ""},
		{"Do not exceed 3200 mg total daily dose.", "34068-7", "", "", "limit_dose", ""},
		{"When pregnancy is detected, discontinue lisinopril as soon as possible.", "34066-1", "Boxed Warning", "boxed_warning", "stop", ""},
		{"If a gout flare occurs during treatment, ULORIC need not be discontinued.", "43685-7", "", "caution", "no_change", ""},
		{"dosage adjustment in patients with renal dysfunction is not necessary", "34068-7", "", "", "no_change", ""},
		{"Do not routinely withdraw chronic beta-blocker therapy prior to surgery.", "43685-7", "", "warning", "continue", ""},
		{"Avoid abrupt withdraw of therapy.", "34068-7", "", "", "taper", ""},
		{"ONFI should be tapered by decreasing the dose every week by 5-10 mg/day until discontinuation", "43685-7", "", "warning", "taper", ""},
		{"Withhold Zydelig if the ALT or AST is greater than 5 times the upper limit of normal", "43685-7", "", "warning", "hold", ""},
		{"For patients with creatinine clearance > 10 mL/min and < 30 mL/min, halve usual initial dose.", "34068-7", "", "", "reduce_dose", ""},
		{"Monitor serum lithium levels during concomitant use.", "34073-7", "", "caution", "monitor", ""},
		{"Prothrombin times should be carefully monitored while patients are receiving azithromycin and oral anticoagulants concomitantly.", "34073-7", "", "caution", "monitor", ""},
		{"A starting dose of 25 mg should be considered in patients with severe renal impairment.", "43684-0", "", "caution", "adjust_dose", ""},
		{"Use with caution in patients sensitive to sympathomimetic drugs.", "43685-7", "", "warning", "caution", ""},
		{"In clinical trials in patients with hypertension treated with lisinopril, 5.7% of patients on lisinopril discontinued with adverse reactions.", "34084-4", "", "", "", "trial"},
		{"There have been postmarketing cases of metformin-associated lactic acidosis, including fatal cases.", "43685-7", "", "warning", "", "postmarketing"},
		{"In male and female rats, dulaglutide causes a dose-related increase in thyroid C-cell tumors.", "43685-7", "", "caution", "", "animal"},
		{"There are no adequate and well-controlled studies of sildenafil in pregnant women.", "42228-7", "", "", "", "no_data"},
		{"Some observational studies found that this increased risk began as early as the first weeks.", "43685-7", "", "caution", "", "observational"},
		{"Store at room temperature.", "34069-5", "", "", "", ""},
		{"Aspirin is not contraindicated in these patients.", "34068-7", "", "", "", ""},
		{"", "", "", "", "", ""},
	} {
		g := grade.Of(c.text, c.loinc, c.title)
		if g != (grade.Grade{Severity: c.severity, Action: c.action, Evidence: c.evidence}) {
			t.Errorf("%q: %+v, want %s %s %s", c.text, g, c.severity, c.action, c.evidence)
		}
	}
	if grade.Worse("", grade.Caution) != grade.Caution || grade.Worse(grade.BoxedWarning, grade.Warning) != grade.BoxedWarning {
		t.Error("which is worse")
	}
}

func FuzzGrade(f *testing.F) {
	f.Add("Do not use. Avoid.", "34066-1", "Boxed Warning")
	f.Fuzz(func(t *testing.T, text, loinc, title string) { grade.Of(text, loinc, title) })
}
