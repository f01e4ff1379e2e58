// Writes files into a ZIP archive. It does not compress them, because pictures do not get smaller.

import { crc32 } from "./crc32.js";

const UTF8 = 0x0800; // the encoding of names
const VERSION = 20; // version 2.0 of the format is needed to unpack it

/**
 * @param {{name: string, content: Blob}[]} files Together, they must have less than 4 GB.
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
    const about = [...u16(VERSION, UTF8, 0, time, date), ...u32(sum, content.size, content.size)];
    const local = Uint8Array.from([...u32(0x04034b50), ...about, ...u16(title.length, 0)]);
    bodies.push(local, title, content);
    const where = [...u16(title.length, 0, 0, 0, 0), ...u32(0, offset)];
    const entry = Uint8Array.from([...u32(0x02014b50), ...u16(VERSION), ...about, ...where]);
    entries.push(entry, title);
    offset += local.length + title.length + content.size;
    directory += entry.length + title.length;
  }
  const count = files.length;
  const end = Uint8Array.from([...u32(0x06054b50), ...u16(0, 0, count, count), ...u32(directory, offset), ...u16(0)]);
  return new Blob([...bodies, ...entries, end], { type: "application/zip" });
}

/** Numbers in two bytes each, little-endian. @param {number[]} values */
const u16 = (...values) => values.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff]);

/** Numbers in four bytes each, little-endian. @param {number[]} values */
const u32 = (...values) => values.flatMap((value) => [...u16(value), ...u16(value >>> 16)]);
