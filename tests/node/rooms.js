// The rooms of the demo in a headless browser: one is made over STOMP and joined over MQTT, by a page that came before and
// by one that comes later, over each transport that the page offers. Prints what the pages show, as JSON.

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
  const complaints = [];
  const enter = async (name, page, query) =>
    visit(await browser.newContext({ locale: "ko" }), { port: options.port, page, name, complaints, query });
  const mina = await enter("Mina", "chat.html", { lang: "ko" });
  const jun = await enter("Jun", "mqtt.html", { lang: "ko" });
  const alex = await enter("Alex", "chat.html", { lang: "en", transport: "xhr-polling" });
  const transports = [await mina.textContent("#transport"), await alex.textContent("#transport")];

  // Made by one, it is in the lists of those who are there, and of those who come later.
  await mina.fill("#new-room", "점심");
  await mina.click("#make button");
  await mina.waitForSelector("#messages .note");
  await jun.click('.outside[data-room="점심"]');
  await jun.waitForSelector("#messages .note");
  const late = await enter("Late", "chat.html", { lang: "ko", transport: "xhr-streaming" });
  transports.push(await late.textContent("#transport"));
  await late.click('.outside[data-room="점심"]');
  await late.waitForSelector("#messages .note");

  await say(mina, "김밥 어때요?");
  await say(alex, "Is everybody out for lunch?");
  for (const tab of [mina, jun, late]) {
    await shows(tab, 1);
    await tab.waitForSelector('[data-room="5"] .unread');
  }
  await shows(alex, 1);
  const lunch = await Promise.all([mina, jun, late].map(messages));
  const unread = await mina.textContent('[data-room="5"] .unread');
  await mina.click('[data-room="5"]');
  const five = [await messages(mina), await messages(alex)];

  // Out of one room, then out of the last.
  await mina.click("#leave");
  const left = { title: await mina.textContent("#title"), state: await mina.getAttribute("#state", "data-state") };
  const again = await mina.getAttribute('[data-room="5"]', "class");
  await mina.click("#leave");
  const out = await mina.getAttribute("#state", "data-state");
  console.log(JSON.stringify({ transports, lunch, unread, five, left, again, out, complaints }));
} finally {
  await browser.close();
}
