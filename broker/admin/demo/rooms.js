// The chat itself: who comes in, which rooms there are, who is in which. What carries it, the page decides.

import { addMessage, addNote, newList, read, retime, showList } from "./messages.js";
import {
  add, byId, complain, findBroker, forgive, offerAbout, offerCopies, onSubmit, show, watchScrolling,
} from "./page.js";
import { currentLanguage, label, remember, remembered, say, speak } from "./words.js";

const ROOMS_MAX = 100;
const ROOM_NAME = /^[\p{L}\p{N}_-]{1,30}$/u;
const FIRST_ROOM = "5";
/** What a tab may say to itself. */
const NOTES = ["note_private", "note_renewed", "note_renewed_again"];

/**
 * Sets up the page. `connect(at, name, events)` opens a connection to the broker and returns
 * `{ isSomebody, join(room), leave(room), announce(room, body), send(room, body), whisper(person, body), close() }`, of which
 * the last three are promises; only who is somebody can whisper, and be whispered to. A room that was joined is joined again
 * after the connection was lost. It tells `events`: `connected(transport)`, `joined(room)`, `message(room, body)`,
 * `announced(room, body)`, `personal(body)`, `noted(body)` for what this tab said to itself, `refused(reason, room)` where a room was refused, or without a room the connection, `failed(reason)` where it goes on, and `lost(admitted)`.
 *
 * A conversation with one person is a room whose name begins with `@`; the broker knows no such room.
 */
export function openChat(protocol, connect) {
  const query = new URLSearchParams(location.search);
  const nameField = byId("name");
  const roomField = byId("room");
  nameField.value = query.get("name") ?? remembered("name") ?? "";
  roomField.value = query.get("room") ?? FIRST_ROOM;

  let visit = null;

  function describeRoom() {
    title(byId("title"), visit?.open ?? roomName(roomField.value) ?? FIRST_ROOM);
    const room = [visit?.open, roomName(roomField.value)].find((room) => room && !isPerson(room)) ?? FIRST_ROOM;
    byId("destination").textContent = `/topic/chat.room.${room}`;
    byId("topic").textContent = `chat/room/${room}`;
    byId("command").textContent = `duetmq sub -t 'chat/room/${room}'`;
    byId("command-pub").textContent = `duetmq pub -t 'chat/room/${room}' -m '${say("terminal_example")}'`;
    const other = new URL(protocol === "stomp" ? "mqtt.html" : "chat.html", location.href);
    other.search = new URLSearchParams({ room, lang: currentLanguage() });
    byId("other").href = other;
  }

  async function enter() {
    const name = nameField.value.trim();
    const room = roomName(roomField.value);
    if (!name) return complain("error_name", {}, nameField);
    if (!room) return complain("error_room", {}, roomField);
    leaveAll();
    forgive();
    remember("name", name);
    const mine = (visit = { name, open: null, joined: new Map(), known: new Set([FIRST_ROOM]), connection: null });
    show("connecting");
    const at = await findBroker(protocol);
    if (visit !== mine) return;
    if (!at) return leaveAll();
    // Events of a connection that was left behind mean nothing any more.
    const current = (act) => (...values) => visit === mine && act(mine, ...values);
    mine.connection = connect(at, name, {
      connected: current(arrived),
      joined: current(greet),
      message: current(hear),
      announced: current(learn),
      personal: current(hearPrivately),
      noted: current(showNote),
      refused: current(refused),
      failed: current((_mine, reason) => complain("error_refused", { reason })),
      lost: current((_mine, admitted) => {
        show("lost");
        if (!admitted && byId("error").hidden) complain("error_unreachable", { url: at.sockjs ?? at.ws });
      }),
    });
    join(room);
  }

  function arrived(_mine, transport) {
    // A refusal stays to be read: the page may be back before anyone has seen it.
    if (byId("error").dataset.word === "error_unreachable") forgive();
    byId("transport").textContent = transport;
    show("connected");
    byId("text").focus({ preventScroll: true });
  }

  /** Into a room, new or not. */
  function join(room) {
    hold(room);
    open(room);
  }

  function hold(room) {
    const held = visit.joined.get(room);
    if (held) return held;
    const joined = { list: newList(), unread: 0, unheard: [], greeted: false };
    visit.joined.set(room, joined);
    if (isPerson(room)) addNote(joined.list, "note_person", { person: room.slice(1) });
    else {
      visit.known.add(room);
      visit.connection.join(room);
    }
    return joined;
  }

  function open(room) {
    visit.open = room;
    const opened = visit.joined.get(room);
    opened.unread = 0;
    describeRoom();
    showList(opened.list);
    list();
    byId("text").focus({ preventScroll: true });
  }

  /** Now that we are in, others see the room in their lists. */
  function greet(mine, room) {
    const joined = mine.joined.get(room);
    if (!joined || joined.greeted) return;
    joined.greeted = true;
    mine.connection.announce(room, JSON.stringify({ by: mine.name, at: new Date().toISOString() }));
    addNote(joined.list, isNumber(room) ? "note_joined" : "note_joined_named", { room, name: mine.name });
  }

  /** A message came in. It is ours if we sent these very bytes: others may have chosen our name. */
  function hear(mine, room, body) {
    const joined = mine.joined.get(room);
    if (!joined) return;
    const at = joined.unheard.indexOf(body);
    if (at >= 0) joined.unheard.splice(at, 1);
    put(mine, room, read(body), at >= 0);
  }

  /** Somebody wrote to us, or we to somebody in this tab or another. */
  function hearPrivately(mine, body) {
    const said = read(body);
    const own = said.from === mine.name;
    const person = own ? said.to : said.from;
    if (!person) return;
    hold(`@${person}`);
    put(mine, `@${person}`, said, own);
  }

  function put(mine, room, said, own) {
    const joined = mine.joined.get(room);
    const reachable = mine.connection.isSomebody && !own && !isPerson(room) && said.user;
    addMessage(joined.list, said, own, reachable ? () => join(`@${said.user}`) : null);
    if (mine.open === room) return;
    joined.unread += 1;
    list();
  }

  /** Whoever else knows this session's name may write to it; what is no note of ours is nothing to show. */
  function showNote(mine, body) {
    try {
      const { note, values } = JSON.parse(body);
      if (NOTES.includes(note)) addNote(mine.joined.get(mine.open).list, note, values);
    } catch {
      // No JSON, so no note.
    }
  }

  function learn(mine, room, body) {
    if (!roomName(room) || mine.joined.has(room)) return;
    // An empty body takes a retained message away, and with it the room.
    if (body) mine.known.add(room);
    else mine.known.delete(room);
    list();
  }

  function refused(mine, reason, room) {
    if (room === undefined) leaveAll();
    else if (mine.joined.has(room)) leave(room);
    complain("error_refused", { reason });
  }

  /** Out of one room; who leaves the last one leaves the chat. */
  function leave(room) {
    if (visit.joined.size === 1) return leaveAll();
    if (!isPerson(room)) visit.connection.leave(room);
    visit.joined.delete(room);
    if (visit.open === room) open([...visit.joined.keys()].at(-1));
    else list();
  }

  function leaveAll() {
    const left = visit?.connection;
    visit = null;
    show("out");
    list();
    Promise.resolve(left?.close()).catch(() => {});
  }

  async function send() {
    const field = byId("text");
    const text = field.value.trim();
    if (!text || document.body.dataset.state !== "connected") return;
    const [mine, room] = [visit, visit.open];
    const said = { from: mine.name, text, at: new Date().toISOString() };
    field.value = "";
    try {
      if (isPerson(room)) {
        const person = room.slice(1);
        await mine.connection.whisper(person, JSON.stringify({ ...said, to: person }));
      } else {
        const body = JSON.stringify(mine.connection.isSomebody ? { ...said, user: mine.name } : said);
        mine.joined.get(room).unheard.push(body);
        await mine.connection.send(room, body);
      }
      forgive();
    } catch (error) {
      complain("error_send", { reason: error.message });
      if (!field.value) field.value = text;
    }
  }

  function make() {
    const field = byId("new-room");
    const person = visit.connection.isSomebody && field.value.trim().match(/^@(.{1,30})$/u)?.[1].trim();
    const room = person ? `@${person}` : roomName(field.value);
    if (!room) return complain("error_room", {}, field);
    forgive();
    field.value = "";
    join(room);
  }

  /** The rooms one is in come first, then the others. */
  function list() {
    const rows = byId("room-list");
    rows.replaceChildren();
    if (!visit) return;
    const others = [...visit.known].filter((room) => !visit.joined.has(room)).sort(byName);
    for (const room of [...visit.joined.keys(), ...others].slice(0, ROOMS_MAX)) {
      const joined = visit.joined.get(room);
      const button = add(add(rows, "li", ""), "button", joined ? "row inside" : "row outside");
      button.type = "button";
      button.dataset.room = room;
      if (visit.open === room) button.setAttribute("aria-current", "true");
      title(add(button, "span", ""), room);
      if (joined?.unread) add(button, "span", "unread").textContent = joined.unread;
      if (!joined) label(add(button, "span", "hint"), "join_this");
      button.addEventListener("click", () => (joined ? open(room) : join(room)));
    }
  }

  speak(() => {
    describeRoom();
    retime();
  });
  describeRoom();
  show("out");
  onSubmit(byId("enter"), enter);
  onSubmit(byId("make"), make);
  onSubmit(byId("composer"), send);
  roomField.addEventListener("input", describeRoom);
  byId("leave").addEventListener("click", () => {
    forgive();
    leave(visit.open);
    if (!visit) nameField.focus();
  });
  window.addEventListener("pagehide", leaveAll);
  watchScrolling();
  offerCopies();
  offerAbout();
  if (query.get("join") === "1") enter();
  else if (!nameField.value) nameField.focus({ preventScroll: true });
}

/** A room's name as it goes into topics, or null if it is none. */
function roomName(text) {
  const name = text.trim().normalize("NFC");
  return ROOM_NAME.test(name) ? name : null;
}

const isPerson = (room) => room.startsWith("@");

const isNumber = (room) => /^\d+$/.test(room);

const byName = (a, b) => a.localeCompare(b, undefined, { numeric: true });

function title(element, room) {
  label(element, isNumber(room) ? "room_title" : "room_named", { room });
}
