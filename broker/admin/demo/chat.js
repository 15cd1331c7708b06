// The rooms over STOMP, with stompjs in SockJS.

import { byId } from "./page.js";
import { openChat } from "./rooms.js";
import { remember, remembered } from "./words.js";

const ROOMS = "/topic/chat.room.";
const ANNOUNCED = "/topic/chat.rooms.";

/** What a page of another port may use. The others of SockJS are for browsers that lack these. */
const TRANSPORTS = ["websocket", "xhr-streaming", "xhr-polling"];

const choice = byId("transport-choice");
choice.value = new URLSearchParams(location.search).get("transport") ?? remembered("transport") ?? "";
if (choice.selectedIndex < 0) choice.value = "";
choice.addEventListener("change", () => remember("transport", choice.value));

openChat("stomp", (at, events) => {
  const rooms = new Map();
  const waiting = new Map();
  const joining = new Set();
  let admitted = false;
  let socket = null;
  let asked = 0;

  const client = new StompJs.Client({
    webSocketFactory: () => (socket = connect(at, choice.value)),
    reconnectDelay: 2000,
    connectionTimeout: 8000,
    heartbeatIncoming: 10000,
    heartbeatOutgoing: 10000,
    onConnect() {
      admitted = true;
      // What is retained there says which rooms others have made.
      const list = (frame) => events.announced(lastWord(frame, ANNOUNCED), frame.body);
      const standing = receipt((headers) => {
        client.subscribe(`${ANNOUNCED}*`, list, { id: "rooms", retained: "true", ...headers });
      });
      Promise.all([standing, ...[...rooms.keys()].map(subscribe)]).then(
        () => events.connected(socket.transport ?? "websocket"),
        // The connection ended meanwhile, and with it comes the reason.
        () => {},
      );
    },
    onStompError(frame) {
      const reason = [frame.headers.message, frame.body.trim()].filter(Boolean).join(" – ") || "ERROR";
      // A room that was being joined is what was refused: without it, the next connection stands.
      const [room] = joining;
      if (!admitted) events.refused(reason);
      else if (room !== undefined) events.refused(reason, room);
      else events.failed(reason);
      giveUp(reason);
    },
    onWebSocketClose(event) {
      giveUp(event.reason || `SockJS ${event.code}`);
      events.lost(admitted);
    },
  });
  client.activate();

  /** The receipt says that the subscription stands: what is sent from now on comes back. */
  async function subscribe(room) {
    if (rooms.get(room) === "new") joining.add(room);
    await receipt((headers) => {
      const id = `room-${room}`;
      client.subscribe(ROOMS + room, (frame) => events.message(room, frame.body), { id, ...headers });
    });
    joining.delete(room);
    if (!rooms.has(room)) return;
    rooms.set(room, "joined");
    events.joined(room);
  }

  /** Sends what `act` sends, and waits until the broker has taken it. */
  function receipt(act) {
    const receipt = `asked-${(asked += 1)}`;
    return new Promise((resolve, reject) => {
      waiting.set(receipt, reject);
      client.watchForReceipt(receipt, () => {
        waiting.delete(receipt);
        resolve();
      });
      act({ receipt });
    });
  }

  // What has no receipt when the connection ends was not taken, as far as anyone here can know.
  function giveUp(reason) {
    for (const reject of waiting.values()) reject(new Error(reason));
    waiting.clear();
    joining.clear();
  }

  const publish = (destination, body, more = {}) =>
    receipt((headers) => {
      client.publish({ destination, body, headers: { "content-type": "application/json", ...more, ...headers } });
    });

  return {
    join(room) {
      rooms.set(room, "new");
      if (client.connected) subscribe(room).catch(() => {});
    },
    leave(room) {
      rooms.delete(room);
      if (client.connected) client.unsubscribe(`room-${room}`);
    },
    announce(room, body) {
      publish(ANNOUNCED + room, body, { retain: "true" }).catch(() => {});
    },
    send: (room, body) => publish(ROOMS + room, body),
    close: () => client.deactivate(),
  };
});

/** SockJS, by what works first; a plain WebSocket where the broker has no SockJS. */
function connect(at, transport) {
  if (!at.sockjs) return new WebSocket(at.ws, ["v12.stomp", "v11.stomp", "v10.stomp"]);
  return new SockJS(at.sockjs, null, { transports: transport ? [transport] : TRANSPORTS });
}

function lastWord(frame, prefix) {
  return frame.headers.destination.slice(prefix.length);
}
