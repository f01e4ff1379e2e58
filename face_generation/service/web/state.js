// What the page shows, as the part of its address after the #: nothing else is needed to show it again.
//
//   #vae?from=1200&t=0.8                               a grid of faces, from a seed on
//   #vae/42?t=0.8&toward=43&amount=0.5&smiling=1.5     a face; t is the truncation
//   #vae/latents?z=…&smiling=1.5                       a face of latents: float32 numbers in base64
//   …&v=e161681bf7e0                                   the model's version that drew it
//
// The part after the # never leaves the browser: only what is drawn is asked for.

const SEEDS = 2 ** 32;
const OPENING = 0.8; // the truncation of an address that says nothing: the first faces should be good ones
const OPTIONS = new Set(["t", "toward", "amount", "v", "z", "from"]); // all others are edits

/** A link that cannot be shown; the message says why. */
export class BadLink extends Error {}

/** The address of a grid, `{bundle, from, truncation}`. Bundles are given by their names here. */
export function gridLink({ bundle, from, truncation }) {
  return link(bundle, { from, t: truncation === 1 ? undefined : truncation });
}

/** The address of a face, `{bundle, face, version}`. */
export function faceLink({ bundle, face, version }) {
  const { seed, latents, truncation, toward, amount, edits } = face;
  const options = latents ? { z: encodeLatents(latents) } : { t: truncation === 1 ? undefined : truncation };
  const way = toward === undefined ? {} : { toward, amount };
  return link(`${bundle}/${latents ? "latents" : seed}`, { ...options, ...way, ...edits, v: version });
}

function link(path, options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return `#${path}?${new URLSearchParams(given)}`;
}

/**
 * Reads an address.
 * @param {string} fragment With the #, or empty.
 * @returns {Object} `{bundle, from, truncation}` of a grid, where undefined is any, or `{bundle, face, version}`.
 * @throws {BadLink}
 */
export function parse(fragment) {
  const [path, query = ""] = fragment.replace(/^#/, "").split("?", 2);
  const parts = path.split("/").map(decode);
  const options = readOptions(query);
  const truncation = number(options, "t", 0, 10) ?? (fragment.length > 1 ? 1 : OPENING);
  const [bundle, which] = parts;
  if (parts.length > 2) throw new BadLink("It has too many parts.");
  if (parts.length === 1) return { bundle: bundle || undefined, from: seed(options.get("from")), truncation };

  const origin = which === "latents" ? { latents: decodeLatents(options.get("z")) } : { seed: seed(which), truncation };
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
