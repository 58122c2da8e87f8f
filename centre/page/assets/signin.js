// Signing in, and making the first account by the token that was printed: it stands
// behind the # of the address, which no browser sends anywhere.

import { change, get } from "./api.js";
import { byId } from "./dom.js";

const [word, token] = location.hash.slice(1).split("=");
const first = word === "first" && token;
history.replaceState(null, "", location.pathname); // it stays in no history

function refused(text) {
  byId("said").textContent = text;
  byId("said").hidden = !text;
}

const session = await get("/v1/session");
if (session.signed_in) location.replace("/");
if (session.provider) {
  byId("provider").hidden = false;
  byId("provider-name").textContent = session.provider;
}
if (first && !session.accounts) {
  byId("title").textContent = "Make the first account";
  byId("what").textContent = "It is an admin's. The password has 15 characters or more; a few words are easy to keep in mind.";
  byId("what").hidden = byId("again-row").hidden = false;
  byId("again").required = true;
  byId("password").autocomplete = "new-password";
  byId("go").textContent = "Make it and sign in";
  byId("form").hidden = false;
} else {
  byId("form").hidden = !session.accounts;
  byId("nobody").hidden = session.accounts || Boolean(session.provider);
}
if (word === "refused") refused(`Signing in at ${session.provider ?? "the provider"} did not work: you may have no role here. The log of 'rxedge central serve' says why.`);
if (word === "provider") refused(`${session.provider ?? "The provider"} does not answer. Try again later.`);
byId("form").hidden || byId("user").focus();

byId("form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const name = byId("user").value.trim(), password = byId("password").value;
  const making = !byId("again-row").hidden;
  if (making && password !== byId("again").value) return refused("The two passwords are not the same.");
  refused("");
  byId("go").disabled = true;
  try {
    if (making) await change("POST", "/v1/first", { token, name, password });
    else {
      const res = await fetch("/v1/session", { method: "POST", headers: { "Content-Type": "application/json", "Rxedge-Request": "1" }, body: JSON.stringify({ name, password }) });
      if (!res.ok) throw new Error((await res.json()).detail);
    }
    location.replace("/");
  } catch (err) {
    refused(err.message);
    byId("go").disabled = false;
    byId("password").focus();
    byId("password").select();
  }
});
