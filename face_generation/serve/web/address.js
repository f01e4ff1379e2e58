// The browser's address bar and history. Going somewhere makes a new entry. Moving a slider changes the current one.

const DELAY = 200; // milliseconds; browsers refuse changes that come too often
/** @type {string|undefined} */
let pending;
/** @type {number|undefined} */
let timer;

/**
 * Goes to another address on this page. The event `hashchange` makes `main.js` show it.
 * @param {string} link
 */
export function go(link) {
  flush();
  if (link === location.hash) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = link;
}

/**
 * Sets the address of what is shown now, after a moment.
 * @param {string} link
 */
export function adjust(link) {
  pending = link;
  clearTimeout(timer);
  timer = setTimeout(flush, DELAY);
}

/** Sets the address that `adjust` has put off, at once. */
export function flush() {
  clearTimeout(timer);
  if (pending !== undefined) history.replaceState(null, "", pending);
  pending = undefined;
}

/** Forgets the address that `adjust` has put off, because the browser has gone elsewhere. */
export function drop() {
  clearTimeout(timer);
  pending = undefined;
}
