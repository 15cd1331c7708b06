// The room over MQTT 5, with MQTT.js.

import { openRoom } from "./room.js";

openRoom("mqtt", (url, room, events) => {
  const topic = `chat/room/${room}`;
  let admitted = false;
  let reasonString;

  const client = mqtt.connect(url, {
    protocolVersion: 5,
    clientId: `demo-${Math.random().toString(36).slice(2, 12)}`,
    clean: true,
    keepalive: 30,
    reconnectPeriod: 2000,
    connectTimeout: 8000,
    // A subscription is asked for on every "connect" below, so that its answer is always seen.
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
    client.subscribe(topic, { qos: 1 }, (error) => {
      if (error) events.refused(readable(error, reasonString), true);
      else events.connected();
    });
  });
  client.on("message", (_topic, payload) => events.message(new TextDecoder().decode(payload)));
  client.on("disconnect", (packet) => {
    events.refused(readable({ code: packet.reasonCode, message: "DISCONNECT" }, reasonString), false);
  });
  client.on("error", (error) => {
    // Only the broker's own refusals carry a code; everything else ends in "close" as well.
    if (typeof error.code === "number") events.refused(readable(error, reasonString), true);
  });
  client.on("close", () => events.lost(admitted));

  return {
    async send(body) {
      try {
        await client.publishAsync(topic, body, { qos: 1, properties: { contentType: "application/json" } });
      } catch (error) {
        throw new Error(readable(error, reasonString));
      }
    },
    leave: () => client.endAsync(),
  };
});

/** What a refusal says: the broker's words, or else the library's, and the reason code as the specification prints it. */
function readable(error, reasonString) {
  const code = typeof error.code === "number" ? `0x${error.code.toString(16).toUpperCase().padStart(2, "0")}` : "";
  return [reasonString || error.message, code].filter(Boolean).join(", ");
}
