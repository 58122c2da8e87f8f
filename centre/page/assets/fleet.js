// The fleet page: reads what the view that is shown needs, and again when the centre
// says that it has changed.

import { change, get, section } from "./api.js";
import { byId, count, el } from "./dom.js";
import { num, when } from "./station/format.js";
import * as sites from "./sites.js";

const views = ["sites", "rollouts", "drift", "fairness", "review", "quarantine", "requests", "audit"];
const needs = { sites: ["fleet", "sites"], rollouts: ["fleet", "rollouts"], drift: ["fleet", "drift"], fairness: ["fleet", "fairness"], requests: ["fleet", "requests"], audit: ["fleet", "audit"], review: ["fleet"], quarantine: ["fleet"] };
const modules = { rollouts: () => import("./rollouts.js"), drift: () => import("./drift.js"), fairness: () => import("./fairness.js"), requests: () => import("./records.js"), audit: () => import("./records.js"), review: () => import("./review.js"), quarantine: () => import("./review.js") };
const retry = 5000;

let person = { role: "viewer" }, view = "sites", drawing = false, again = false, live = null, problem = "";

const viewOf = () => views.find((v) => v === location.hash.slice(1)) ?? "sites";

function go() {
  const next = viewOf();
  const moved = next !== view;
  view = next;
  for (const s of document.querySelectorAll("main > section")) s.hidden = s.dataset.view !== view;
  for (const a of byId("views").children) {
    if (a.dataset.view === view) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = `${byId("views").querySelector("[aria-current]").textContent} – rxedge fleet`;
  if (moved) window.scrollTo(0, 0);
  draw(true);
}

async function draw(byPerson = false) {
  if (drawing) {
    again = true;
    return;
  }
  drawing = true;
  const mine = view;
  try {
    const [fleet, data] = await Promise.all(needs[mine].map((n) => section(n, byPerson)));
    problem = "";
    summary(fleet);
    if (mine === "sites") sites.show(data.sites, fleet);
    else await (await modules[mine]()).show(mine, data, person, () => draw());
    document.body.dataset.shown = mine;
  } catch (err) {
    problem = err.status === 503 ? "" : err.message || "The centre does not answer.";
    trouble();
    setTimeout(() => draw(), err.status === 503 ? 300 : retry);
  } finally {
    drawing = false;
  }
  if (again || mine !== view) {
    again = false;
    draw();
  }
}

let last = null;

function summary(f) {
  last = f;
  byId("name").textContent = f.name || "Fleet";
  byId("counted").textContent = f.from
    ? `${num(f.questions)} questions from ${f.from} to ${f.to}; the days were added up on ${when(f.counted)}.`
    : "No site has sent a day yet. A day is sent once it is over, in UTC.";
  for (const a of byId("views").children) {
    const n = { rollouts: f.under_way, requests: f.open }[a.dataset.view];
    if (n !== undefined) a.replaceChildren(a.textContent.replace(/ \d+.*$/, ""), ...(n ? [" ", el("span", { class: "badge" }, String(n), el("span", { class: "unseen" }, a.dataset.view === "rollouts" ? " under way" : " open"))] : []));
  }
  trouble();
}

function trouble() {
  const f = last, list = [];
  if (problem) list.push(`${problem} What is shown is older; it is tried again.`);
  if (f?.hub_error) list.push(`The hub is not read: ${f.hub_error}. ${f.hub_read ? "What is shown is older." : "Where sites stand is not known yet."} Is 'rxedge central hub' running?`);
  for (const t of f?.trouble ?? []) list.push(t);
  if (f?.damaged) list.push(`${count(f.damaged, "window or alarm is", "windows or alarms are")} damaged in the centre's folder, and left out.`);
  const text = list.join(" ");
  if (byId("trouble").textContent !== text) byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

function follow() {
  const source = new EventSource("/v1/events");
  const word = (text) => { if (byId("live").textContent !== text) byId("live").textContent = text; };
  source.addEventListener("open", () => word("Live"));
  source.addEventListener("changed", (e) => {
    const changed = JSON.parse(e.data);
    if (needs[view].some((n) => n in changed) && !document.hidden) draw();
  });
  source.addEventListener("over", () => location.assign("/sign-in"));
  source.addEventListener("error", () => {
    word("Not live: trying again");
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    clearTimeout(live);
    live = setTimeout(() => { draw(); follow(); }, retry);
  });
}

byId("sign-out").addEventListener("click", async () => {
  try {
    await change("DELETE", "/v1/session");
  } finally {
    location.assign("/sign-in");
  }
});
window.addEventListener("hashchange", go);
document.addEventListener("visibilitychange", () => { if (!document.hidden) draw(); });

get("/v1/session").then((s) => {
  person = s;
  byId("person").textContent = `· ${s.name}, ${s.role}`;
  if (view !== "sites") draw();
});
go();
follow();
