// A headless browser that calls nobody, and pages of the demo in it.

import { chromium } from "playwright-core";

/** Starts the browser at `path`, with `more` arguments. */
export function launch(path, more = []) {
  return chromium.launch({ executablePath: path, args: [...ARGUMENTS, ...more] });
}

/** Starts it as a user of this machine would, with what is in the folder `profile`, and `environment` besides ours. */
export function settle(path, profile, environment) {
  const env = { ...process.env, ...environment };
  return chromium.launchPersistentContext(profile, { executablePath: path, args: ARGUMENTS, env, bypassCSP: true });
}

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * A tab at a page of the demo, in `context`; what goes wrong in it is put into `complaints`, under its `name`. `watch` gets it
 * before it has gone anywhere.
 */
export async function visit(context, { port, page, name, complaints, query, scheme = "http", watch = () => {} }) {
  const tab = await context.newPage();
  watch(tab);
  tab.setDefaultTimeout(30000);
  tab.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${name}: ${message.text()}`);
  });
  tab.on("pageerror", (error) => complaints.push(`${name}: ${error.message}`));
  await tab.goto(`${scheme}://127.0.0.1:${port}/demo/${page}?${new URLSearchParams({ name, join: "1", ...query })}`);
  await tab.waitForSelector('#state[data-state="connected"]');
  return tab;
}

/** Says it in the room that is open. */
export async function say(tab, text) {
  await tab.fill("#text", text);
  await tab.click("#send");
}

/** What the room that is open shows: who said what. */
export function messages(tab) {
  return tab.$$eval("#messages .message", (items) =>
    items.map((item) => ({
      from: item.querySelector(".from").textContent,
      body: item.querySelector(".body").textContent,
    })),
  );
}

/** Waits until the room that is open shows so many messages. */
export function shows(tab, count) {
  return tab.waitForFunction((wanted) => document.querySelectorAll("#messages .message").length >= wanted, count);
}
