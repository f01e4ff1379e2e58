// Checks links against the bundles that there are.

import { asking, BadLink } from "./state.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {import("./state.js").Asking} Asking
 * @typedef {import("./state.js").Face} Face
 * @typedef {import("./state.js").GridState} GridState
 * @typedef {import("./state.js").FaceState} FaceState
 *
 * A state with its bundle from the catalogue. `dropped` has a sentence for each thing in the link that the bundle
 * lacks.
 * @typedef {Asking & {bundle: Bundle, from?: number, face?: undefined, dropped: string[]}} KnownGrid
 * @typedef {{bundle: Bundle, face: Face, version?: string, dropped: string[]}} KnownFace
 */

/**
 * A bundle's name for people.
 * @param {{name: string, model: string}} bundle
 */
export function title({ name, model }) {
  return name.toLowerCase() === model.toLowerCase() ? model : `${name} (${model})`;
}

/**
 * Whether a bundle has edits.
 * @param {Bundle} bundle
 */
export const isEditable = ({ directions }) => directions.attributes.length + directions.principal.length > 0;

/**
 * A state without attributes and edits that its bundle does not know.
 * @param {GridState|FaceState} state
 * @param {Catalogue} catalogue
 * @returns {KnownGrid|KnownFace}
 * @throws {BadLink}
 */
export function known(state, { bundles, limits }) {
  const bundle = state.bundle === undefined ? bundles[0] : bundles.find(({ name }) => name === state.bundle);
  if (!bundle)
    throw new BadLink(`There is no model “${state.bundle}” here. The models are ${bundles.map(title).join(", ")}.`);
  /** @type {string[]} */
  const dropped = [];
  const { truncation = 0 } = state.face ?? state;
  if (truncation > limits.max_truncation)
    throw new BadLink(`“t” cannot be “${truncation}”; it is from 0 to ${limits.max_truncation}.`);
  if (!state.face) return { ...state, ...knownAsking(bundle, state, dropped), bundle, dropped };
  const { latents, toward, edits } = state.face;
  for (const numbers of [latents, toward])
    if (Array.isArray(numbers) && numbers.length !== bundle.latent_dim)
      throw new BadLink(
        `Its face has ${numbers.length} numbers, and ${title(bundle)} draws from ${bundle.latent_dim}.`,
      );
  const names = new Set([...bundle.directions.attributes, ...bundle.directions.principal].map(({ name }) => name));
  const kept = Object.entries(edits).filter(([name]) => names.has(name));
  if (kept.length < Object.keys(edits).length)
    dropped.push(`The link has edits that ${title(bundle)} does not know; the face is shown without them.`);
  for (const [name, strength] of kept)
    if (Math.abs(strength) > limits.max_strength)
      throw new BadLink(`“${name}” goes from ${-limits.max_strength} to ${limits.max_strength}, not to ${strength}.`);
  const face = { ...state.face, ...knownAsking(bundle, state.face, dropped), edits: Object.fromEntries(kept) };
  return { ...state, bundle, face, dropped };
}

/**
 * @param {Bundle} bundle
 * @param {Asking} how
 * @param {string[]} dropped Gets a sentence if the bundle does not offer everything.
 */
function knownAsking(bundle, how, dropped) {
  const offered = new Set(bundle.attributes.map(({ name }) => name));
  /** @param {string[]|undefined} names */
  const kept = (names) => names?.filter((name) => offered.has(name));
  const asked = asking({ ...how, with: kept(how.with), without: kept(how.without) });
  if (asked.with?.length !== how.with?.length || asked.without?.length !== how.without?.length)
    dropped.push(`The link asks for something that ${title(bundle)} does not offer; faces are shown without it.`);
  return asked;
}
