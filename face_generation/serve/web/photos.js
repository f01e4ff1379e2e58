// The photos that faces were made of, as the model saw them. They are gone with the page.

import { encodeLatents } from "./latents.js";

/** @typedef {import("./state.js").Face} Face */

/** @type {Map<string, Blob>} */
const photos = new Map();

/**
 * @param {number[]} latents
 * @param {Blob} photo
 */
export function remember(latents, photo) {
  photos.set(encodeLatents(latents), photo);
}

/**
 * The photo that a face is of.
 * @param {Face} face
 */
export function photoOf({ latents }) {
  return latents && photos.get(encodeLatents(latents));
}
