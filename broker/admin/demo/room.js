// The room itself: who comes in, what is said, how it looks. Which protocol carries it, the page decides.

import { currentLanguage, label, remember, remembered, say, speak } from "./words.js";

const MESSAGES_MAX = 500;
const SAME_SPEAKER_MS = 3 * 60 * 1000;
const TONES = 8;

const byId = (id) => document.getElementById(id);

/**
 * Sets up the page. `connect(url, room, events)` opens a connection and returns `{ send(body), leave() }`, both promises;
 * it tells `events`: `connected()`, `message(text)`, `refused(reason, final)` and `lost(admitted)`.
 */
export function openRoom(protocol, connect) {
  const query = new URLSearchParams(location.search);
  const nameField = byId("name");
  const roomField = byId("room");
  nameField.value = query.get("name") ?? remembered("name") ?? "";
  roomField.value = query.get("room") ?? "5";

  let visit = null;

  function describeRoom() {
    const room = roomNumber() ?? "5";
    label(byId("title"), "room_title", { room });
    byId("destination").textContent = `/topic/chat.room.${room}`;
    byId("topic").textContent = `chat/room/${room}`;
    byId("command").textContent = `duetmq sub -t 'chat/room/${room}'`;
    byId("command-pub").textContent = `duetmq pub -t 'chat/room/${room}' -m '${say("terminal_example")}'`;
    const other = new URL(protocol === "stomp" ? "mqtt.html" : "chat.html", location.href);
    other.search = new URLSearchParams({ room, lang: currentLanguage() });
    byId("other").href = other;
  }

  async function join() {
    const name = nameField.value.trim();
    const room = roomNumber();
    if (!name) return complain("error_name", {}, nameField);
    if (!room) return complain("error_room", {}, roomField);
    leave();
    forgive();
    remember("name", name);
    describeRoom();
    const mine = (visit = { name, room, unheard: [], connection: null, greeted: false });
    show("connecting");
    const url = await findBroker(protocol);
    if (visit !== mine) return;
    if (!url) return leave();
    // Events of a connection that was left behind mean nothing any more.
    const current = (act) => (...values) => visit === mine && act(mine, ...values);
    mine.connection = connect(url, room, {
      connected: current(arrived),
      message: current(hear),
      refused: current(refused),
      lost: current((_mine, admitted) => {
        show("lost");
        if (!admitted && byId("error").hidden) complain("error_unreachable", { url });
      }),
    });
  }

  function arrived(mine) {
    // A refusal stays to be read: the page may be back before anyone has seen it.
    if (byId("error").dataset.word === "error_unreachable") forgive();
    show("connected");
    if (!mine.greeted) note("note_joined", { room: mine.room, name: mine.name });
    mine.greeted = true;
    byId("text").focus({ preventScroll: true });
  }

  function refused(_mine, reason, final) {
    if (final) leave();
    complain("error_refused", { reason });
  }

  function leave() {
    const left = visit?.connection;
    visit = null;
    show("out");
    Promise.resolve(left?.leave()).catch(() => {});
  }

  async function send() {
    const field = byId("text");
    const text = field.value.trim();
    if (!text || document.body.dataset.state !== "connected") return;
    const mine = visit;
    const body = JSON.stringify({ from: mine.name, text, at: new Date().toISOString() });
    mine.unheard.push(body);
    field.value = "";
    try {
      await mine.connection.send(body);
      forgive();
    } catch (error) {
      complain("error_send", { reason: error.message });
      if (!field.value) field.value = text;
    }
  }

  function roomNumber() {
    const room = Number(roomField.value.trim() || NaN);
    return Number.isInteger(room) && room >= 1 && room <= 999999 ? String(room) : null;
  }

  speak(() => {
    describeRoom();
    retime();
  });
  describeRoom();
  show("out");
  onSubmit(byId("enter"), join);
  onSubmit(byId("composer"), send);
  roomField.addEventListener("input", describeRoom);
  byId("leave").addEventListener("click", () => {
    forgive();
    leave();
    nameField.focus();
  });
  window.addEventListener("pagehide", leave);
  watchScrolling();
  offerCopies();
  offerAbout();
  if (query.get("join") === "1") join();
  else if (!nameField.value) nameField.focus({ preventScroll: true });
}

/** The WebSocket address of the broker for that protocol, or null after saying what is wrong. */
async function findBroker(protocol) {
  let config;
  try {
    const answer = await fetch("config.json");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    config = await answer.json();
  } catch (error) {
    complain("error_config", { reason: error.message });
    return null;
  }
  const at = config[protocol];
  if (!at) {
    complain("error_listener");
    return null;
  }
  return `${at.tls ? "wss" : "ws"}://${location.hostname}:${at.port}${at.path}`;
}

/** Shows how the connection stands, and makes usable what can be used now. */
function show(state) {
  document.body.dataset.state = state;
  const usable = state === "connected";
  byId("state").dataset.state = state;
  label(byId("state"), `state_${state}`);
  byId("text").disabled = !usable;
  byId("send").disabled = !usable;
  label(byId("empty"), state === "out" ? "empty_out" : "empty_in");
}

function complain(key, values = {}, field) {
  const error = byId("error");
  const followed = isAtEnd();
  label(error, key, values);
  error.hidden = false;
  if (followed) toEnd();
  field?.focus();
}

function forgive() {
  byId("error").hidden = true;
}

/** A message came in. It is ours if we sent these very bytes: others may have chosen our name. */
function hear(mine, body) {
  const at = mine.unheard.indexOf(body);
  if (at >= 0) mine.unheard.splice(at, 1);
  addMessage(read(body), at >= 0);
}

/** What a body says: our JSON, or whatever text somebody else sent. */
function read(body) {
  try {
    const said = JSON.parse(body);
    if (typeof said?.text === "string") {
      const sentAt = new Date(said.at);
      const from = typeof said.from === "string" ? said.from.trim().slice(0, 60) : "";
      return { from, text: said.text, at: Number.isNaN(sentAt.getTime()) ? new Date() : sentAt };
    }
  } catch {
    // Not JSON: plain text, and welcome.
  }
  return { from: "", text: body, at: new Date() };
}

function addMessage(said, own) {
  const list = byId("messages");
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
  const from = add(item, "span", "from");
  if (said.from) from.textContent = said.from;
  else label(from, "plain");
  const body = add(item, "p", "body");
  if (said.text) body.textContent = said.text;
  else label(body, "nothing");
  const time = add(item, "time", "at");
  time.dateTime = said.at.toISOString();
  time.textContent = clock(said.at);

  append(list, item, followed || own);
}

/** A line of ours between the messages. */
function note(key, values) {
  const item = document.createElement("li");
  item.className = "note";
  label(item, key, values);
  append(byId("messages"), item, true);
}

function append(list, item, follow) {
  list.append(item);
  while (list.children.length > MESSAGES_MAX) list.firstElementChild.remove();
  document.body.classList.toggle("talking", Boolean(list.querySelector(".message")));
  if (follow) toEnd();
  else byId("newest").hidden = false;
}

function add(parent, tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  parent.append(element);
  return element;
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

function retime() {
  for (const time of document.querySelectorAll("time.at")) time.textContent = clock(new Date(time.dateTime));
}

const scroller = () => document.querySelector(".scroll");

function isAtEnd() {
  const box = scroller();
  return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
}

function toEnd() {
  const box = scroller();
  box.scrollTop = box.scrollHeight;
  byId("newest").hidden = true;
}

function watchScrolling() {
  let followed = true;
  scroller().addEventListener("scroll", () => {
    followed = isAtEnd();
    if (followed) byId("newest").hidden = true;
  });
  byId("newest").addEventListener("click", toEnd);
  // A phone's keyboard takes half the page: what was last read stays in sight.
  window.addEventListener("resize", () => followed && toEnd());
}

/** Runs `act` when the form is sent, but not when Enter only finishes a syllable of an input method. */
function onSubmit(form, act) {
  let composing = false;
  form.addEventListener("compositionstart", () => (composing = true));
  form.addEventListener("compositionend", () => (composing = false));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!composing) act();
  });
}

/** Copying works only where the browser trusts the page (this machine, or TLS); elsewhere there is no button. */
function offerCopies() {
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(byId(button.dataset.copies).textContent);
      } catch {
        return;
      }
      label(button, "copied");
      setTimeout(() => label(button, "copy"), 1500);
    });
  }
}

/** On a phone the room hides what stands beside it on a desk; this button brings it back. */
function offerAbout() {
  const button = byId("about");
  button.addEventListener("click", () => {
    const followed = isAtEnd();
    const open = document.body.classList.toggle("about-open");
    if (followed) toEnd();
    button.setAttribute("aria-expanded", String(open));
  });
}
