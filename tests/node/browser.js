// Three pages of the demo in a headless browser: two over STOMP and one over MQTT, in one room. Each says something, each
// must see everything; then they are pictured. Prints what each page shows, as JSON.

import { parseArgs } from "node:util";

import { chromium } from "playwright-core";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    room: { type: "string", default: "5" },
    pictures: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});

const GUESTS = [
  { name: "Mina", page: "chat.html", language: "ko", says: ["안녕하세요! 방 5에 오신 것을 환영해요", "STOMP로 말하고 있어요."] },
  { name: "Jun", page: "mqtt.html", language: "ko", says: ["반가워요! 저는 MQTT 5로 들어왔어요.", "메시지가 바로 오네요."] },
  { name: "Alex", page: "chat.html", language: "en", says: ["Hello from a third window!", "One room, two protocols."] },
];

const browser = await chromium.launch({
  executablePath: options.browser,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

try {
  const complaints = [];
  for (const guest of GUESTS) await enter(guest, complaints);
  for (let turn = 0; turn < 2; turn += 1) {
    for (const guest of GUESTS) await say(guest, guest.says[turn], (turn * GUESTS.length) + GUESTS.indexOf(guest) + 1);
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
  });
  guest.tab = await context.newPage();
  guest.tab.setDefaultTimeout(20000);
  guest.tab.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${guest.name}: ${message.text()}`);
  });
  guest.tab.on("pageerror", (error) => complaints.push(`${guest.name}: ${error.message}`));
  const query = new URLSearchParams({ name: guest.name, room: options.room, join: "1", lang: guest.language });
  await guest.tab.goto(`http://127.0.0.1:${options.port}/demo/${guest.page}?${query}`);
  await guest.tab.waitForSelector('#state[data-state="connected"]');
}

/** Says it in one window, and waits until every window shows that many messages. */
async function say(guest, text, count) {
  await guest.tab.fill("#text", text);
  await guest.tab.click("#send");
  for (const { tab } of GUESTS) {
    await tab.waitForFunction((wanted) => document.querySelectorAll("#messages .message").length >= wanted, count);
  }
}

function messages(tab) {
  return tab.$$eval("#messages .message", (items) =>
    items.map((item) => ({
      from: item.querySelector(".from").textContent,
      body: item.querySelector(".body").textContent,
    })),
  );
}

function picture(guest) {
  return `room-${guest.page === "mqtt.html" ? "mqtt" : "stomp"}-${guest.name.toLowerCase()}.png`;
}
