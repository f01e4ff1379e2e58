// What the page tells people in passing: short notices, a banner while the server is away, words for screen readers.

import { byId, make } from "./dom.js";

/** Shows a sentence for some seconds; screen readers say it. */
export function notice(text, seconds = 6) {
  const box = byId("notices");
  if ([...box.children].some((other) => other.textContent === text)) return;
  const paragraph = make("p", {}, text);
  box.append(paragraph);
  setTimeout(() => paragraph.remove(), seconds * 1000);
}

/** Tells what went wrong, unless nobody waits for it any more. */
export function tell(error) {
  if (error.name === "AbortError") return;
  if (error.status === 404) {
    banner("The server has another model than when this page was opened.", "Reload").then(() => location.reload());
    return;
  }
  const text = error.message.trim();
  notice(text.charAt(0).toUpperCase() + text.slice(1), 9);
  if (!error.status) console.error(error);
}

/** Has screen readers say something that others see. */
export function announce(text) {
  byId("status").textContent = text;
}

/**
 * Shows a banner until `hideBanner`, or until its button is pressed.
 * @returns {Promise<void>} Settles when the button is pressed.
 */
export function banner(text, action) {
  byId("banner-text").textContent = text;
  byId("banner-action").textContent = action;
  byId("banner").hidden = false;
  return new Promise((resolve) => (byId("banner-action").onclick = resolve));
}

export function hideBanner() {
  byId("banner").hidden = true;
}
