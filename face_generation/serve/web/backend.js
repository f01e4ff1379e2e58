// What draws for the page. A back end is whatever does what `Backend` says; `http.js` does it by asking the server.

/** @typedef {import("./state.js").Face} Face */

/**
 * What can be asked for or edited.
 * @typedef {{name: string, label: string, figures: Object<string, any>}} Trait
 *
 * A generator of faces.
 * @typedef {Object} Bundle
 * @property {string} name
 * @property {string} model
 * @property {number} latent_dim
 * @property {number} image_size Height and width, pixels.
 * @property {boolean} has_encoder Whether it can redraw photos.
 * @property {string} version Another one whenever the same face may look different.
 * @property {string} licence
 * @property {number} truncation The one that looks best.
 * @property {Trait[]} attributes What new faces can be asked to have.
 * @property {{attributes: Trait[], principal: Trait[]}} directions What edits there are.
 *
 * What may be asked for.
 * @typedef {{faces: number, frames: number, max_strength: number, max_truncation: number}} Limits
 *
 * @typedef {{bundles: Bundle[], limits: Limits}} Catalogue
 *
 * How a picture is drawn: a `tile` is small and waits for its turn, a `portrait` is shown large and comes at once, a
 * `file` is a PNG with the exact pixels.
 * @typedef {"tile"|"portrait"|"file"} Purpose
 *
 * @typedef {{signal?: AbortSignal}} Options Work that is aborted rejects with an AbortError.
 */

/**
 * All that the page wants of what draws for it. Whatever cannot be done rejects with a `Problem`.
 * @typedef {Object} Backend
 * @property {() => Promise<Catalogue>} catalogue What there is.
 * @property {(bundle: Bundle) => Promise<string>} card A bundle's card, Markdown.
 * @property {(bundle: Bundle, face: Face, options: Options & {as: Purpose}) => Promise<Blob>} draw The picture of a face
 *   with its edits.
 * @property {(bundle: Bundle, faces: Face[], options?: Options) => Promise<Blob[]>} drawAll Their portraits, at most
 *   `limits.faces`.
 * @property {(bundle: Bundle, face: Face, options?: Options) => Promise<number[]>} latents The latents of a face with its
 *   edits: what mixes and morphs are made of.
 * @property {(bundle: Bundle, from: Face, to: Face, options: {as: "webp"|"gif", frames: number, seconds: number}) =>
 *   Promise<Blob>} animate The way from one face to another and back.
 * @property {(bundle: Bundle, photo: Blob, options: {find: boolean}) =>
 *   Promise<{latents: number[], original: Blob}>} reconstruct What the model makes of a photo: its face is found, or the
 *   photo is the square already. `original` is that square.
 * @property {(file: File) => boolean} reads Whether it finds faces in a photo that the browser cannot show.
 * @property {(bundle: Bundle, face: Face) => {title: string, text: string}[]} recipes How a face is drawn without the
 *   page.
 * @property {(bundle: Bundle, face: Face) => string|undefined} preview An address that leads to the face, and that shows
 *   its picture where it is posted; undefined where there is none.
 */

/** What a back end says that is wrong, in a sentence for people. */
export class Problem extends Error {
  /**
   * @param {number} status As HTTP has them: 404 is a bundle that is no longer there.
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
