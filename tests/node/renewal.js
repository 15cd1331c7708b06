// A token that ends in the middle of a conversation, in a headless browser: what the demo's pages and their frames say of it.
// One user is there in two tabs, the token of one of which is short. Prints what was seen, as JSON.

import { parseArgs } from "node:util";

import { launch, messages, say, shows, visit } from "./chromium.js";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    pictures: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});

const ERRORS = "/session/queue/request-error";

const browser = await launch(options.browser);
try {
  const complaints = [];
  const mina = await enter("Mina", "ko", { seconds: "10" });
  const other = await enter("Mina", "ko", {});
  const alex = await enter("Alex", "en", {});
  await say(alex.tab, "Are you still there, Mina?");
  for (const { tab } of [mina, other, alex]) await shows(tab, 1);

  // No newer token can be had: the one that Mina has ends, which her tab is told, and what she says then is dropped.
  let held = 0;
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  await mina.tab.route("**/demo/login", async (route) => {
    held += 1;
    await gate;
    await route.continue();
  });
  const before = mina.came.length;
  const errors = () => mina.came.slice(before).filter((frame) => frame.headers.destination === ERRORS);
  await until(() => held > 0);
  await say(mina.tab, "네, 토큰이 끝나도 여기 있어요.");
  await until(() => errors().some((frame) => frame.headers["client-request-code"]));
  const [told, dropped] = [errors()[0], errors().find((frame) => frame.headers["client-request-code"])];
  const heardBefore = (await messages(alex.tab)).length;

  // Now it can: the page fetches one and says it again.
  release();
  for (const { tab } of [mina, other, alex]) await shows(tab, 2);
  const note = await mina.tab.waitForSelector('#messages [data-word="note_renewed_again"]');
  const noted = await note.textContent();
  await say(alex.tab, "Good, and the connection is the same.");
  for (const { tab } of [mina, other, alex]) await shows(tab, 3);
  if (options.pictures) await mina.tab.screenshot({ path: `${options.pictures}/token-renewed-mina.png` });

  const code = dropped.headers["client-request-code"];
  const tries = mina.went.filter((frame) => frame.headers["client-request-code"] === code);
  const bearers = new Set(tries.map((frame) => frame.headers.Authorization));
  const withToken = ["CONNECT", "SUBSCRIBE", "SEND"].map((command) => {
    const frames = mina.went.filter((frame) => frame.command === command);
    return [command, frames.length > 0 && frames.every((frame) => /^Bearer eyJ/.test(frame.headers.Authorization ?? ""))];
  });
  const everywhere = [mina, other, alex].flatMap(({ came }) => came);
  console.log(JSON.stringify({
    withToken: Object.fromEntries(withToken),
    // That it ended, and then of the frame: each on the error channel, with its headers.
    told: told.headers["error-code"],
    dropped: dropped.headers["error-code"],
    expiredAt: dropped.headers["expired-at"],
    isOfTheFrame: tries.map((frame) => `${frame.command} ${frame.headers.destination}`),
    tokens: bearers.size,
    heardBefore,
    noted: noted.includes(code),
    connections: [mina, other, alex].map(({ sockets }) => sockets),
    states: await mina.tab.evaluate(() => window.states),
    // The other tab of the same user: what was for the one session did not come to it.
    elsewhere: other.came.filter((frame) => frame.headers.destination?.startsWith("/session/")).length,
    leaked: everywhere.filter((frame) => Object.keys(frame.headers).some((name) => /^authorization$/i.test(name))).length,
    conversation: await Promise.all([mina, other, alex].map(({ tab }) => messages(tab))),
    complaints,
  }));

  async function enter(name, lang, query) {
    const context = await browser.newContext({ locale: lang, viewport: { width: 1000, height: 700 }, deviceScaleFactor: 2 });
    const guest = { sockets: 0, went: [], came: [] };
    const watch = (tab) =>
      tab.on("websocket", (socket) => {
        guest.sockets += 1;
        socket.on("framesent", ({ payload }) => guest.went.push(...frames(payload)));
        socket.on("framereceived", ({ payload }) => guest.came.push(...frames(payload)));
      });
    guest.tab = await visit(context, {
      ...{ port: options.port, page: "chat.html", name, complaints, watch },
      query: { lang, transport: "websocket", ...query },
    });
    await guest.tab.evaluate(() => {
      window.states = [document.body.dataset.state];
      new MutationObserver(() => window.states.push(document.body.dataset.state)).observe(document.body, {
        attributeFilter: ["data-state"],
      });
    });
    return guest;
  }
} finally {
  await browser.close();
}

/** The frames of STOMP in a message of SockJS: `["…"]` from the client, `a["…"]` from the server. */
function frames(payload) {
  const list = String(payload).replace(/^a/, "");
  if (!list.startsWith("[")) return [];
  return JSON.parse(list).filter((text) => text.trim()).map((text) => {
    const [head] = text.trimStart().split("\n\n", 1);
    const [command, ...lines] = head.split("\n");
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon)] ??= line.slice(colon + 1).replaceAll("\\c", ":");
    }
    return { command, headers };
  });
}

/** Looks again and again; who waits for this script has the clock. */
async function until(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 50));
}
