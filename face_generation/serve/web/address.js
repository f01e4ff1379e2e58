// The browser's address bar and history. Going somewhere is a new entry; moving a slider changes the one that is there.

const DELAY = 200; // milliseconds; browsers refuse changes that come too often
/** @type {string|undefined} */
let pending;
/** @type {number|undefined} */
let timer;

/**
 * Goes to another address on this page; `hashchange` tells who shows it.
 * @param {string} link
 */
export function go(link) {
  flush();
  if (link === location.hash) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = link;
}

/**
 * Says, in a moment, that what is shown now has this address.
 * @param {string} link
 */
export function adjust(link) {
  pending = link;
  clearTimeout(timer);
  timer = setTimeout(flush, DELAY);
}

/** Does at once what `adjust` has put off. */
export function flush() {
  clearTimeout(timer);
  if (pending !== undefined) history.replaceState(null, "", pending);
  pending = undefined;
}

/** Forgets what `adjust` has put off: the browser has gone elsewhere. */
export function drop() {
  clearTimeout(timer);
  pending = undefined;
}
