// What the page tells people: short notices, a banner while the server cannot be reached, the progress of loading, and
// words for screen readers.

import { byId, make } from "./dom.js";

/** @type {HTMLDialogElement[]} The open dialogs, the topmost last. */
let dialogs = [];

/** Keeps messages inside the topmost dialog, because everything outside of it is covered and inert. */
export function setUp() {
  const observer = new MutationObserver((records) => {
    for (const { target } of records) {
      if (!(target instanceof HTMLDialogElement)) continue;
      dialogs = dialogs.filter((dialog) => dialog !== target);
      if (target.open) dialogs.push(target);
    }
    const host = dialogs.at(-1) ?? document.body;
    if (byId("messages").parentElement !== host) host.prepend(byId("messages"));
  });
  observer.observe(document.body, { subtree: true, attributeFilter: ["open"] });
  for (const event of ["resize", "scroll"]) window.visualViewport?.addEventListener(event, lift);
}

/** Keeps notices above an on-screen keyboard, which covers the lower part of the page but does not make it smaller. */
function lift() {
  if (!window.visualViewport) return;
  const { height, offsetTop } = window.visualViewport;
  byId("notices").style.setProperty("--covered", `${Math.max(0, innerHeight - height - offsetTop)}px`);
}

/** @type {WeakMap<Element, number>} The timers that remove notices. */
const ends = new WeakMap();

/**
 * Shows a sentence for some seconds. If it is already there, the seconds begin again. Screen readers read it out.
 * @param {string} text
 */
export function notice(text, seconds = 6) {
  const box = byId("notices");
  let line = [...box.children].find((other) => other.textContent === text);
  if (!line) {
    line = make("p", {}, text);
    box.append(line);
  }
  endAfter(line, seconds);
}

/**
 * Removes a notice after some seconds. If the page is hidden then, the seconds begin again when it is shown.
 * @param {Element} line
 * @param {number} seconds
 */
function endAfter(line, seconds) {
  clearTimeout(ends.get(line));
  const end = () => {
    if (!document.hidden) line.remove();
    else document.addEventListener("visibilitychange", () => endAfter(line, seconds), { once: true });
  };
  ends.set(line, setTimeout(end, seconds * 1000));
}

/** Whether work failed because nobody waits for it any more. @param {unknown} error */
export const isAborted = (error) => error instanceof DOMException && error.name === "AbortError";

/**
 * What went wrong, as a sentence; undefined if nobody waits for it any more, or if the banner says it.
 * @param {unknown} error
 */
export function explain(error) {
  if (isAborted(error)) return undefined;
  if (!(error instanceof Error)) return String(error);
  if (!("status" in error)) console.error(error);
  else if (error.status === 404) {
    banner("The server’s models have changed since this page was opened.", "Reload").then(() => location.reload());
    return undefined;
  }
  const text = error.message.trim();
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/**
 * Tells people what went wrong. They can try again themselves.
 * @param {unknown} error
 */
export function tell(error) {
  const text = explain(error);
  if (text) notice(text, 9);
}

/**
 * Makes screen readers say something that other people see.
 * @param {string} text
 */
export function announce(text) {
  byId("status").textContent = text;
}

/**
 * Shows a banner until `hideBanner`, or until its button is pressed.
 * @param {string} text
 * @param {string} action The button's text.
 * @returns {Promise<void>} Settles when the button is pressed.
 */
export function banner(text, action) {
  byId("banner-text").textContent = text;
  byId("banner-action").textContent = action;
  byId("banner").hidden = false;
  return new Promise((resolve) => (byId("banner-action").onclick = () => resolve()));
}

export function hideBanner() {
  byId("banner").hidden = true;
}

/**
 * Shows how much of the model has been loaded, until all of it has.
 * @param {number} loaded Bytes.
 * @param {number} total 0 if nothing is being loaded.
 */
export function loading(loaded, total) {
  byId("loading").hidden = !total;
  const bar = byId("loading-bar", HTMLProgressElement);
  bar.max = total || 1;
  bar.value = loaded;
  byId("loading-text").textContent = `${megabytes(loaded)} of ${megabytes(total)} MB`;
}

/** @param {number} bytes */
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
