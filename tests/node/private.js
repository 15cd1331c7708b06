// Two users of the demo in a headless browser, one of them in three tabs and over both protocols: they log in with a name alone,
// and write to each other where nobody else sees it. Prints what the tabs show, as JSON.

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
  const enter = async (name, lang, { viewport = { width: 1000, height: 700 }, page = "chat.html", query } = {}) => {
    const context = await browser.newContext({ locale: lang, viewport, deviceScaleFactor: 2 });
    return visit(context, { port: options.port, page, name, complaints, query: { lang, ...query } });
  };
  const desk = await enter("Mina", "ko");
  const phone = await enter("Mina", "ko", { viewport: { width: 390, height: 760 } });
  const mqtt = await enter("Mina", "ko", { page: "mqtt.html", query: { seconds: "5" } });
  const alex = await enter("Alex", "en");
  const stranger = await enter("Jun", "ko");

  await say(desk, "안녕하세요, 미나예요!");
  await shows(alex, 1);
  await alex.click("#messages button.from");
  await say(alex, "Just for you, Mina.");
  await shows(alex, 1);
  for (const tab of [desk, phone, mqtt]) await tab.click('[data-room="@Alex"]');
  await say(phone, "고마워요, Alex!");
  for (const tab of [desk, phone, mqtt, alex]) await shows(tab, 2);
  // Two tokens later the first one has ended: who speaks MQTT has shown a newer one by AUTH.
  for (const _ of [1, 2]) {
    const last = await mqtt.textContent("#token");
    await mqtt.waitForFunction((last) => document.querySelector("#token").textContent !== last, last);
  }
  await say(mqtt, "MQTT로도 저예요.");
  for (const tab of [desk, phone, mqtt, alex]) await shows(tab, 3);
  // The last note of each is there before the pictures are taken.
  await noted(alex, "note_private");
  await noted(phone, "note_private");
  await noted(mqtt, "note_private");

  const tabs = [desk, phone, mqtt, alex];
  const conversation = await Promise.all(tabs.map(messages));
  const notes = await Promise.all(tabs.map((tab) => tab.locator('#messages [data-word="note_private"]').count()));
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
