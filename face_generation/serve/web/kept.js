// The faces that the browser keeps: favourites, and recently viewed ones. Each is kept as its link.

import { read, write } from "./storage.js";

/** @typedef {"favourites"|"recent"} List */

const MOST = { favourites: 500, recent: 48 }; // if there are more, the oldest are forgotten

/**
 * The links of a list, the newest first.
 * @param {List} list
 * @returns {string[]}
 */
export function links(list) {
  const kept = read(list, /** @type {unknown[]} */ ([]));
  return Array.isArray(kept) ? kept.filter((link) => typeof link === "string") : [];
}

/** @param {string} link */
export const isFavourite = (link) => links("favourites").includes(link);

/**
 * Puts a face first in a list.
 * @param {List} list
 * @param {string} link
 * @param {string} [instead] The link of the same face before it was changed. It is removed.
 * @returns {boolean} Whether the browser keeps it.
 */
export function keep(list, link, instead) {
  const others = links(list).filter((other) => other !== link && other !== instead);
  return write(list, [link, ...others].slice(0, MOST[list]));
}

/**
 * @param {List} list
 * @param {string} [link] Without it, all links of the list are forgotten.
 */
export function forget(list, link) {
  write(list, link === undefined ? [] : links(list).filter((other) => other !== link));
}
