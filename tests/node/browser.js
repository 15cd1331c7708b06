// Three pages of the demo in a headless browser: two over STOMP and one over MQTT, in one room. Each says something, each
// must see everything; then they are pictured. Prints what each page shows, as JSON.

import { parseArgs } from "node:util";

import { launch, messages, say, shows, visit } from "./chromium.js";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    room: { type: "string", default: "5" },
    scheme: { type: "string", default: "http" },
    pictures: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});

const GUESTS = [
  { name: "Mina", page: "chat.html", language: "ko", says: ["안녕하세요! 방 5에 오신 것을 환영해요", "STOMP로 말하고 있어요."] },
  { name: "Jun", page: "mqtt.html", language: "ko", says: ["반가워요! 저는 MQTT 5로 들어왔어요.", "메시지가 바로 오네요."] },
  { name: "Alex", page: "chat.html", language: "en", says: ["Hello from a third window!", "One room, two protocols."] },
];

const browser = await launch(options.browser);

try {
  const complaints = [];
  for (const guest of GUESTS) await enter(guest, complaints);
  for (let turn = 0; turn < 2; turn += 1) {
    for (const guest of GUESTS) await saySeen(guest, guest.says[turn], (turn * GUESTS.length) + GUESTS.indexOf(guest) + 1);
  }
  const shown = [];
  for (const guest of GUESTS) {
    shown.push({ name: guest.name, messages: await messages(guest.tab) });
    if (options.pictures) await guest.tab.screenshot({ path: `${options.pictures}/${picture(guest)}` });
  }
  console.log(JSON.stringify({ shown, complaints }));
} finally {
  await browser.close();
}

async function enter(guest, complaints) {
  const context = await browser.newContext({
    viewport: { width: 1000, height: 700 },
    deviceScaleFactor: 2,
    locale: guest.language,
    // The authority of a test is not among those that the browser knows.
    ignoreHTTPSErrors: options.scheme === "https",
  });
  guest.tab = await visit(context, {
    ...{ port: options.port, scheme: options.scheme, page: guest.page, name: guest.name, complaints },
    query: { room: options.room, lang: guest.language },
  });
}

/** Says it in one window, and waits until every window shows that many messages. */
async function saySeen(guest, text, count) {
  await say(guest.tab, text);
  for (const { tab } of GUESTS) await shows(tab, count);
}

function picture(guest) {
  return `room-${guest.page === "mqtt.html" ? "mqtt" : "stomp"}-${guest.name.toLowerCase()}.png`;
}
