// Two users of the demo in a headless browser, one of them in two tabs: they log in with a name alone, and write to each other
// where nobody else sees it. Prints what the tabs show, as JSON.

import { parseArgs } from "node:util";

import { launch, messages, say, shows, visit } from "./chromium.js";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    pictures: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});

const browser = await launch(options.browser);
try {
  const complaints = [];
  const enter = async (name, lang, viewport = { width: 1000, height: 700 }) => {
    const context = await browser.newContext({ locale: lang, viewport, deviceScaleFactor: 2 });
    return visit(context, { port: options.port, page: "chat.html", name, complaints, query: { lang } });
  };
  const desk = await enter("Mina", "ko");
  const phone = await enter("Mina", "ko", { width: 390, height: 760 });
  const alex = await enter("Alex", "en");
  const stranger = await enter("Jun", "ko");

  await say(desk, "안녕하세요, 미나예요!");
  await shows(alex, 1);
  await alex.click("#messages button.from");
  await say(alex, "Just for you, Mina.");
  await shows(alex, 1);
  for (const tab of [desk, phone]) await tab.click('[data-room="@Alex"]');
  await say(phone, "고마워요, Alex!");
  for (const tab of [desk, phone, alex]) await shows(tab, 2);
  // The last note of each is there before the pictures are taken.
  await noted(alex, "note_private");
  await noted(phone, "note_private");

  const conversation = await Promise.all([desk, phone, alex].map(messages));
  const notes = await Promise.all([desk, phone, alex].map((tab) => tab.locator('#messages [data-word="note_private"]').count()));
  const others = await stranger.$$eval("#room-list [data-room]", (rows) => rows.map((row) => row.dataset.room));
  if (options.pictures) {
    await alex.screenshot({ path: `${options.pictures}/private-alex.png` });
    await phone.screenshot({ path: `${options.pictures}/private-mina-phone.png` });
  }
  console.log(JSON.stringify({ conversation, notes, others, complaints }));
} finally {
  await browser.close();
}

function noted(tab, key) {
  return tab.waitForSelector(`#messages [data-word="${key}"]`);
}
