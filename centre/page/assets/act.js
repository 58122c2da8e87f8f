// Steps that a person takes: each is asked why.

import { change } from "./api.js";
import { byId } from "./dom.js";

let pending = null;

/** Asks why, and takes the step: {title, what, word, path, rollback, with}; done is called after it. */
export function act(step, done) {
  pending = { step, done };
  byId("step-title").textContent = step.title;
  byId("step-what").textContent = step.what;
  byId("step-do").textContent = step.word;
  byId("step-option").hidden = !step.rollback;
  byId("step-rollback").checked = false;
  byId("step-reason").value = "";
  byId("step-error").hidden = true;
  byId("step").showModal();
  byId("step-reason").focus();
}

byId("step-cancel").addEventListener("click", () => byId("step").close());
byId("step-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const { step, done } = pending;
  const body = { ...step.with, reason: byId("step-reason").value };
  if (step.rollback && byId("step-rollback").checked) body.rollback = true;
  byId("step-do").disabled = true;
  try {
    const out = await change("POST", step.path, body);
    byId("step").close();
    byId("said").textContent = `Done: it is ${out.state}.`;
    done(out);
    if (!out.published && "published" in out) {
      byId("trouble").textContent = "It is done and on record here, and the hub does not have it yet; it is given to it as soon as it is reached.";
      byId("trouble").hidden = false;
    }
  } catch (err) {
    byId("step-error").textContent = err.message;
    byId("step-error").hidden = false;
  } finally {
    byId("step-do").disabled = false;
  }
});
