// Who we are: a signed token, good for a while, and a newer one when it has ended.

import { byId } from "./page.js";
import { currentLanguage } from "./words.js";

/**
 * What to show the broker for `name`, or null where this broker gives no tokens. `seconds`: how long each is good; as long as
 * the broker likes if it is not said. `renew()` fetches the next one, and says how many milliseconds it is good; several who ask
 * at once get the same. `token()` is the last one; `headers()` show it to STOMP.
 */
export function openPass(at, name, seconds) {
  if (!at.login) return null;
  let token = null;
  let renewal = null;

  async function fetchToken() {
    const wanted = seconds ? { name, seconds: Number(seconds) } : { name };
    const answer = await fetch("login", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(wanted),
    });
    if (!answer.ok) throw new Error(`${answer.status} ${(await answer.text()).trim()}`);
    const told = await answer.json();
    token = told.token;
    showEnd(new Date(Date.now() + told.seconds * 1000));
    return told.seconds * 1000;
  }

  return {
    token: () => token,
    headers: () => (token ? { Authorization: `Bearer ${token}` } : {}),
    renew() {
      renewal ??= fetchToken().finally(() => (renewal = null));
      return renewal;
    },
  };
}

function showEnd(at) {
  byId("token").textContent = new Intl.DateTimeFormat(currentLanguage(), { timeStyle: "medium" }).format(at);
}
