// MQTT.js shows a token by AUTH, and a newer one later: token.js PORT METHOD TOKEN NEWER. Prints a JSON line for each step.

import mqtt from "mqtt";

const [port, method, token, newer] = process.argv.slice(2);
const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));

function end(step, more) {
  say(step, more);
  process.exit(step === "done" ? 0 : 1);
}

setTimeout(() => end("late"), 60_000);
process.on("uncaughtException", (error) => end("failed", { why: String(error) }));

const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
  protocolVersion: 5,
  reconnectPeriod: 0,
  properties: { authenticationMethod: method, authenticationData: Buffer.from(token) },
});
client.on("error", (error) => end("refused", { code: error.code }));
client.on("disconnect", ({ reasonCode }) => end("disconnected", { code: reasonCode }));
client.handleAuth = (packet) => {
  if (packet.reasonCode !== 0) throw new Error(`AUTH says ${packet.reasonCode}`);
  say("renewed");
  client.publish("token", "after", { qos: 1 });
};
client.on("message", (topic, payload) => {
  say("message", { payload: String(payload) });
  if (String(payload) === "after") return client.end(() => end("done"));
  const properties = { authenticationMethod: method, authenticationData: Buffer.from(newer) };
  client._sendPacket({ cmd: "auth", reasonCode: 0x19, properties });
});
client.on("connect", async ({ properties }) => {
  if (properties.authenticationMethod !== method) throw new Error("CONNACK names no method");
  say("connected");
  await client.subscribeAsync("token", { qos: 1 });
  client.publish("token", "before", { qos: 1 });
});
