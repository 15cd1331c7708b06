// A page of the demo in a headless browser, of a broker that is killed and started again while the page is open: it finds
// its own way in, without a WebSocket, and again. Prints what it shows, before and after, as JSON.

import { parseArgs } from "node:util";

import { launch, messages, say, shows, visit } from "./chromium.js";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});

const browser = await launch(options.browser);
try {
  const tab = await visit(await browser.newContext({ locale: "ko" }), {
    ...{ port: options.port, page: "chat.html", name: "Mina", complaints: [] },
    query: { lang: "ko", room: "점심" },
  });
  await say(tab, "여기 있어요.");
  await shows(tab, 1);
  await tell(tab);
  await tab.waitForSelector('#state[data-state="lost"]');
  await tab.waitForSelector('#state[data-state="connected"]', { timeout: 120000 });
  await say(tab, "다시 왔어요.");
  await shows(tab, 2);
  await tell(tab);
} finally {
  await browser.close();
}

async function tell(tab) {
  const [transport, said] = [await tab.textContent("#transport"), await messages(tab)];
  console.log(JSON.stringify({ transport, said: said.map(({ body }) => body) }));
}
