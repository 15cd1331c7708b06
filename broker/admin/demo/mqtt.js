// The rooms over MQTT 5, with MQTT.js.

import { openChat } from "./rooms.js";

const ROOMS = "chat/room/";
const ANNOUNCED = "chat/rooms/";

openChat("mqtt", (at, _name, events) => {
  const rooms = new Set();
  let admitted = false;
  let reasonString;

  const client = mqtt.connect(at.ws, {
    protocolVersion: 5,
    clientId: `demo-${Math.random().toString(36).slice(2, 12)}`,
    clean: true,
    keepalive: 30,
    reconnectPeriod: 2000,
    connectTimeout: 8000,
    // Subscriptions are asked for on every "connect" below, so that their answer is always seen.
    resubscribe: false,
    // The other kinds start a worker from a blob, which the page's policy does not allow.
    timerVariant: "native",
  });
  // The library keeps the code of a refusal, but not the broker's own words for it.
  client.on("packetreceive", (packet) => {
    reasonString = packet.properties?.reasonString;
  });
  client.on("connect", () => {
    admitted = true;
    // What is retained there says which rooms others have made.
    const standing = [subscribe(`${ANNOUNCED}+`), ...[...rooms].map(enter)];
    Promise.all(standing).then(
      () => events.connected("WebSocket"),
      (error) => error.code && events.failed(readable(error, reasonString)),
    );
  });
  client.on("message", (topic, payload) => {
    const body = new TextDecoder().decode(payload);
    if (topic.startsWith(ROOMS)) events.message(topic.slice(ROOMS.length), body);
    else events.announced(topic.slice(ANNOUNCED.length), body);
  });
  client.on("disconnect", (packet) => {
    events.failed(readable({ code: packet.reasonCode, message: "DISCONNECT" }, reasonString));
  });
  client.on("error", (error) => {
    // Only the broker's own refusals carry a code; everything else ends in "close" as well.
    if (typeof error.code === "number") events.refused(readable(error, reasonString));
  });
  client.on("close", () => events.lost(admitted));

  const subscribe = (topic) => client.subscribeAsync(topic, { qos: 1 });

  async function enter(room) {
    try {
      await subscribe(ROOMS + room);
    } catch (error) {
      // Without a code the connection was lost, and the room is asked for again with the next one.
      if (typeof error.code === "number" && rooms.delete(room)) events.refused(readable(error, reasonString), room);
      return;
    }
    if (rooms.has(room)) events.joined(room);
  }

  async function publish(topic, body, retain) {
    try {
      await client.publishAsync(topic, body, { qos: 1, retain, properties: { contentType: "application/json" } });
    } catch (error) {
      throw new Error(readable(error, reasonString));
    }
  }

  return {
    isSomebody: false,
    join(room) {
      rooms.add(room);
      if (client.connected) enter(room);
    },
    leave(room) {
      if (rooms.delete(room) && client.connected) client.unsubscribeAsync(ROOMS + room).catch(() => {});
    },
    announce(room, body) {
      publish(ANNOUNCED + room, body, true).catch(() => {});
    },
    send: (room, body) => publish(ROOMS + room, body, false),
    close: () => client.endAsync(),
  };
});

/** What a refusal says: the broker's words, or else the library's, and the reason code as the specification prints it. */
function readable(error, reasonString) {
  const code = typeof error.code === "number" ? `0x${error.code.toString(16).toUpperCase().padStart(2, "0")}` : "";
  return [reasonString || error.message, code].filter(Boolean).join(", ");
}
