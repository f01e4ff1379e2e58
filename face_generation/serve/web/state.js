// The state of the page is the part of its address after the #. Nothing else is needed to show the same again.
//
//   #vae?from=1200&t=0.8&with=smiling&without=male     a grid of faces that begins with a seed
//   #vae/42?t=0.8&toward=43&amount=0.5&smiling=1.5     a face; t is the truncation, without it the bundle's own
//   #vae/latents?z=…&smiling=1.5                       a face of latents: float32 numbers in base64
//   …&toward=…                                         a seed, or latents as above
//   …&v=e161681bf7e0                                   the version of the model that drew it
//   #/yours                                            the faces that this browser keeps
//
// Browsers never send the part after the #. The server only learns what it has to draw.

import { decodeLatents, encodeLatents } from "./latents.js";

/**
 * How the faces of seeds are drawn. Anything may be undefined: then the truncation is the bundle's own, and there are
 * no attributes.
 * @typedef {Object} Asking
 * @property {number} [truncation]
 * @property {string[]} [with] Attributes that the faces should have.
 * @property {string[]} [without] Attributes that they should not have.
 */

/**
 * A face that comes from a seed or from latents. It goes toward the face of another seed, or toward other latents, and
 * is then edited. If it comes from latents, `with` and `without` belong to the seed that it goes toward.
 * @typedef {Asking & {seed?: number, latents?: number[], toward?: number|number[], amount?: number,
 *   edits: Object<string, number>}} Face
 */

/**
 * What is shown. A bundle is given by its name. Undefined means any bundle.
 * @typedef {Asking & {bundle?: string, from?: number, face?: undefined}} GridState
 * @typedef {{bundle: string, face: Face, version?: string}} FaceState
 */

export const YOURS = "#/yours";
export const LAST_SEED = 2 ** 32 - 1;
const OPTIONS = new Set(["t", "with", "without", "toward", "amount", "v", "z", "from"]); // all others are edits

/** A link that cannot be shown; the message says why. */
export class BadLink extends Error {}

/**
 * Takes from any object how faces are drawn.
 * @param {Asking} how
 * @returns {Asking}
 */
export function asking({ truncation, with: wanted, without: unwanted }) {
  return {
    truncation,
    with: wanted?.length ? wanted : undefined,
    without: unwanted?.length ? unwanted : undefined,
  };
}

/**
 * Whether two grids or faces are drawn in the same way.
 * @param {Asking} one
 * @param {Asking} other
 */
export const sameAsking = (one, other) => JSON.stringify(asking(one)) === JSON.stringify(asking(other));

/**
 * The address of a grid.
 * @param {GridState & {bundle: string}} grid
 */
export function gridLink({ bundle, from, ...how }) {
  return link(bundle, { from, ...howOptions(how) });
}

/** @param {Asking} how */
function howOptions(how) {
  const { truncation, with: wanted, without: unwanted } = asking(how);
  return { t: truncation, with: wanted?.join(), without: unwanted?.join() };
}

/**
 * The address of a face.
 * @param {FaceState} state
 */
export function faceLink({ bundle, face, version }) {
  const { seed, latents, toward, amount, edits } = face;
  const options = latents ? { z: encodeLatents(latents), ...howOptions(face) } : howOptions(face);
  const way = toward === undefined ? {} : { toward: Array.isArray(toward) ? encodeLatents(toward) : toward, amount };
  return link(`${bundle}/${latents ? "latents" : seed}`, { ...options, ...way, ...edits, v: version });
}

/**
 * @param {string} path
 * @param {Object<string, string|number|undefined>} options
 */
function link(path, options) {
  const given = Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [[name, `${value}`]]));
  return `#${path}?${new URLSearchParams(given)}`.replaceAll("%2C", ",");
}

/**
 * Reads an address.
 * @param {string} fragment With the #, or empty.
 * @returns {GridState|FaceState}
 * @throws {BadLink}
 */
export function parse(fragment) {
  const [path, query = ""] = fragment.replace(/^#/, "").split("?", 2);
  const parts = path.split("/").map(decode);
  const options = readOptions(query);
  const how = asking({
    truncation: number(options, "t", 0, Infinity),
    with: names(options, "with"),
    without: names(options, "without"),
  });
  const both = how.with?.find((name) => how.without?.includes(name));
  if (both) throw new BadLink(`It asks for “${both}”, and for faces without it.`);
  const [bundle, which] = parts;
  if (parts.length > 2) throw new BadLink("It has too many parts.");
  const from = options.get("from");
  if (parts.length === 1)
    return { bundle: bundle || undefined, from: from === undefined ? undefined : seed(from), ...how };

  // If the face comes from latents, what is asked for belongs to the face that it goes toward.
  const ofLatents = options.has("toward") ? { ...how, truncation: undefined } : {};
  const origin =
    which === "latents" ? { latents: latents(options.get("z") ?? ""), ...ofLatents } : { seed: seed(which), ...how };
  /** @type {Object<string, number>} */
  const edits = {};
  for (const name of options.keys())
    if (!OPTIONS.has(name)) edits[name] = number(options, name, -Infinity, Infinity) ?? 0;
  const other = options.get("toward");
  const way =
    other === undefined ? {} : { toward: seedOrLatents(other), amount: number(options, "amount", 0, 1) ?? 0.25 };
  return { bundle, face: { ...origin, ...way, edits }, version: options.get("v") };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BadLink("It is damaged.");
  }
}

/** @param {string} query */
function readOptions(query) {
  /** @type {Map<string, string>} */
  const options = new Map();
  for (const [name, value] of new URLSearchParams(query)) {
    if (options.has(name)) throw new BadLink(`It says “${name}” twice.`);
    options.set(name, value);
  }
  return options;
}

/**
 * @param {Map<string, string>} options
 * @param {string} name
 * @param {number} low
 * @param {number} high
 */
function number(options, name, low, high) {
  const text = options.get(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  const range = low === -Infinity ? "" : `; it is ${high === Infinity ? `${low} or more` : `from ${low} to ${high}`}`;
  if (text.trim() === "" || !Number.isFinite(value) || value < low || value > high)
    throw new BadLink(`“${name}” cannot be “${text}”${range}.`);
  return value;
}

/**
 * @param {Map<string, string>} options
 * @param {string} name
 */
function names(options, name) {
  return options.get(name)?.split(",").filter(Boolean);
}

/** @param {string} text */
function seed(text) {
  if (!isSeed(text)) throw new BadLink(`A face’s number is from 0 to ${LAST_SEED}; “${text}” is not.`);
  return Number(text);
}

/** @param {string} text */
export const isSeed = (text) => /^\d{1,10}$/.test(text) && Number(text) <= LAST_SEED;

/** @param {string} text */
const seedOrLatents = (text) => (/^-?\d{1,10}$/.test(text) ? seed(text) : latents(text));

/** @param {string} text */
function latents(text) {
  let numbers;
  try {
    numbers = decodeLatents(text);
  } catch {
    throw new BadLink("Its face is damaged.");
  }
  if (!numbers.length) throw new BadLink("Its face is damaged, or cut off.");
  return numbers;
}

/** A random seed below `below`. */
export function randomSeed(below = 1_000_000) {
  return Math.floor(Math.random() * below);
}
