// Shrinks photos for models, exactly as Pillow does it (bicubic, antialiased), down to the last bit.

/** @typedef {{width: number, height: number, pixels: Uint8Array}} Picture RGB, row by row. */

const SUPPORT = 2; // how many pixels the bicubic curve reaches to either side
const CURVE = -0.5;
const UNIT = 2 ** 22; // weights are whole numbers; this one stands for 1

/**
 * Reads the pixels of a photo.
 * @param {ImageBitmap} bitmap
 * @returns {Picture}
 */
export function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser cannot draw on a canvas");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, pixels: Uint8Array.from(data.filter((_, i) => i % 4 !== 3)) };
}

/**
 * Shrinks the square in the middle of a picture to size×size.
 * @param {Picture} picture
 * @param {number} size
 * @returns {Picture}
 */
export function square(picture, size) {
  const side = Math.min(picture.width, picture.height);
  const [left, top] = [(picture.width - side) / 2, (picture.height - side) / 2];
  const narrow = shrunk(picture, weights(picture.width, left, left + side, size));
  return turned(shrunk(turned(narrow), weights(picture.height, top, top + side, size)));
}

/**
 * For each new pixel, the first old pixel that it depends on, and the weights from that one on.
 * @param {number} count How many old pixels there are.
 * @param {number} start
 * @param {number} end
 * @param {number} size How many new pixels there are between start and end.
 */
function weights(count, start, end, size) {
  const scale = (end - start) / size;
  const wide = Math.max(1, scale);
  return Array.from({ length: size }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - SUPPORT * wide + 0.5));
    const last = Math.min(count, Math.trunc(centre + SUPPORT * wide + 0.5));
    const parts = Array.from({ length: last - first }, (_, j) => bicubic((first + j - centre + 0.5) / wide));
    const sum = parts.reduce((a, b) => a + b, 0);
    return { first, parts: parts.map((part) => Math.trunc(Math.sign(part) / 2 + (part / sum) * UNIT)) };
  });
}

/** @param {number} x */
function bicubic(x) {
  const far = Math.abs(x);
  if (far < 1) return ((CURVE + 2) * far - (CURVE + 3)) * far * far + 1;
  if (far < SUPPORT) return (((far - 5) * far + 8) * far - 4) * CURVE;
  return 0;
}

/**
 * Gives a picture another width.
 * @param {Picture} picture
 * @param {{first: number, parts: number[]}[]} columns
 * @returns {Picture}
 */
function shrunk({ width, height, pixels }, columns) {
  const rows = new Uint8ClampedArray(3 * columns.length * height);
  let at = 0;
  for (let y = 0; y < height; y++)
    for (const { first, parts } of columns)
      for (let channel = 0; channel < 3; channel++) {
        let sum = UNIT / 2;
        let from = 3 * (y * width + first) + channel;
        for (const part of parts) {
          sum += part * pixels[from];
          from += 3;
        }
        rows[at++] = Math.floor(sum / UNIT);
      }
  return { width: columns.length, height, pixels: new Uint8Array(rows.buffer) };
}

/**
 * Exchanges rows and columns.
 * @param {Picture} picture
 * @returns {Picture}
 */
function turned({ width, height, pixels }) {
  const columns = new Uint8Array(pixels.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < 3; channel++)
        columns[3 * (x * height + y) + channel] = pixels[3 * (y * width + x) + channel];
  return { width: height, height: width, pixels: columns };
}
