// Writes an animation as a GIF that loops. Each picture has its own 256 colours, chosen by median cut (Heckbert 1982).
// The service gives all pictures of a GIF the same colours, and has to dither them.

import { packet } from "./origin.js";

/** @typedef {import("./resizing.js").Picture} Picture */
/** @typedef {{colours: number[], count: number, channel: number, range: number}} Box */

const COLOURS = 256;
const BITS = 5; // of each channel; colours with the same bits count as one
const SHIFTS = [2 * BITS, BITS, 0]; // of red, green and blue in a colour's number
const CLEAR = 256;
const FIRST_CODE = CLEAR + 2;
const LAST_CODE = 4095;
const END_OF_XMP = [1, ...Array.from({ length: 256 }, (_, i) => 255 - i), 0]; // leads from anywhere in it to its end

/**
 * @param {Picture[]} pictures Of one size.
 * @param {number} milliseconds How long each is shown.
 * @param {import("./origin.js").Origin} origin What the file says about its pictures.
 * @returns {Blob}
 */
export function encodeGif(pictures, milliseconds, origin) {
  const size = [...little(pictures[0].width), ...little(pictures[0].height)];
  const delay = little(Math.round(milliseconds / 10));
  const parts = pictures.map(({ pixels }) => {
    const { table, indices } = quantised(pixels);
    const control = [0x21, 0xf9, 4, 4, ...delay, 0, 0];
    const frame = [0x2c, 0, 0, 0, 0, ...size, 0x87, ...table, 8]; // 0x87 announces its own table of 2⁸ colours
    return [Uint8Array.from([...control, ...frame]), blocks(compressed(indices))];
  });
  const forever = [0x21, 0xff, 11, ...letters("NETSCAPE2.0"), 3, 1, 0, 0, 0];
  const said = [0x21, 0xff, 11, ...letters("XMP DataXMP"), ...packet(origin), ...END_OF_XMP];
  const head = Uint8Array.from([...letters("GIF89a"), ...size, 0x70, 0, 0, ...forever, ...said]);
  return new Blob([head, ...parts.flat(), Uint8Array.of(0x3b)], { type: "image/gif" });
}

/** @param {number} value */
const little = (value) => [value & 0xff, value >> 8];

/** @param {string} text */
const letters = (text) => [...text].map((letter) => letter.charCodeAt(0));

/** @param {number} colour @param {number} channel */
const level = (colour, channel) => (colour >> SHIFTS[channel]) & (2 ** BITS - 1);

/**
 * Chooses a table of colours, and gives each pixel its place in it.
 * @param {Uint8Array} pixels
 */
function quantised(pixels) {
  const numbers = Uint16Array.from({ length: pixels.length / 3 }, (_, i) =>
    SHIFTS.reduce((number, shift, channel) => number | ((pixels[3 * i + channel] >> (8 - BITS)) << shift), 0),
  );
  const counts = new Uint32Array(2 ** (3 * BITS));
  for (const number of numbers) counts[number] += 1;
  const boxes = [
    boxOf(
      [...counts.keys()].filter((number) => counts[number]),
      counts,
    ),
  ];
  while (boxes.length < COLOURS) {
    const [largest, place] = boxes.reduce(
      ([best, at], { count, range }, i) => (count * range > best ? [count * range, i] : [best, at]),
      [0, 0],
    );
    if (!largest) break; // there are no more colours
    const { colours, count, channel } = boxes[place];
    colours.sort((a, b) => level(a, channel) - level(b, channel));
    let cut = 0;
    for (let seen = 0; cut < colours.length - 1 && seen < count / 2; cut++) seen += counts[colours[cut]];
    boxes.splice(place, 1, boxOf(colours.slice(0, cut), counts), boxOf(colours.slice(cut), counts));
  }
  const places = new Uint8Array(counts.length);
  boxes.forEach(({ colours }, i) => colours.forEach((colour) => (places[colour] = i)));
  const indices = Uint8Array.from(numbers, (number) => places[number]);
  return { table: means(pixels, indices), indices };
}

/**
 * @param {number[]} colours
 * @param {Uint32Array} counts
 * @returns {Box}
 */
function boxOf(colours, counts) {
  const ranges = SHIFTS.map((_, channel) => {
    const levels = colours.map((colour) => level(colour, channel));
    return levels.reduce((a, b) => Math.max(a, b), 0) - levels.reduce((a, b) => Math.min(a, b), 2 ** BITS);
  });
  const range = Math.max(...ranges);
  const count = colours.reduce((sum, colour) => sum + counts[colour], 0);
  return { colours, count, channel: ranges.indexOf(range), range };
}

/**
 * The mean colour of the pixels at each place.
 * @param {Uint8Array} pixels
 * @param {Uint8Array} indices
 */
function means(pixels, indices) {
  const [sums, counts] = [new Float64Array(3 * COLOURS), new Uint32Array(COLOURS)];
  indices.forEach((place, i) => {
    counts[place] += 1;
    for (let channel = 0; channel < 3; channel++) sums[3 * place + channel] += pixels[3 * i + channel];
  });
  return Uint8Array.from(sums, (sum, i) => Math.round(sum / (counts[Math.floor(i / 3)] || 1)));
}

/**
 * Compresses with the method of Lempel, Ziv and Welch.
 * @param {Uint8Array} indices
 */
function compressed(indices) {
  /** @type {number[]} */
  const bytes = [];
  let [bits, held] = [0, 0];
  let [width, next] = [9, FIRST_CODE];
  /** @type {Map<number, number>} Codes of sequences, by the code of all but the last place and that place. */
  let codes = new Map();
  /** @param {number} code */
  const write = (code) => {
    bits |= code << held;
    for (held += width; held >= 8; held -= 8) {
      bytes.push(bits & 0xff);
      bits >>>= 8;
    }
  };
  write(CLEAR);
  let before = indices[0];
  for (const place of indices.subarray(1)) {
    const key = (before << 8) | place;
    const code = codes.get(key);
    if (code !== undefined) {
      before = code;
      continue;
    }
    write(before);
    before = place;
    if (next > LAST_CODE) {
      write(CLEAR);
      [codes, width, next] = [new Map(), 9, FIRST_CODE];
    } else {
      if (next === 2 ** width) width += 1;
      codes.set(key, next++);
    }
  }
  write(before);
  write(CLEAR + 1);
  if (held) bytes.push(bits);
  return bytes;
}

/**
 * Splits bytes into blocks of at most 255. Each begins with its length.
 * @param {number[]} bytes
 */
function blocks(bytes) {
  const parts = Array.from({ length: Math.ceil(bytes.length / 255) }, (_, i) => bytes.slice(255 * i, 255 * (i + 1)));
  return Uint8Array.from([...parts.flatMap((part) => [part.length, ...part]), 0]);
}
