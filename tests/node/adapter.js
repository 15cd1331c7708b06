// What every client program of the tests does: it is told one thing in each line of its input, and prints one JSON object
// for each thing that happens. Payloads are written in hexadecimal digits, `-` for none, so that no line is broken by them.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** What is in the files for TLS, by what they are: `ca`, `cert`, `key`; nothing where it is not by TLS. */
export const trust = Object.fromEntries(
  ["ca", "cert", "key"]
    .map((what) => [what, process.env[`TLS_${what.toUpperCase()}`]])
    .filter(([, file]) => file)
    .map(([what, file]) => [what, readFileSync(file)]),
);

/** User and password, unless it is to say none. */
export const login = process.env.NO_LOGIN ? {} : { login: "guest", passcode: "guest" };

export function say(event, more = {}) {
  console.log(JSON.stringify({ event, ...more }));
}

export function payload(word) {
  return word === "-" ? Buffer.alloc(0) : Buffer.from(word, "hex");
}

export function word(bytes) {
  return Buffer.from(bytes).toString("hex") || "-";
}

// Does what it is told, one thing after the other; `client` has a method for each.
export async function obey(client) {
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...words] = line.split(" ");
    try {
      await client[command](...words);
    } catch (error) {
      say("failed", { why: String(error) });
    }
  }
  process.exit(0);
}
