// The rooms over STOMP, with stompjs in SockJS; and who has a token is also somebody, to whom others can write.

import { openPass } from "./login.js";
import { byId } from "./page.js";
import { openChat } from "./rooms.js";
import { remember, remembered } from "./words.js";

const ROOMS = "/topic/chat.room.";
const ANNOUNCED = "/topic/chat.rooms.";
/** What others write to us: to each of our tabs. To write to somebody, his name goes in between. */
const PRIVATE = "/user/queue/private";
/** Where frames that were dropped are told of, to the tab that sent them. */
const ERRORS = "/session/queue/request-error";
/** What this tab says to itself, and no other tab hears. */
const NOTES = "/session/queue/notes";

/** What a page of another port may use. The others of SockJS are for browsers that lack these. */
const TRANSPORTS = ["websocket", "xhr-streaming", "xhr-polling"];

const query = new URLSearchParams(location.search);
const choice = byId("transport-choice");
choice.value = query.get("transport") ?? remembered("transport") ?? "";
if (choice.selectedIndex < 0) choice.value = "";
choice.addEventListener("change", () => remember("transport", choice.value));

openChat("stomp", (at, name, events) => {
  const pass = openPass(at, name, query.get("seconds"));
  const rooms = new Map();
  const waiting = new Map();
  let admitted = false;
  let socket = null;
  let asked = 0;

  const client = new StompJs.Client({
    webSocketFactory: () => (socket = connect(at, choice.value)),
    reconnectDelay: 2000,
    connectionTimeout: 8000,
    heartbeatIncoming: 10000,
    heartbeatOutgoing: 10000,
    async beforeConnect() {
      try {
        await pass?.renew();
      } catch (error) {
        // Later it may be the broker that is away: then it is tried again, with the token that we have.
        if (!admitted) events.refused(error.message);
      }
      client.connectHeaders = pass?.headers() ?? {};
    },
    onConnect() {
      admitted = true;
      const standing = [
        // First of all, so that whatever is refused later is told there.
        ...(pass ? [listen(ERRORS, dropped), listen(NOTES, events.noted), listen(PRIVATE, events.personal)] : []),
        // What is retained there says which rooms others have made.
        listen(`${ANNOUNCED}*`, (body, destination) => events.announced(destination.slice(ANNOUNCED.length), body), {
          retained: "true",
        }),
        ...[...rooms.keys()].map(enter),
      ];
      Promise.all(standing).then(
        () => events.connected(socket.transport ?? "WebSocket"),
        // The connection ended meanwhile, and with it comes the reason.
        () => {},
      );
    },
    onStompError(frame) {
      const reason = [frame.headers.message, frame.body.trim()].filter(Boolean).join(" – ") || "ERROR";
      // A room that was being joined is what was refused: without it, the next connection stands.
      const joining = [...rooms].find(([, state]) => state === "joining");
      if (!admitted) events.refused(reason);
      else if (joining) turnedAway(joining[0], reason);
      else events.failed(reason);
      giveUp(reason);
    },
    onWebSocketClose(event) {
      giveUp(event.reason || `SockJS ${event.code}`);
      events.lost(admitted);
    },
  });
  client.activate();

  async function enter(room) {
    if (rooms.get(room) === "new") rooms.set(room, "joining");
    try {
      await listen(ROOMS + room, (body) => events.message(room, body));
    } catch (error) {
      if (client.connected) turnedAway(room, error.message);
      return;
    }
    if (!rooms.has(room)) return;
    rooms.set(room, "joined");
    events.joined(room);
  }

  function turnedAway(room, reason) {
    if (rooms.delete(room)) events.refused(reason, room);
  }

  /** The receipt says that the subscription stands: what is sent from now on comes back. */
  function listen(destination, heard, more = {}) {
    const act = (headers) => {
      const hear = (frame) => heard(frame.body, frame.headers.destination, frame.headers);
      client.subscribe(destination, hear, { id: destination, ...more, ...headers });
    };
    return request(act);
  }

  function publish(destination, body, more = {}) {
    return request((headers) => {
      client.publish({ destination, body, headers: { "content-type": "application/json", ...more, ...headers } });
    });
  }

  /** Sends what `act` sends, with the token of now, and waits until the broker has taken it. */
  function request(act) {
    const code = `${(asked += 1)}`;
    return new Promise((resolve, reject) => {
      const send = () => act({ receipt: code, "client-request-code": code, ...pass?.headers() });
      waiting.set(code, { reject, send, tries: 1 });
      client.watchForReceipt(code, () => {
        waiting.delete(code);
        resolve();
      });
      send();
    });
  }

  /** The broker dropped a frame, or says that our token has ended; the connection stays in either case. */
  async function dropped(_body, _destination, told) {
    const code = told["client-request-code"];
    const request = waiting.get(code);
    const reason = told.error ?? told["error-code"];
    try {
      if (told["error-code"] !== "token_expired" || request?.tries >= TRIES_MAX) throw new Error(reason);
      await pass.renew();
      if (request) request.tries += 1;
      request?.send();
      // Said with the new token: the broker takes it from any frame. It comes back to this tab alone.
      await note(request ? "note_renewed_again" : "note_renewed", { code });
    } catch (error) {
      if (!request) return events.failed(error.message);
      waiting.delete(code);
      request.reject(error);
    }
  }

  const note = (key, values) => publish(NOTES, JSON.stringify({ note: key, values }));

  // What has no receipt when the connection ends was not taken, as far as anyone here can know.
  function giveUp(reason) {
    for (const { reject } of waiting.values()) reject(new Error(reason));
    waiting.clear();
  }

  return {
    isSomebody: Boolean(pass),
    join(room) {
      rooms.set(room, "new");
      if (client.connected) enter(room);
    },
    leave(room) {
      rooms.delete(room);
      if (client.connected) client.unsubscribe(ROOMS + room);
    },
    announce(room, body) {
      publish(ANNOUNCED + room, body, { retain: "true" }).catch(() => {});
    },
    send: (room, body) => publish(ROOMS + room, body),
    /** To all tabs of `person`, and to all of ours, so that each has the whole conversation. */
    async whisper(person, body) {
      await publish(privately(person), body);
      if (person !== name) await publish(privately(name), body);
      await note("note_private", { person });
    },
    close: () => client.deactivate(),
  };
});

const privately = (name) => PRIVATE.replace("/user/", `/user/${encodeURIComponent(name)}/`);

/** SockJS, by what works first; a plain WebSocket where the broker has no SockJS. */
function connect(at, transport) {
  if (!at.sockjs) return new WebSocket(at.ws, ["v12.stomp", "v11.stomp", "v10.stomp"]);
  return new SockJS(at.sockjs, null, { transports: transport ? [transport] : TRANSPORTS });
}

/** How often a frame is sent again because its token had ended. */
const TRIES_MAX = 3;
