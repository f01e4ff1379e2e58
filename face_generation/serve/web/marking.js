// Writes into recorded videos that a network drew them. The browser makes the file, and this adds to its end.

import { packet } from "./origin.js";

const XMP_IN_MP4 = [0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac];
// Elements of Matroska (RFC 9559), on which WebM is built. All identifiers at a file's top level have four bytes.
const ID_BYTES = 4;
const TAGS = [0x12, 0x54, 0xc3, 0x67];
const TAG = [0x73, 0x73];
const TARGETS = [0x63, 0xc0];
const SIMPLE_TAG = [0x67, 0xc8];
const TAG_NAME = [0x45, 0xa3];
const TAG_STRING = [0x44, 0x87];

/**
 * @param {Blob} video An MP4 or a WebM, as browsers record them.
 * @param {import("./origin.js").Origin} origin
 * @returns {Promise<Blob>}
 */
export async function marked(video, origin) {
  const xmp = packet(origin);
  const parts = video.type.startsWith("video/mp4") ? [video, box(xmp)] : await lengthened(video, tags(xmp));
  return new Blob(parts, { type: video.type });
}

/** The box of an MP4 that holds XMP. @param {Uint8Array} xmp */
function box(xmp) {
  const content = [...letters("uuid"), ...XMP_IN_MP4, ...xmp];
  return Uint8Array.from([...bytes(4 + content.length, 4), ...content]);
}

/** The element of a WebM that holds XMP. @param {Uint8Array} xmp */
function tags(xmp) {
  const said = element(SIMPLE_TAG, [...element(TAG_NAME, letters("XMP")), ...element(TAG_STRING, xmp)]);
  return Uint8Array.from(element(TAGS, element(TAG, [...element(TARGETS, []), ...said])));
}

/**
 * Adds an element to the end of a WebM's segment, which is all of the file behind its header.
 * @param {Blob} video
 * @param {Uint8Array<ArrayBuffer>} added
 */
async function lengthened(video, added) {
  const head = new Uint8Array(await video.slice(0, 1024).arrayBuffer());
  const header = numberAt(head, ID_BYTES);
  const at = ID_BYTES + header.length + header.value + ID_BYTES;
  const { length, value } = numberAt(head, at);
  const unknown = value >= 2 ** (7 * length) - 1; // the segment ends with the file
  const size = unknown ? video.slice(at, at + length) : number(value + added.length, length);
  return [video.slice(0, at), size, video.slice(at + length), added];
}

/**
 * @param {number[]} id
 * @param {Iterable<number> & {length: number}} content
 */
const element = (id, content) => [...id, ...number(content.length, 4), ...content];

/**
 * Writes a number of Matroska's. The first one in its bits says how many bytes it has.
 * @param {number} value
 * @param {number} length In bytes.
 */
function number(value, length) {
  const written = Uint8Array.from(bytes(value, length));
  written[0] |= 0x100 >> length;
  return written;
}

/**
 * Reads a number of Matroska's.
 * @param {Uint8Array} from
 * @param {number} at
 */
function numberAt(from, at) {
  const length = Math.clz32(from[at]) - 23;
  const first = from[at] ^ (0x100 >> length);
  return { length, value: from.subarray(at + 1, at + length).reduce((value, byte) => 256 * value + byte, first) };
}

/** @param {string} text */
const letters = (text) => new TextEncoder().encode(text);

/**
 * The bytes of a big-endian number.
 * @param {number} value
 * @param {number} count How many bytes.
 */
const bytes = (value, count) =>
  Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** (count - 1 - i)) % 256);
