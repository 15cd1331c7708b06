// The rooms over MQTT 5, with MQTT.js; and who has a token is also somebody, to whom others can write.

import { openPass } from "./login.js";
import { openChat } from "./rooms.js";

const ROOMS = "chat/room/";
const ANNOUNCED = "chat/rooms/";
/** What others write to us, in either protocol: to each of our tabs. To write to somebody, his name goes in between. */
const PRIVATE = "$user/queue/private";
/** What this tab says to itself, and no other tab hears. */
const NOTES = "$session/queue/notes";

const query = new URLSearchParams(location.search);

openChat("mqtt", (at, name, events) => {
  const pass = openPass(at, name, query.get("seconds"));
  const rooms = new Set();
  let renewal;
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
    // Not before there is a token to come with.
    manualConnect: Boolean(pass),
  });
  if (pass) renew().then(() => client.connect(), (error) => events.refused(error.message));

  /** A newer token before the last one ends, shown by AUTH where we are in (MQTT 5.0, 4.12.1), by CONNECT where not. */
  async function renew() {
    const goodForMs = await pass.renew();
    const properties = { authenticationMethod: "JWT", authenticationData: pass.token() };
    client.options.properties = properties;
    if (client.connected) client._sendPacket({ cmd: "auth", reasonCode: 0x19, properties });
    later(goodForMs * 0.8);
  }

  // The broker may be away, and the page with it: it is asked again until it answers.
  function later(ms) {
    clearTimeout(renewal);
    renewal = setTimeout(() => renew().catch(() => later(2000)), ms);
  }

  // The answer to a newer token. The library takes only what goes on, and this is the end of it.
  client.handleAuth = () => {};
  // The library keeps the code of a refusal, but not the broker's own words for it.
  client.on("packetreceive", (packet) => {
    reasonString = packet.properties?.reasonString;
  });
  client.on("connect", () => {
    admitted = true;
    // What is retained there says which rooms others have made.
    const own = pass ? [subscribe(PRIVATE), subscribe(NOTES)] : [];
    const standing = [...own, subscribe(`${ANNOUNCED}+`), ...[...rooms].map(enter)];
    Promise.all(standing).then(
      () => events.connected("WebSocket"),
      (error) => error.code && events.failed(readable(error, reasonString)),
    );
  });
  client.on("message", (topic, payload) => {
    const body = new TextDecoder().decode(payload);
    if (topic === PRIVATE) events.personal(body);
    else if (topic === NOTES) events.noted(body);
    else if (topic.startsWith(ROOMS)) events.message(topic.slice(ROOMS.length), body);
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
    isSomebody: Boolean(pass),
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
    /** To all tabs of `person`, and to all of ours, so that each has the whole conversation. */
    async whisper(person, body) {
      await publish(privately(person), body, false);
      if (person !== name) await publish(privately(name), body, false);
      await publish(NOTES, JSON.stringify({ note: "note_private", values: { person } }), false);
    },
    close() {
      clearTimeout(renewal);
      return client.endAsync();
    },
  };
});

const privately = (name) => PRIVATE.replace("/", `/${encodeURIComponent(name)}/`);

/** What a refusal says: the broker's words, or else the library's, and the reason code as the specification prints it. */
function readable(error, reasonString) {
  const code = typeof error.code === "number" ? `0x${error.code.toString(16).toUpperCase().padStart(2, "0")}` : "";
  return [reasonString || error.message, code].filter(Boolean).join(", ");
}
