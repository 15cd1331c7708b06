// What is the same for every page with a chat on it: its state, its complaints, its forms and its scrolling.

import { label } from "./words.js";

export const byId = (id) => document.getElementById(id);

/** Shows how the connection stands, and makes usable what can be used now. */
export function show(state) {
  document.body.dataset.state = state;
  const usable = state === "connected";
  byId("state").dataset.state = state;
  label(byId("state"), `state_${state}`);
  byId("text").disabled = !usable;
  byId("send").disabled = !usable;
  label(byId("empty"), state === "out" ? "empty_out" : "empty_in");
}

/** Says what is wrong, and puts the cursor where it can be mended. */
export function complain(key, values = {}, field) {
  const error = byId("error");
  const followed = isAtEnd();
  label(error, key, values);
  error.hidden = false;
  if (followed) toEnd();
  field?.focus();
}

export function forgive() {
  byId("error").hidden = true;
}

export function add(parent, tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  parent.append(element);
  return element;
}

const scroller = () => document.querySelector(".scroll");

export function isAtEnd() {
  const box = scroller();
  return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
}

export function toEnd() {
  const box = scroller();
  box.scrollTop = box.scrollHeight;
  byId("newest").hidden = true;
}

export function watchScrolling() {
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
export function onSubmit(form, act) {
  let composing = false;
  form.addEventListener("compositionstart", () => (composing = true));
  form.addEventListener("compositionend", () => (composing = false));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!composing) act();
  });
}

/** Copying works only where the browser trusts the page (this machine, or TLS); elsewhere there is no button. */
export function offerCopies() {
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

/** On a phone the chat hides what stands beside it on a desk; this button brings it back. */
export function offerAbout() {
  const button = byId("about");
  button.addEventListener("click", () => {
    const followed = isAtEnd();
    const open = document.body.classList.toggle("about-open");
    if (followed) toEnd();
    button.setAttribute("aria-expanded", String(open));
  });
}

/** Where the broker's listener for that protocol is, or null after saying what is wrong. */
export async function findBroker(protocol) {
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
  const place = `${location.hostname}:${at.port}`;
  return {
    login: config.login,
    ws: `${at.tls ? "wss" : "ws"}://${place}${at.path}`,
    sockjs: at.sockjs && `${at.tls ? "https" : "http"}://${place}${at.sockjs}`,
  };
}
