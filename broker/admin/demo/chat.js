// The room over STOMP, with stompjs.

import { openRoom } from "./room.js";

openRoom("stomp", (url, room, events) => {
  const destination = `/topic/chat.room.${room}`;
  let admitted = false;
  const waiting = new Map();

  const client = new StompJs.Client({
    brokerURL: url,
    reconnectDelay: 2000,
    connectionTimeout: 8000,
    heartbeatIncoming: 10000,
    heartbeatOutgoing: 10000,
    onConnect() {
      admitted = true;
      // The receipt says that the subscription stands: what is sent from now on comes back.
      client.watchForReceipt("subscribed", () => events.connected());
      client.subscribe(destination, (frame) => events.message(frame.body), { id: "room", receipt: "subscribed" });
    },
    onStompError(frame) {
      const reason = [frame.headers.message, frame.body.trim()].filter(Boolean).join(" – ") || "ERROR";
      events.refused(reason, !admitted);
      giveUp(reason);
    },
    onWebSocketClose(event) {
      giveUp(event.reason || `WebSocket ${event.code}`);
      events.lost(admitted);
    },
  });
  client.activate();

  // What has no receipt when the connection ends was not taken, as far as anyone here can know.
  function giveUp(reason) {
    for (const reject of waiting.values()) reject(new Error(reason));
    waiting.clear();
  }

  let sent = 0;
  return {
    send(body) {
      const receipt = `sent-${(sent += 1)}`;
      return new Promise((resolve, reject) => {
        waiting.set(receipt, reject);
        client.watchForReceipt(receipt, () => {
          waiting.delete(receipt);
          resolve();
        });
        client.publish({ destination, body, headers: { "content-type": "application/json", receipt } });
      });
    },
    leave: () => client.deactivate(),
  };
});
