// MQTT.js gets in by SCRAM-SHA-256, and shows again who it is: scram.js PORT USER PASSWORD. Prints a JSON line for each step.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

import mqtt from "mqtt";

const [port, user, password] = process.argv.slice(2);
const method = "SCRAM-SHA-256";
const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

// RFC 5802, the client's side.
class Scram {
  constructor() {
    this.nonce = randomBytes(18).toString("base64");
    this.bare = `n=${user},r=${this.nonce}`;
  }

  first() {
    return Buffer.from(`n,,${this.bare}`);
  }

  last(challenge) {
    const { r, s, i } = Object.fromEntries(challenge.split(",").map((part) => [part[0], part.slice(2)]));
    if (!r.startsWith(this.nonce)) throw new Error(`the nonce is ${r}`);
    const salted = pbkdf2Sync(password, Buffer.from(s, "base64"), Number(i), 32, "sha256");
    const withoutProof = `c=biws,r=${r}`;
    const said = `${this.bare},${challenge},${withoutProof}`;
    const key = hmac(salted, "Client Key");
    const signature = hmac(createHash("sha256").update(key).digest(), said);
    this.answer = `v=${hmac(hmac(salted, "Server Key"), said).toString("base64")}`;
    return Buffer.from(`${withoutProof},p=${key.map((byte, at) => byte ^ signature[at]).toString("base64")}`);
  }

  check(data) {
    if (String(data) !== this.answer) throw new Error(`the server says ${data}, not ${this.answer}`);
  }
}

function end(step, more) {
  say(step, more);
  process.exit(step === "done" ? 0 : 1);
}

setTimeout(() => end("late"), 60_000);
process.on("uncaughtException", (error) => end("failed", { why: String(error) }));

let scram = new Scram();
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
  protocolVersion: 5,
  reconnectPeriod: 0,
  properties: { authenticationMethod: method, authenticationData: scram.first() },
});
client.on("error", (error) => end("refused", { code: error.code }));
client.handleAuth = (packet, answer) => {
  const { authenticationMethod, authenticationData } = packet.properties;
  if (authenticationMethod !== method) throw new Error(`the method is ${authenticationMethod}`);
  if (packet.reasonCode === 0) {
    scram.check(authenticationData);
    say("renewed");
    client.publish("scram", "after", { qos: 1 });
    return;
  }
  say("challenged");
  const properties = { authenticationMethod, authenticationData: scram.last(String(authenticationData)) };
  answer(null, { cmd: "auth", reasonCode: 0x18, properties });
};
client.on("message", (topic, payload) => {
  say("message", { payload: String(payload) });
  if (String(payload) === "after") return client.end(() => end("done"));
  scram = new Scram();
  const properties = { authenticationMethod: method, authenticationData: scram.first() };
  client._sendPacket({ cmd: "auth", reasonCode: 0x19, properties });
});
client.on("connect", async ({ properties }) => {
  if (properties.authenticationMethod !== method) throw new Error("CONNACK names no method");
  scram.check(properties.authenticationData);
  say("connected");
  await client.subscribeAsync("scram", { qos: 1 });
  client.publish("scram", "before", { qos: 1 });
});
