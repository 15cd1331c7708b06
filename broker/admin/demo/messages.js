// What was said in one room, and how it looks.

import { add, byId, isAtEnd, toEnd } from "./page.js";
import { currentLanguage, label } from "./words.js";

const MESSAGES_MAX = 500;
const SAME_SPEAKER_MS = 3 * 60 * 1000;
const TONES = 8;

/** A list for the messages of one room. It is on the page while its room is open. */
export function newList() {
  const list = document.createElement("ol");
  list.setAttribute("aria-live", "polite");
  return list;
}

/** Puts that list on the page, in the place of the one before. */
export function showList(list) {
  const before = byId("messages");
  if (before !== list) {
    before.removeAttribute("id");
    list.id = "messages";
    before.replaceWith(list);
  }
  retime();
  talking(list);
  toEnd();
}

/** What a body says: our JSON, or whatever text somebody else sent. */
export function read(body) {
  try {
    const said = JSON.parse(body);
    if (typeof said?.text === "string") {
      const sentAt = new Date(said.at);
      const from = name(said.from);
      const at = Number.isNaN(sentAt.getTime()) ? new Date() : sentAt;
      return { from, to: name(said.to), user: name(said.user), text: said.text, at };
    }
  } catch {
    // Not JSON: plain text, and welcome.
  }
  return { from: "", to: "", user: "", text: body, at: new Date() };
}

const name = (text) => (typeof text === "string" ? text.trim().slice(0, 60) : "");

/** `answer`: what happens when somebody wants to write to who said it alone; null where that cannot be. */
export function addMessage(list, said, own, answer = null) {
  const followed = isAtEnd();
  const last = list.lastElementChild;
  const item = document.createElement("li");
  item.className = `message ${own ? "own" : "other"}`;
  item.dataset.from = said.from;
  item.dataset.at = said.at.toISOString();
  const again =
    last?.matches(own ? ".own" : ".other") &&
    last.dataset.from === said.from &&
    Math.abs(said.at - new Date(last.dataset.at)) < SAME_SPEAKER_MS;
  item.classList.toggle("again", Boolean(again));

  const avatar = add(item, "span", `avatar tone-${said.from ? toneOf(said.from) : "plain"}`);
  avatar.textContent = said.from ? [...said.from][0].toUpperCase() : "›";
  avatar.setAttribute("aria-hidden", "true");
  const from = add(item, answer ? "button" : "span", "from");
  if (said.from) from.textContent = said.from;
  else label(from, "plain");
  if (answer) {
    from.type = "button";
    from.addEventListener("click", answer);
  }
  const body = add(item, "p", "body");
  if (said.text) body.textContent = said.text;
  else label(body, "nothing");
  const time = add(item, "time", "at");
  time.dateTime = said.at.toISOString();
  time.textContent = clock(said.at);

  append(list, item, followed || own);
}

/** A line of ours between the messages; the same again, with nothing said meanwhile, takes the place of the one before. */
export function addNote(list, key, values) {
  if (list.lastElementChild?.dataset.word === key) list.lastElementChild.remove();
  const item = document.createElement("li");
  item.className = "note";
  label(item, key, values);
  append(list, item, true);
}

/** Says all times anew: in another language they look otherwise, and yesterday has another form. */
export function retime() {
  for (const time of document.querySelectorAll("time.at")) time.textContent = clock(new Date(time.dateTime));
}

function append(list, item, follow) {
  list.append(item);
  while (list.children.length > MESSAGES_MAX) list.firstElementChild.remove();
  if (!list.isConnected) return;
  talking(list);
  if (follow) toEnd();
  else byId("newest").hidden = false;
}

function talking(list) {
  document.body.classList.toggle("talking", Boolean(list.querySelector(".message")));
}

function toneOf(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % TONES;
}

function clock(at) {
  const today = new Date().toDateString() === at.toDateString();
  const style = today ? { hour: "numeric", minute: "2-digit" } : { dateStyle: "short", timeStyle: "short" };
  return new Intl.DateTimeFormat(currentLanguage(), style).format(at);
}
