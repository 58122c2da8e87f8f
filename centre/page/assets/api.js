// What the page asks of the centre.

/** An error that the centre has answered with. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const kept = new Map(); // sections by name: {etag, value}

async function answered(res) {
  if (res.status === 401) location.assign("/sign-in");
  if (res.ok) return res.json();
  let detail = `The centre answered with ${res.status}.`;
  try {
    detail = (await res.json()).detail || detail;
  } catch { /* not from the centre itself */ }
  throw new Refused(res.status, detail);
}

/** A section of the fleet; what has not changed is not sent again. */
export async function section(name, byPerson = false) {
  const had = kept.get(name);
  const headers = { Accept: "application/json" };
  if (!byPerson) headers["Rxedge-Background"] = "1";
  if (had) headers["If-None-Match"] = had.etag;
  const res = await fetch("/v1/sections/" + name, { headers, cache: "no-store" });
  if (res.status === 304) return had.value;
  const value = await answered(res);
  kept.set(name, { etag: res.headers.get("ETag"), value });
  return value;
}

export const get = async (path) => answered(await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store" }));

/** Changes something. */
export async function change(method, path, body) {
  return answered(await fetch(path, { method, headers: { "Content-Type": "application/json", Accept: "application/json", "Rxedge-Request": "1" }, body: JSON.stringify(body ?? {}) }));
}
