// What the page shows, as the part of its address after the #: nothing else is needed to show it again.
//
//   #vae?from=1200&t=0.8&with=smiling&without=male     a grid of faces, from a seed on
//   #vae/42?t=0.8&toward=43&amount=0.5&smiling=1.5     a face; t is the truncation, the bundle's own where there is none
//   #vae/latents?z=…&smiling=1.5                       a face of latents: float32 numbers in base64
//   …&v=e161681bf7e0                                   the model's version that drew it
//
// The part after the # never leaves the browser: only what is drawn is asked for.

const SEEDS = 2 ** 32;
const OPTIONS = new Set(["t", "with", "without", "toward", "amount", "v", "z", "from"]); // all others are edits

/** A link that cannot be shown; the message says why. */
export class BadLink extends Error {}

/**
 * How the faces of seeds are drawn, of anything that says it: `{truncation, with, without}`, the lists of names as the
 * API has them. What is not said is undefined: the bundle's own truncation, and no attributes.
 */
export function asking({ truncation, with: wanted, without: unwanted }) {
  return {
    truncation,
    with: wanted?.length ? wanted : undefined,
    without: unwanted?.length ? unwanted : undefined,
  };
}

/** Whether two grids or faces are drawn in the same way. */
export const sameAsking = (one, other) => JSON.stringify(asking(one)) === JSON.stringify(asking(other));

/** The address of a grid, `{bundle, from, truncation, with, without}`. Bundles are given by their names here. */
export function gridLink({ bundle, from, ...how }) {
  return link(bundle, { from, ...howOptions(how) });
}

function howOptions(how) {
  const { truncation, with: wanted, without: unwanted } = asking(how);
  return { t: truncation, with: wanted?.join(), without: unwanted?.join() };
}

/** The address of a face, `{bundle, face, version}`. */
export function faceLink({ bundle, face, version }) {
  const { seed, latents, toward, amount, edits } = face;
  const options = latents ? { z: encodeLatents(latents), ...howOptions(face) } : howOptions(face);
  const way = toward === undefined ? {} : { toward, amount };
  return link(`${bundle}/${latents ? "latents" : seed}`, { ...options, ...way, ...edits, v: version });
}

function link(path, options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return `#${path}?${new URLSearchParams(given)}`.replaceAll("%2C", ",");
}

/**
 * Reads an address.
 * @param {string} fragment With the #, or empty.
 * @returns {Object} `{bundle, from, truncation, with, without}` of a grid, where undefined is any, or
 *   `{bundle, face, version}`.
 * @throws {BadLink}
 */
export function parse(fragment) {
  const [path, query = ""] = fragment.replace(/^#/, "").split("?", 2);
  const parts = path.split("/").map(decode);
  const options = readOptions(query);
  const how = asking({
    truncation: number(options, "t", 0, 10),
    with: names(options, "with"),
    without: names(options, "without"),
  });
  const both = how.with?.find((name) => how.without?.includes(name));
  if (both) throw new BadLink(`It asks for “${both}”, and for faces without it.`);
  const [bundle, which] = parts;
  if (parts.length > 2) throw new BadLink("It has too many parts.");
  if (parts.length === 1) return { bundle: bundle || undefined, from: seed(options.get("from")), ...how };

  // With latents, what is asked for is of the face that they go toward.
  const ofLatents = options.has("toward") ? { ...how, truncation: undefined } : {};
  const origin =
    which === "latents" ? { latents: decodeLatents(options.get("z")), ...ofLatents } : { seed: seed(which), ...how };
  const edits = {};
  for (const name of options.keys()) if (!OPTIONS.has(name)) edits[name] = number(options, name, -Infinity, Infinity);
  const way = {};
  if (options.has("toward")) {
    way.toward = seed(options.get("toward"));
    way.amount = number(options, "amount", 0, 1) ?? 0.25;
  }
  return { bundle, face: { ...origin, ...way, edits }, version: options.get("v") };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BadLink("It is damaged.");
  }
}

function readOptions(query) {
  const options = new Map();
  for (const [name, value] of new URLSearchParams(query)) {
    if (options.has(name)) throw new BadLink(`It says “${name}” twice.`);
    options.set(name, value);
  }
  return options;
}

function number(options, name, low, high) {
  const text = options.get(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < low || value > high)
    throw new BadLink(`“${name}” cannot be “${text}”${low === -Infinity ? "" : `; it is from ${low} to ${high}`}.`);
  return value;
}

function names(options, name) {
  return options.get(name)?.split(",").filter(Boolean);
}

function seed(text) {
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text) || Number(text) >= SEEDS)
    throw new BadLink(`A face’s number is from 0 to ${SEEDS - 1}; “${text}” is not.`);
  return Number(text);
}

/** Latents as text that fits into an address: little-endian float32 in base64url. */
export function encodeLatents(latents) {
  const view = new DataView(new ArrayBuffer(4 * latents.length));
  latents.forEach((value, i) => view.setFloat32(4 * i, value, true));
  const letters = Array.from(new Uint8Array(view.buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decodeLatents(text = "") {
  let letters;
  try {
    letters = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw new BadLink("Its face is damaged.");
  }
  const view = new DataView(Uint8Array.from(letters, (letter) => letter.charCodeAt(0)).buffer);
  const latents = Array.from({ length: Math.floor(view.byteLength / 4) }, (_, i) => view.getFloat32(4 * i, true));
  if (!latents.length || view.byteLength % 4 || !latents.every(Number.isFinite))
    throw new BadLink("Its face is damaged, or cut off.");
  return latents;
}

/** A whole number below `below`, by chance. */
export function randomSeed(below = 1_000_000) {
  return Math.floor(Math.random() * below);
}
