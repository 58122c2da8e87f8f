// What is to be seen of a sentence, or of a whole answer, at a glance: how bad,
// what to do, how old, how sure. Always words; the colour only repeats them.

import { day, el } from "./dom.js";

const severities = {
  boxed_warning: "Boxed warning",
  contraindication: "Contraindication",
  warning: "Warning",
  caution: "Caution",
};

const actions = {
  avoid: "Avoid",
  stop: "Stop",
  hold: "Hold",
  reduce_dose: "Reduce the dose",
  adjust_dose: "Adjust the dose",
  limit_dose: "Limit the dose",
  monitor: "Monitor",
  separate: "Take apart in time",
  taper: "Taper",
  caution: "Take care",
  no_change: "No change needed",
};

const levels = {
  trial: "from trials",
  observational: "from observation",
  postmarketing: "from reports after marketing",
  case_reports: "from case reports",
  animal: "from animals",
  in_vitro: "from the test tube",
  no_data: "no data",
};

const supports = {
  partly: "Partly borne out: read the sentence",
  unverified: "Could not be checked: read the sentence",
};

const doubts = { some: "Some doubt: read the sentences", high: "Much doubt: read the labels" };

const mark = (kind, text) => el("li", { class: `mark ${kind}` }, text);

/** The marks of one claim, or null. */
export function claimMarks(claim) {
  const stale = (claim.citations ?? []).some((c) => c.stale);
  const marks = [
    severities[claim.severity] && mark(`severity-${claim.severity}`, severities[claim.severity]),
    actions[claim.action] && mark("action", actions[claim.action]),
    levels[claim.evidence_level] && mark("level", levels[claim.evidence_level]),
    supports[claim.support] && mark(`support-${claim.support}`, supports[claim.support]),
    stale && mark("stale", "Old label"),
  ].filter(Boolean);
  return marks.length ? el("ul", { class: "marks", "aria-label": "About this sentence" }, marks) : null;
}

/** The date of the oldest label that an answer cites, or "". */
export function labelDate(answer) {
  const dates = (answer.claims ?? []).flatMap((c) => c.citations ?? []).map((c) => c.effective_date).filter(Boolean);
  return answer.label_date || dates.sort()[0] || "";
}

/** The marks of a whole answer. */
export function answerMarks(answer) {
  if (answer.status === "abstained" && !answer.conflicting) return [];
  const date = labelDate(answer);
  const doubt = doubts[answer.decision?.doubt];
  return [
    severities[answer.severity] && mark(`severity-${answer.severity}`, severities[answer.severity]),
    answer.conflicting && mark("conflicting", "Labels disagree"),
    answer.stale && mark("stale", date ? `Old label: ${day(date)}` : "Old label"),
    !answer.stale && date && mark("date", `Label of ${day(date)}`),
    doubt && mark("doubt", doubt),
    answer.made && mark("stale", `Answered on ${day(answer.made.slice(0, 10))}`),
  ].filter(Boolean);
}
