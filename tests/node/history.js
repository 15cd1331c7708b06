// Joins a room over STOMP in a WebSocket, with stompjs: its last messages, then what comes, also over a lost connection. Prints
// all that it got, as offset and body.

import { parseArgs } from "node:util";

import { Client } from "@stomp/stompjs";
import { WebSocket } from "ws";

const { values: options } = parseArgs({
  options: { port: { type: "string" }, until: { type: "string" }, cut: { type: "string" } },
});
const seen = [];
let last = 0;

const client = new Client({
  brokerURL: `ws://127.0.0.1:${options.port}/ws`,
  webSocketFactory: () => new WebSocket(`ws://127.0.0.1:${options.port}/ws`, ["v12.stomp", "v11.stomp", "v10.stomp"]),
  connectHeaders: { login: "guest", passcode: "guest" },
  reconnectDelay: 50,
  onStompError: (frame) => fail(`ERROR ${frame.headers.message} ${frame.body}`),
  onConnect() {
    const start = last ? `offset=${last + 1}` : "last=50";
    const wanted = { "x-stream-offset": start, ack: "client-individual", "prefetch-count": "20" };
    client.subscribe("/amq/queue/room-5", heard, wanted);
  },
});
client.activate();

function heard(message) {
  last = Number(message.headers["x-stream-offset"]);
  seen.push([last, message.body]);
  message.ack();
  if (seen.length === 1) console.log("joined");
  if (message.body === options.until) {
    process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));
  } else if (seen.length === Number(options.cut)) {
    // What is on its way is lost, and so is the connection.
    client.unsubscribe(message.headers.subscription);
    client.forceDisconnect();
  }
}

function fail(why) {
  console.error(why);
  process.exit(1);
}
