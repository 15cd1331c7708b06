// MQTT.js, told what to do: mqtt_client.js 3.1|3.1.1|5.0 tcp|websocket PORT.

import mqtt from "mqtt";

import { obey, payload, say, trust, word } from "./adapter.js";

const [version, transport, port] = process.argv.slice(2);
const s = trust.ca ? "s" : "";
const url = transport === "websocket" ? `ws${s}://127.0.0.1:${port}/ws` : `mqtt${s}://127.0.0.1:${port}`;
let client;

function message([topic, body, qos, retain, responseTopic, correlation]) {
  const options = { qos: Number(qos), retain: retain === "1" };
  if (responseTopic) options.properties = { responseTopic, correlationData: payload(correlation) };
  return { topic, body: payload(body), options };
}

await obey({
  connect(clientId, session, ...will) {
    const keep = session === "keep";
    const options = { clientId, clean: !keep, reconnectPeriod: 0, keepalive: 30, ...trust };
    Object.assign(options, {
      3.1: { protocolId: "MQIsdp", protocolVersion: 3 },
      "3.1.1": { protocolVersion: 4 },
      "5.0": { protocolVersion: 5, properties: keep ? { sessionExpiryInterval: 3600 } : {} },
    }[version]);
    if (will.length) {
      const last = message(will);
      options.will = { topic: last.topic, payload: last.body, ...last.options };
    }
    client = mqtt.connect(url, options);
    client.on("connect", (connack) => say("connected", { present: connack.sessionPresent }));
    client.on("error", (error) => say("failed", { why: String(error) }));
    client.on("message", (topic, body, packet) => {
      const { responseTopic, correlationData } = packet.properties ?? {};
      const more = responseTopic ? { response_topic: responseTopic, correlation: word(correlationData) } : {};
      say("message", { topic, payload: word(body), qos: packet.qos, retain: packet.retain, ...more });
    });
  },
  async subscribe(topic, qos) {
    const [granted] = await client.subscribeAsync(topic, { qos: Number(qos) });
    say("subscribed", { qos: granted.qos });
  },
  async publish(...words) {
    const { topic, body, options } = message(words);
    await client.publishAsync(topic, body, options);
    say("published");
  },
  async leave() {
    await client.endAsync();
    say("left");
  },
});
