// stompjs, told what to do: stomp_client.js 1.0|1.1|1.2 tcp|websocket PORT.

import { Socket } from "node:net";
import { connect } from "node:tls";

import { Client, Versions } from "@stomp/stompjs";
import { WebSocket } from "ws";

import { login, obey, payload, say, trust, word } from "./adapter.js";

const [version, transport, port] = process.argv.slice(2);
const messages = [];
const subscriptions = [];
let client;
let isLeaving;
let comesBack;
let isThere = false;

// What stompjs asks of a WebSocket, over TCP.
class Tcp {
  binaryType = "arraybuffer";
  readyState = 0;
  url = `tcp://127.0.0.1:${port}`;

  constructor() {
    const to = { host: "127.0.0.1", port: Number(port) };
    this.socket = trust.ca ? connect({ ...to, ...trust }) : new Socket().connect(to);
    this.socket.setNoDelay(true);
    this.socket.on(trust.ca ? "secureConnect" : "connect", () => {
      this.readyState = 1;
      this.onopen?.({});
    });
    this.socket.on("data", (data) => this.onmessage?.({ data: new Uint8Array(data).buffer }));
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.readyState = 3;
      this.onclose?.({ code: 1000, reason: "" });
    });
  }

  send(data) {
    this.socket.write(Buffer.from(data));
  }

  close() {
    this.readyState = 2;
    this.socket.end();
  }
}

// A receipt is asked for by a name of its own, and said by the name of what was done.
let receipts = 0;
function receipt(event) {
  receipts += 1;
  const name = `${event}-${receipts}`;
  client.watchForReceipt(name, () => say(event));
  return { receipt: name };
}

function listen([id, destination, ack], event) {
  client.subscribe(
    destination,
    (message) => {
      messages.push(message);
      const { headers } = message;
      const more = { redelivered: headers.redelivered === "true", type: headers["content-type"] };
      say("message", { destination: headers.destination, payload: word(message.binaryBody), ...more });
    },
    { id, ack, ...receipt(event) },
  );
}

await obey({
  connect(beat, habit) {
    isLeaving = false;
    comesBack = habit === "returns";
    let wasThere = false;
    client = new Client({
      webSocketFactory: () =>
        transport === "websocket"
          ? new WebSocket(`ws${trust.ca ? "s" : ""}://127.0.0.1:${port}/ws`, client.stompVersions.protocolVersions(), trust)
          : new Tcp(),
      stompVersions: new Versions([version]),
      forceBinaryWSFrames: transport === "tcp",
      connectHeaders: login,
      heartbeatIncoming: Number(beat),
      heartbeatOutgoing: Number(beat),
      reconnectDelay: comesBack ? 200 : 0,
      onConnect(frame) {
        if (wasThere) for (const subscription of subscriptions) listen(subscription, "returned");
        else say("connected", { version: frame.headers.version });
        wasThere = true;
        isThere = true;
      },
      onStompError: (frame) => say("error", { message: frame.headers.message }),
      onWebSocketClose() {
        if (isThere && !isLeaving) say("lost");
        isThere = false;
      },
    });
    client.activate();
  },
  subscribe(...subscription) {
    if (comesBack) subscriptions.push(subscription);
    listen(subscription, "subscribed");
  },
  unsubscribe(id, destination) {
    client.unsubscribe(id, { destination, ...receipt("unsubscribed") });
  },
  send(destination, body, transaction) {
    const headers = { "content-type": "text/plain;charset=utf-8" };
    Object.assign(headers, transaction ? { transaction } : receipt("sent"));
    client.publish({ destination, binaryBody: new Uint8Array(payload(body)), headers });
    if (transaction) say("sent");
  },
  ack(number) {
    messages[number].ack(receipt("settled"));
  },
  nack(number) {
    messages[number].nack(receipt("settled"));
  },
  begin(name) {
    client.begin(name);
    say("begun");
  },
  commit(name) {
    client.commit(name);
    say("committed");
  },
  abort(name) {
    client.abort(name);
    say("aborted");
  },
  async leave() {
    isLeaving = true;
    await client.deactivate();
    say("left");
  },
});
