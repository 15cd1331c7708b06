// A headless browser that may have a certificate in its store, at a door by TLS: MQTT.js, stompjs and sockjs-client in a page of
// that door. Prints, as JSON, what the page itself became, and what was heard by each way.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { settle } from "./chromium.js";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    // Where its user is at home: the certificates are in .pki/nssdb there.
    home: { type: "string" },
    // Whether clients say guest/guest; otherwise they say nothing of themselves.
    guest: { type: "boolean", default: false },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
const origin = `https://127.0.0.1:${options.port}`;
const packages = join(dirname(fileURLToPath(import.meta.url)), "node_modules");

// Somebody who is asked for a certificate picks one; nobody sits here, so the first is picked at this door.
const profile = join(options.home, "profile");
mkdirSync(join(profile, "Default"), { recursive: true });
const picks = { [`${origin},*`]: { setting: { filters: [{}] } } };
const preferences = { profile: { content_settings: { exceptions: { auto_select_certificate: picks } } } };
writeFileSync(join(profile, "Default", "Preferences"), JSON.stringify(preferences));

const context = await settle(options.browser, profile, { HOME: options.home });
try {
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  let visited;
  try {
    visited = String((await page.goto(`${origin}/stomp`)).status());
  } catch (error) {
    visited = error.message.split("\n")[0];
  }
  const heard = {};
  if (visited === "200") {
    for (const script of ["mqtt/dist/mqtt.min.js", "@stomp/stompjs/bundles/stomp.umd.min.js", "sockjs-client/dist/sockjs.min.js"]) {
      await page.addScriptTag({ path: join(packages, script) });
    }
  }
  // Where the visit failed, the browser's own page about that is still coming: a page of its own stays as it is.
  const speaker = visited === "200" ? page : await context.newPage();
  for (const [way, talk] of Object.entries(visited === "200" ? { mqtt, stomp, sockjs } : { bare })) {
    heard[way] = await speaker.evaluate(talk, { port: options.port, guest: options.guest });
  }
  console.log(JSON.stringify({ visited, heard }));
} finally {
  await context.close();
}

// What follows runs in the page: each says something to itself, and returns what it heard.

function mqtt({ port, guest }) {
  const login = guest ? { username: "guest", password: "guest" } : {};
  return new Promise((resolve) => {
    const client = window.mqtt.connect(`wss://127.0.0.1:${port}/ws`, { protocolVersion: 5, reconnectPeriod: 0, clientId: "page", ...login });
    client.on("connect", () => client.subscribe("page/mqtt", { qos: 1 }, () => client.publish("page/mqtt", "by MQTT", { qos: 1 })));
    client.on("message", (_, body) => {
      resolve(body.toString());
      client.end();
    });
    client.on("error", (error) => resolve(`error: ${error}`));
    client.on("close", () => resolve("closed"));
  });
}

function stomp({ port, guest }) {
  return new Promise((resolve) => {
    const client = new window.StompJs.Client({
      brokerURL: `wss://127.0.0.1:${port}/ws`,
      connectHeaders: guest ? { login: "guest", passcode: "guest" } : {},
      reconnectDelay: 0,
      onConnect() {
        client.subscribe("/topic/page.stomp", (message) => {
          resolve(message.body);
          client.deactivate();
        });
        client.publish({ destination: "/topic/page.stomp", body: "by STOMP" });
      },
      onStompError: (frame) => resolve(`error: ${frame.headers.message}`),
      onWebSocketClose: () => resolve("closed"),
    });
    client.activate();
  });
}

function sockjs({ port, guest }) {
  return new Promise((resolve) => {
    const client = new window.StompJs.Client({
      webSocketFactory: () => new window.SockJS(`https://127.0.0.1:${port}/stomp`, null, { transports: ["xhr-streaming"] }),
      connectHeaders: guest ? { login: "guest", passcode: "guest" } : {},
      reconnectDelay: 0,
      onConnect() {
        client.subscribe("/topic/page.sockjs", (message) => {
          resolve(message.body);
          client.deactivate();
        });
        client.publish({ destination: "/topic/page.sockjs", body: "by SockJS" });
      },
      onStompError: (frame) => resolve(`error: ${frame.headers.message}`),
      onWebSocketClose: () => resolve("closed"),
    });
    client.activate();
  });
}

function bare({ port }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/ws`, ["mqtt"]);
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("refused");
  });
}
