// The interface of what draws for the page. `http.js` asks the server, and `browser.js` draws in the browser.

/** @typedef {import("./state.js").Face} Face */

/**
 * An attribute that can be asked for, or a direction of edits.
 * @typedef {{name: string, label: string, figures: Object<string, any>}} Trait
 *
 * A generator of faces.
 * @typedef {Object} Bundle
 * @property {string} name
 * @property {string} model
 * @property {number} latent_dim
 * @property {number} image_size Height and width, pixels.
 * @property {boolean} has_encoder Whether it can redraw photos.
 * @property {string} version Changes whenever the same face may look different.
 * @property {string} licence
 * @property {number} truncation The default, which looks best.
 * @property {Trait[]} attributes What can be asked of new faces.
 * @property {{attributes: Trait[], principal: Trait[]}} directions The edits: along attributes, and along unnamed
 *   directions.
 *
 * The most that a request may ask for.
 * @typedef {{faces: number, frames: number, max_strength: number, max_truncation: number}} Limits
 *
 * @typedef {{bundles: Bundle[], limits: Limits}} Catalogue
 *
 * What a picture is for. A `tile` is small and waits for its turn. A `portrait` is shown large and comes at once. A
 * `file` is a PNG with the exact pixels.
 * @typedef {"tile"|"portrait"|"file"} Purpose
 *
 * @typedef {{signal?: AbortSignal}} Options Aborted work rejects with an AbortError.
 */

/**
 * Everything that the page needs from what draws for it. Work that fails rejects with a `Problem`.
 * @typedef {Object} Backend
 * @property {() => Promise<Catalogue>} catalogue Lists the bundles and the limits.
 * @property {(bundle: Bundle) => Promise<string>} card Gives a bundle's card, in Markdown.
 * @property {(bundle: Bundle, face: Face, options: Options & {as: Purpose}) => Promise<Blob>} draw Draws a face with
 *   its edits.
 * @property {(bundle: Bundle, faces: Face[], options?: Options) => Promise<Blob[]>} drawAll Draws the portraits of at
 *   most `limits.faces` faces.
 * @property {(bundle: Bundle, face: Face, options?: Options) => Promise<number[]>} latents Gives the latents of a face
 *   with its edits. Mixes and morphs are made of them.
 * @property {(bundle: Bundle, from: Face, to: Face, options: {as: "webp"|"gif", frames: number, seconds: number}) =>
 *   Promise<Blob>} animate Makes an animation from one face to another and back.
 * @property {(bundle: Bundle, photo: Blob, options: {find: boolean}) =>
 *   Promise<{latents: number[], original: Blob}>} reconstruct Redraws a photo. With `find`, the face in it is found.
 *   Otherwise the photo is already the square around a face. `original` is that square.
 * @property {(file: File) => boolean} reads Says whether it can find the face in a photo that the browser cannot show.
 * @property {(bundle: Bundle, face: Face) => {title: string, text: string}[]} recipes Tells how to draw a face without
 *   the page.
 * @property {(bundle: Bundle, face: Face) => string|undefined} preview Gives an address that leads to the face. Web
 *   sites where it is posted show the picture. Undefined if there is no such address.
 */

/** What went wrong in a back end, as a sentence for people. */
export class Problem extends Error {
  /**
   * @param {number} status A status of HTTP: 404 means that the bundle is no longer there.
   * @param {string} sentence
   */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** @type {Backend} The one in use. */
export let backend;

/** @param {Backend} chosen */
export function use(chosen) {
  backend = chosen;
}
