// Several files as one: a ZIP archive that stores them as they are, because pictures do not get smaller.

import { crc32 } from "./crc32.js";

/**
 * @param {{name: string, content: Blob}[]} files Of less than 4 GB together.
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  const now = new Date();
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const date = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  /** @type {BlobPart[]} */
  const bodies = [];
  /** @type {BlobPart[]} */
  const entries = [];
  let [offset, directory] = [0, 0];
  for (const { name, content } of files) {
    const title = new TextEncoder().encode(name);
    const sum = crc32(new Uint8Array(await content.arrayBuffer()));
    const UTF8 = 0x0800; // names are in it
    const about = [[2, 20], [2, UTF8], [2, 0], [2, time], [2, date], [4, sum], [4, content.size], [4, content.size]];
    const local = record([[4, 0x04034b50], ...about, [2, title.length], [2, 0]]);
    bodies.push(local, title, content);
    const rest = [[2, title.length], [2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]];
    const entry = record([[4, 0x02014b50], [2, 20], ...about, ...rest]);
    entries.push(entry, title);
    offset += local.length + title.length + content.size;
    directory += entry.length + title.length;
  }
  const count = files.length;
  const end = record([[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, directory], [4, offset], [2, 0]]);
  return new Blob([...bodies, ...entries, end], { type: "application/zip" });
}

/**
 * Little-endian numbers.
 * @param {number[][]} fields Bytes and value of each.
 */
function record(fields) {
  const bytes = fields.flatMap(([size, value]) => Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 0xff));
  return Uint8Array.from(bytes);
}
