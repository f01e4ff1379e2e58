// Writes pixels as a PNG. A canvas can do so, too, but browsers that prevent fingerprinting change its pixels.

import { crc32 } from "./crc32.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const [DEPTH, RGB] = [8, 2];

/**
 * @param {Uint8Array} pixels RGB, row by row.
 * @param {number} width
 * @returns {Promise<Blob>}
 */
export async function encodePng(pixels, width) {
  const row = 3 * width;
  const height = pixels.length / row;
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, DEPTH);
  head.setUint8(9, RGB);
  const filtered = new Uint8Array(height * (row + 1)); // each row begins with the number of its filter
  for (let y = 0; y < height; y++) {
    const at = y * (row + 1);
    filtered[at] = y ? 2 : 0; // the difference to the row above
    for (let x = 0; x < row; x++) filtered[at + 1 + x] = pixels[y * row + x] - (y ? pixels[(y - 1) * row + x] : 0);
  }
  const packed = new Blob([filtered]).stream().pipeThrough(new CompressionStream("deflate"));
  const content = new Uint8Array(await new Response(packed).arrayBuffer());
  const parts = [chunk("IHDR", new Uint8Array(head.buffer)), chunk("IDAT", content), chunk("IEND", new Uint8Array())];
  return new Blob([Uint8Array.from(SIGNATURE), ...parts], { type: "image/png" });
}

/**
 * @param {string} name
 * @param {Uint8Array} content
 */
function chunk(name, content) {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crc32(bytes.subarray(4, 8 + content.length)));
  return bytes;
}
