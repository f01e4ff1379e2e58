// Reads arrays from a file of `numpy.savez_compressed`, which is a ZIP archive of .npy files.

const [ENTRY, END] = [0x02014b50, 0x06054b50];
const [STORED, DEFLATED] = [0, 8];

/**
 * Reads an array of int8. Its values are in rows.
 * @param {Uint8Array<ArrayBuffer>} archive
 * @param {string} name
 * @returns {Promise<{values: Int8Array, shape: number[]}>}
 * @throws {Error} The array is not there, has another type, or is cut off.
 */
export async function readInt8(archive, name) {
  const file = await unzip(archive, `${name}.npy`);
  const length = new DataView(file.buffer).getUint16(8, true);
  const head = new TextDecoder().decode(file.subarray(10, 10 + length));
  const shape = /'shape': \(([\d, ]*)\)/
    .exec(head)?.[1]
    .split(",")
    .filter((part) => part.trim())
    .map(Number);
  if (!shape || !/'descr': '\|i1'/.test(head) || !/'fortran_order': False/.test(head))
    throw new Error(`${name} is not an array of int8`);
  const values = new Int8Array(file.buffer, 10 + length);
  if (values.length !== shape.reduce((product, size) => product * size, 1)) throw new Error(`${name} is cut off`);
  return { values, shape };
}

/**
 * @param {Uint8Array<ArrayBuffer>} archive
 * @param {string} wanted
 */
async function unzip(archive, wanted) {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  let end = archive.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new Error("the file is not a ZIP archive");
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0 && view.getUint32(at, true) === ENTRY; left--) {
    const [method, size] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true)];
    const [name, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const local = view.getUint32(at + 42, true);
    if (new TextDecoder().decode(archive.subarray(at + 46, at + 46 + name)) === wanted) {
      const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      const content = archive.slice(start, start + size);
      if (method === STORED) return content;
      if (method !== DEFLATED) throw new Error(`${wanted} is compressed with an unknown method`);
      const unpacked = new Blob([content]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
      return new Uint8Array(await new Response(unpacked).arrayBuffer());
    }
    at += 46 + name + extra + comment;
  }
  throw new Error(`the archive has no ${wanted}`);
}
