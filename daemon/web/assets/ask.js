// POST /v1/ask and what comes back, as a stream or at once.

import { events } from "./sse.js";

/** A failure in words for the person who asked: what happened, what to do. */
export class Problem extends Error {
  constructor(what, todo, code = "") {
    super(what);
    this.todo = todo;
    this.code = code;
  }
}

const technician = "ask your technician to run “rxedge doctor”";

const unreachable = () =>
  new Problem(
    "The service on this machine does not answer.",
    `Your question was not answered. Try again in a few seconds; if it stays like this, ${technician}.`,
    "unreachable",
  );

const brokeOff = () =>
  new Problem(
    "The answer broke off before it was complete.",
    "Do not rely on what is shown above. Ask again.",
    "incomplete",
  );

const advice = {
  invalid_request: "Change the question and ask again.",
  context_length_exceeded: "Ask a shorter question.",
  engine_lost: "Ask again; the language model is being started anew.",
  engine_starting: "Wait a few seconds and try again.",
  engine_missing: `Please ${technician}.`,
  index_damaged: `Please ${technician}.`,
  documents_lost: `Please ${technician}.`,
  stopping: "Wait a few seconds and try again.",
  timeout: "Ask again, or ask more briefly.",
  foreign_host: "Open this page at http://localhost or http://127.0.0.1 on the machine itself.",
};

export const sentence = (s) => s && s[0].toUpperCase() + s.slice(1).replace(/[.\s]*$/, ".");

/**
 * A Problem from problem+json ({title, detail, status, code}), or from a bare
 * status where the body is something else. The detail is written for people;
 * the title is only the status in words.
 */
export function problemOf(body, status = body?.status) {
  const busy = status === 429 || status === 503;
  const todo =
    advice[body?.code] ??
    (busy
      ? "Wait a few seconds and try again."
      : status >= 400 && status < 500
        ? "Change the question and ask again."
        : `Try again; if it stays like this, ${technician}.`);
  const what = sentence(body?.detail || body?.title || (busy ? "The service is busy" : "The service could not answer"));
  return new Problem(what, todo, body?.code ?? (status ? `HTTP ${status}` : ""));
}

/** The Problem of a response that is not ok. */
export async function refusal(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // not JSON: the status has to do
  }
  return problemOf(body, response.status);
}

/**
 * Asks; previous are the questions before it that it may go on from. Calls on.retrieved(list), on.claim(claim), on.withheld(n) as they come,
 * and resolves to the whole Answer. Rejects with a Problem, or with an
 * AbortError after the signal.
 */
export async function ask(question, previous, on, signal) {
  let response;
  try {
    response = await fetch("/v1/ask", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(previous.length ? { question, previous } : { question }),
      cache: "no-store",
      signal,
    });
  } catch (err) {
    throw err.name === "AbortError" ? err : unreachable();
  }
  if (!response.ok) throw await refusal(response);

  try {
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return await response.json();
    for await (const { event, data } of events(response.body)) {
      const value = JSON.parse(data);
      if (event === "retrieved") on.retrieved(value.retrieved ?? []);
      else if (event === "claim") on.claim(value);
      else if (event === "withheld") on.withheld(value.count ?? 0);
      else if (event === "done") return value;
      else if (event === "error") throw problemOf(value);
    }
  } catch (err) {
    if (err.name === "AbortError" || err instanceof Problem) throw err;
    throw brokeOff();
  }
  throw brokeOff();
}
