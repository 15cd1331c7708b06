// What the pages say, in Korean and in English, and how they choose.

const WORDS = {
  en: {
    title_stomp: "Chat over STOMP · DuetMQ",
    title_mqtt: "Chat over MQTT 5 · DuetMQ",
    title_index: "Try it · DuetMQ",
    headline: "Many rooms, two protocols",
    intro_stomp: "This page chats over STOMP, in SockJS. Others in the room may use MQTT: everyone sees the same messages.",
    intro_mqtt: "This page chats over MQTT 5. Others in the room may use STOMP: everyone sees the same messages.",
    intro_index: "DuetMQ is running. Open the same chat room over both protocols, side by side, and talk to yourself.",
    card_stomp: "Chat over STOMP",
    card_mqtt: "Chat over MQTT 5",
    card_stomp_text: "What Spring and stompjs speak: frames, destinations, receipts.",
    card_mqtt_text: "What devices and games speak: topics, small packets, QoS.",
    name: "Your name",
    room: "Room",
    rooms: "Rooms",
    new_room: "A new room, or @somebody",
    make: "Make",
    join_this: "Join",
    transport: "Transport",
    transport_auto: "SockJS chooses",
    token: "Token good until",
    join: "Join the chat",
    leave: "Leave",
    about: "About this room",
    text: "Write a message",
    send: "Send",
    copy: "Copy",
    copied: "Copied",
    newest: "New messages ↓",
    room_title: "Room {room}",
    room_named: "{room}",
    terminal: "The same room in a terminal",
    terminal_example: "hello",
    names: "One room, two names",
    other_stomp: "Open the same room over MQTT 5",
    other_mqtt: "Open the same room over STOMP",
    state_out: "Not connected",
    state_connecting: "Connecting …",
    state_connected: "Connected",
    state_lost: "Connection lost, trying again …",
    empty_out: "Choose a name and join: messages appear here.",
    empty_in: "Nobody has said anything yet. You could begin.",
    note_joined: "You joined room {room} as {name}",
    note_joined_named: "You joined {room} as {name}",
    note_person: "Only {person} sees what you write here, in every tab; and so do all of yours",
    note_private: "Sent to {person}. Only this tab is told",
    note_renewed: "Your token had ended: this tab has a new one. The connection stayed",
    note_renewed_again: "Your token had ended: this tab has a new one, and said it again (request {code}). The connection stayed",
    plain: "plain text",
    nothing: "(empty message)",
    error_name: "Please enter a name first, so that the others know who is talking.",
    error_room: "A room has a name of 1 to 30 letters, digits, hyphens and underscores; @ and a name is one person, where this page has a token.",
    error_config: "This page could not ask the broker for its ports ({reason}). Is the broker still running?",
    error_listener: "This broker has no WebSocket listener that this page could use. Check the web listeners in its configuration.",
    error_unreachable: "Cannot reach {url}. Is the broker running? The page keeps trying.",
    error_refused: "The broker refused: {reason}",
    error_send: "Not sent: {reason}",
  },
  ko: {
    title_stomp: "STOMP 채팅 · DuetMQ",
    title_mqtt: "MQTT 5 채팅 · DuetMQ",
    title_index: "체험하기 · DuetMQ",
    headline: "채팅방은 여럿, 프로토콜은 둘",
    intro_stomp: "이 페이지는 SockJS 위의 STOMP로 대화합니다. 다른 사람이 MQTT로 들어와도 모두 같은 메시지를 봅니다.",
    intro_mqtt: "이 페이지는 MQTT 5로 대화합니다. 다른 사람이 STOMP로 들어와도 모두 같은 메시지를 봅니다.",
    intro_index: "DuetMQ가 실행 중입니다. 같은 채팅방을 두 프로토콜로 나란히 열고 메시지를 주고받아 보세요.",
    card_stomp: "STOMP로 채팅",
    card_mqtt: "MQTT 5로 채팅",
    card_stomp_text: "Spring과 stompjs가 쓰는 말: 프레임, 목적지, 수신 확인.",
    card_mqtt_text: "기기와 게임이 쓰는 말: 토픽, 작은 패킷, QoS.",
    name: "이름",
    room: "방",
    rooms: "채팅방",
    new_room: "새 채팅방 또는 @이름",
    make: "만들기",
    join_this: "입장",
    transport: "전송 방식",
    transport_auto: "SockJS가 선택",
    token: "토큰 유효 시각",
    join: "입장하기",
    leave: "나가기",
    about: "이 방 안내",
    text: "메시지를 입력하세요",
    send: "보내기",
    copy: "복사",
    copied: "복사됨",
    newest: "새 메시지 ↓",
    room_title: "{room}번 방",
    room_named: "{room}",
    terminal: "터미널에서도 같은 방",
    terminal_example: "안녕하세요",
    names: "방은 하나, 이름은 둘",
    other_stomp: "같은 방을 MQTT 5로 열기",
    other_mqtt: "같은 방을 STOMP로 열기",
    state_out: "연결 안 됨",
    state_connecting: "연결 중 …",
    state_connected: "연결됨",
    state_lost: "연결이 끊겨 다시 시도하는 중 …",
    empty_out: "이름을 적고 입장하면 메시지가 여기에 나타납니다.",
    empty_in: "아직 아무도 말하지 않았습니다. 먼저 인사해 보세요.",
    note_joined: "{name} 이름으로 {room}번 방에 들어왔습니다",
    note_joined_named: "{name} 이름으로 {room} 방에 들어왔습니다",
    note_person: "여기에 쓰는 글은 {person} 님의 모든 탭과 내 모든 탭에만 보입니다",
    note_private: "{person} 님에게 보냈습니다. 이 탭에만 알립니다",
    note_renewed: "토큰이 만료되어 이 탭이 새 토큰을 받았습니다. 연결은 그대로입니다",
    note_renewed_again: "토큰이 만료되어 이 탭이 새 토큰을 받고 다시 보냈습니다(요청 {code}). 연결은 그대로입니다",
    plain: "일반 텍스트",
    nothing: "(빈 메시지)",
    error_name: "누가 말하는지 알 수 있도록 이름을 먼저 적어 주세요.",
    error_room: "방 이름은 글자, 숫자, 하이픈(-), 밑줄(_)로 1자부터 30자까지입니다. 토큰이 있는 페이지에서는 @이름으로 한 사람에게 쓸 수 있습니다.",
    error_config: "브로커에게 포트를 물어보지 못했습니다({reason}). 브로커가 실행 중인가요?",
    error_listener: "이 페이지가 쓸 수 있는 웹소켓 리스너가 브로커에 없습니다. 설정의 web 리스너를 확인해 주세요.",
    error_unreachable: "{url} 에 연결할 수 없습니다. 브로커가 실행 중인가요? 계속 다시 시도합니다.",
    error_refused: "브로커가 거절했습니다: {reason}",
    error_send: "보내지 못했습니다: {reason}",
  },
};

let language = "en";

/** The language in use: "ko" or "en". */
export function currentLanguage() {
  return language;
}

/** The text of that key, with {values} put in. */
export function say(key, values = {}) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Makes `element` say that key, now and after the language changes. */
export function label(element, key, values = {}) {
  element.dataset.word = key;
  element.dataset.values = JSON.stringify(values);
  element.textContent = say(key, values);
}

/** Puts the words of the chosen language on the page, and lets the switch change it; `changed` hears of it. */
export function speak(changed = () => {}) {
  const wanted = new URLSearchParams(location.search).get("lang") ?? remembered("language");
  language = wanted in WORDS ? wanted : navigator.language?.startsWith("ko") ? "ko" : "en";
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      language = button.dataset.language;
      remember("language", language);
      translate();
      changed();
    });
  }
  translate();
}

/** What this browser kept under that key, or null: storage may be switched off. */
export function remembered(key) {
  try {
    return localStorage.getItem(`duetmq.${key}`);
  } catch {
    return null;
  }
}

/** Keeps `value` for the next visit, where the browser lets us. */
export function remember(key, value) {
  try {
    localStorage.setItem(`duetmq.${key}`, value);
  } catch {
    // A private window: nothing is kept, and nothing else changes.
  }
}

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = say(element.dataset.word, JSON.parse(element.dataset.values ?? "{}"));
  }
  for (const element of document.querySelectorAll("[data-word-placeholder]")) {
    element.placeholder = say(element.dataset.wordPlaceholder);
  }
  for (const element of document.querySelectorAll("[data-word-label]")) {
    element.setAttribute("aria-label", say(element.dataset.wordLabel));
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}
