// Writes an animation as a WebP that loops. The browser makes each picture, and this module puts them into one file.

import { Problem } from "./backend.js";
import { packet } from "./origin.js";

/** @typedef {import("./resizing.js").Picture} Picture */

const QUALITY = 0.9;
const PICTURES = ["VP8 ", "VP8L"]; // names of chunks
const [ANIMATION, XMP] = [2, 4]; // flags of the file
const REPLACES = 2; // the flag of a picture that is not blended with the one before

/**
 * @param {Picture[]} pictures Of one size.
 * @param {number} milliseconds How long each is shown.
 * @param {import("./origin.js").Origin} origin What the file says about its pictures.
 * @returns {Promise<Blob>}
 * @throws {Problem} The browser cannot make WebP.
 */
export async function encodeWebp(pictures, milliseconds, origin) {
  const size = [...bytes(pictures[0].width - 1, 3), ...bytes(pictures[0].height - 1, 3)];
  const frames = await Promise.all(
    pictures.map(async (picture) => {
      const about = [...bytes(0, 6), ...size, ...bytes(milliseconds, 3), REPLACES];
      return chunk("ANMF", [Uint8Array.from(about), await still(picture)]);
    }),
  );
  const head = chunk("VP8X", [Uint8Array.from([ANIMATION | XMP, 0, 0, 0, ...size])]);
  const forever = chunk("ANIM", [new Uint8Array(6)]);
  const said = chunk("XMP ", [packet(origin)]);
  return new Blob([chunk("RIFF", [letters("WEBP"), head, forever, ...frames, said])], { type: "image/webp" });
}

/**
 * Makes the chunk that has a picture. Chunks that the browser adds, such as colour profiles, do not belong in an
 * animation.
 * @param {Picture} picture
 */
async function still({ width, height, pixels }) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d", { alpha: false })?.putImageData(image, 0, 0);
  const file = await canvas.convertToBlob({ type: "image/webp", quality: QUALITY });
  if (file.type !== "image/webp") throw new Problem(501, "this browser cannot make WebP; save a GIF instead");
  const content = new Uint8Array(await file.arrayBuffer());
  const view = new DataView(content.buffer);
  for (let at = 12; at < content.length;) {
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length + (length % 2);
    if (PICTURES.includes(new TextDecoder().decode(content.subarray(at, at + 4)))) return content.subarray(at, end);
    at = end;
  }
  throw new Error("this browser makes WebP files without a picture");
}

/**
 * @param {string} name
 * @param {Uint8Array[]} parts
 */
function chunk(name, parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const whole = new Uint8Array(8 + length + (length % 2));
  whole.set(letters(name));
  new DataView(whole.buffer).setUint32(4, length, true);
  let at = 8;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {string} text */
const letters = (text) => new TextEncoder().encode(text);

/**
 * The bytes of a little-endian number.
 * @param {number} value
 * @param {number} count How many bytes.
 */
const bytes = (value, count) => Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** i) % 256);
