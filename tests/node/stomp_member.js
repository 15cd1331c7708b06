// A member of a chat room over STOMP in a WebSocket, with stompjs: listens, and speaks when told to. It does and prints
// what the members in tests/python do.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { Client } from "@stomp/stompjs";
import { WebSocket } from "ws";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    name: { type: "string" },
    room: { type: "string", default: "5" },
    count: { type: "string" },
    total: { type: "string" },
    seconds: { type: "string", default: "60" },
  },
});
const total = Number(options.total);
const destination = `/topic/chat.room.${options.room}`;
const bodies = [];
let heardAll;

const client = new Client({
  brokerURL: `ws://127.0.0.1:${options.port}/ws`,
  webSocketFactory: () => new WebSocket(`ws://127.0.0.1:${options.port}/ws`, ["v12.stomp", "v11.stomp", "v10.stomp"]),
  connectHeaders: { login: "guest", passcode: "guest" },
  reconnectDelay: 0,
  onStompError: (frame) => fail(`ERROR ${frame.headers.message} ${frame.body}`),
  onWebSocketError: (event) => fail(`WebSocket: ${event.message}`),
  onConnect() {
    client.watchForReceipt("subscribed", () => console.log("ready"));
    client.subscribe(destination, heard, { id: "room", receipt: "subscribed" });
  },
});
client.activate();

createInterface({ input: process.stdin }).once("line", async () => {
  const all = new Promise((resolve) => (heardAll = resolve));
  for (let number = 1; number <= Number(options.count); number += 1) {
    const text = number % 2 ? "안녕하세요, 여러분! 🎉" : "hello, everybody";
    const body = JSON.stringify({ from: options.name, number, text: `${text} ${number}` });
    client.publish({ destination, body, headers: { "content-type": "application/json" } });
  }
  if (bodies.length < total) await Promise.race([all, pause(Number(options.seconds) * 1000)]);
  await pause(500);
  // More than a pipe holds: it must be written before the end.
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(bodies)}\n`, resolve));
  await client.deactivate();
  process.exit(0);
});

function heard(message) {
  bodies.push(message.body);
  if (bodies.length === total) heardAll?.();
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function fail(reason) {
  console.error(`${options.name}: ${reason}`);
  process.exit(1);
}
