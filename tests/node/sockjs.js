// sockjs-client with stompjs in a headless browser, over each of its transports in turn: messages go out to a topic and come
// back from it. Prints what came of it, as JSON: a line for each transport, then one for a page that may not connect.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { parseArgs } from "node:util";

import { launch } from "./chromium.js";

const { values: options } = parseArgs({
  options: {
    broker: { type: "string" },
    port: { type: "string" },
    messages: { type: "string", default: "1000" },
    transports: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});

const PAGE = `<!doctype html><meta charset="utf-8"><title>SockJS</title>
<script src="/sockjs.min.js"></script><script src="/stomp.umd.min.js"></script>`;

const read = (path) => readFileSync(new URL(`node_modules/${path}`, import.meta.url));
const files = {
  "/": ["text/html", PAGE],
  "/sockjs.min.js": ["text/javascript", read("sockjs-client/dist/sockjs.min.js")],
  "/stomp.umd.min.js": [
    "text/javascript",
    read("@stomp/stompjs/bundles/stomp.umd.min.js"),
  ],
};

const server = createServer((request, response) => {
  const [type, body] = files[request.url] ?? ["text/plain", undefined];
  response.writeHead(body === undefined ? 404 : 200, { "Content-Type": type });
  response.end(body);
});
await new Promise((resolve) => server.listen(Number(options.port), "127.0.0.1", resolve));

// Names under localhost are this machine's; ::1 is not listened on.
const browser = await launch(options.browser, ["--host-resolver-rules=MAP *localhost 127.0.0.1"]);

try {
  for (const transport of options.transports.split(",")) {
    // It works on pages of the broker's own origin only.
    const isOurs = transport === "htmlfile";
    const page = await visit(isOurs ? `http://${options.broker}` : `http://localhost:${options.port}`, isOurs);
    const came = await page.evaluate(talk, {
      transport,
      url: `http://${options.broker}/stomp`,
      count: Number(options.messages),
    });
    console.log(JSON.stringify(came));
    await page.close();
  }
  const page = await visit(`http://stranger.localhost:${options.port}`, false);
  const refused = await page.evaluate((url) => new Promise((resolve) => {
    const socket = new SockJS(url);
    socket.onopen = () => resolve("open");
    socket.onclose = (event) => resolve(`closed with ${event.code}`);
  }), `http://${options.broker}/stomp`);
  console.log(JSON.stringify({ refused }));
} finally {
  await browser.close();
  server.close();
}

async function visit(origin, isOurs) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(60000);
  if (isOurs) {
    for (const [path, [contentType, body]] of Object.entries(files)) {
      await page.route(origin + path, (route) => route.fulfill({ contentType, body }));
    }
  }
  await page.goto(`${origin}/`);
  return page;
}

/** In the page: sends so many messages, and waits until as many came. */
function talk({ transport, url, count }) {
  return new Promise((resolve) => {
    const [received, sockets, complaints] = [[], [], []];
    const destination = `/topic/${transport}`;
    const client = new StompJs.Client({
      webSocketFactory: () => {
        sockets.push(new SockJS(url, null, { transports: transport }));
        return sockets.at(-1);
      },
      reconnectDelay: 0,
      onConnect: () => {
        client.subscribe(destination, (message) => {
          received.push(message.body);
          if (received.length === count) finish("done");
        }, { receipt: "subscribed" });
        client.watchForReceipt("subscribed", () => {
          for (let number = 0; number < count; number += 1) {
            client.publish({ destination, body: `메시지 ${number} "\\\u2028` });
          }
        });
      },
      onStompError: (frame) => complaints.push(frame.headers.message),
      onWebSocketClose: (event) => finish(`closed with ${event.code} ${event.reason}`),
    });
    const timer = setTimeout(() => finish("out of time"), 50000);
    const finish = (outcome) => {
      clearTimeout(timer);
      const inOrder = received.every((body, number) => body === `메시지 ${number} "\\\u2028`);
      const transports = sockets.map((socket) => socket.transport);
      resolve({ transport, outcome, received: received.length, inOrder, transports, complaints });
      client.deactivate();
    };
    client.activate();
  });
}
