// Writes pixels as a PNG. A canvas can do so, too, but browsers that prevent fingerprinting change its pixels.

import { crc32 } from "./crc32.js";
import { packet } from "./origin.js";

/** @typedef {import("./origin.js").Origin} Origin */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const [DEPTH, RGB] = [8, 2];

/**
 * @param {Uint8Array} pixels RGB, row by row.
 * @param {number} width
 * @param {Origin} [origin] What the file says about the picture.
 * @returns {Promise<Blob>}
 */
export async function encodePng(pixels, width, origin) {
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
  const parts = [
    chunk("IHDR", new Uint8Array(head.buffer)),
    ...(origin ? texts(origin) : []),
    chunk("IDAT", content),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob([Uint8Array.from(SIGNATURE), ...parts], { type: "image/png" });
}

/** @param {Origin} origin */
function texts(origin) {
  const letters = new TextEncoder();
  return [
    chunk("tEXt", letters.encode(`Software\0${origin.software}`)),
    chunk("tEXt", letters.encode(`Recipe\0${origin.recipe}`)),
    chunk("iTXt", Uint8Array.from([...letters.encode("XML:com.adobe.xmp"), 0, 0, 0, 0, 0, ...packet(origin)])),
  ];
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
