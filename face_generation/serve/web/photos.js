// The photos that faces were made from, as the model saw them. They are forgotten when the page is closed.

import { encodeLatents } from "./latents.js";

/** @typedef {import("./state.js").Face} Face */

/** @type {Map<string, Blob>} */
const photos = new Map();

/**
 * Remembers the photo that latents were made from.
 * @param {number[]} latents
 * @param {Blob} photo
 */
export function remember(latents, photo) {
  photos.set(encodeLatents(latents), photo);
}

/**
 * The photo that a face was made from; undefined if it was not.
 * @param {Face} face
 */
export function photoOf({ latents }) {
  return latents && photos.get(encodeLatents(latents));
}
