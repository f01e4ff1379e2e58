// Finds the face of a photo and cuts it out like CelebA's, as `face_generation.generator.alignment` does. The photo is
// searched at several sizes. Each face that is found is cut out roughly, searched again, and then cut out exactly.

import { area, shared } from "./detection.js";
import { square } from "./resizing.js";

/**
 * @typedef {import("./detection.js").Detection} Detection
 * @typedef {import("./detection.js").Point} Point
 * @typedef {import("./resizing.js").Picture} Picture
 * @typedef {(image: ImageData, threshold: number) => Promise<Detection[]>} Detect
 *
 * A square at any angle. Its point p, from 0 to 1 + 1i, is the photo's point `corner` + `side` · p, as complex numbers.
 * @typedef {{corner: Point, side: Point}} Square
 */

// Places of the eyes and of the corners of the mouth, as shares of the square's side.
const LANDMARKS = [
  { x: 0.3928, y: 0.5174 },
  { x: 0.6072, y: 0.5174 },
  { x: 0.4082, y: 0.7435 },
  { x: 0.5918, y: 0.7435 },
];
const FOUR = [0, 1, 3, 4]; // which of YuNet's five landmarks are used
const MIRRORED = [1, 0, 3, 2]; // the order of these in a mirror image
const TOLERANCE = 0.04; // as a share of the square's side
const LOOK = 176; // pixels of the rough cutout
const [FIRST_SIDE, LAST_SIDE] = [320, 4096]; // pixels of a photo's longer side in the search
const [TILE, OVERLAP] = [512, 128]; // pixels
const [CANDIDATE, FACE] = [0.5, 0.8]; // lowest scores in the search and in the rough cutout
const PART = 0.5; // two boxes belong to one face if they share more than this part of the smaller one

/**
 * Finds the face of a photo and cuts it out, size×size; undefined if there is none.
 * @param {ImageBitmap} photo
 * @param {number} size
 * @param {Detect} detect
 * @returns {Promise<Picture|undefined>}
 */
export async function aligned(photo, size, detect) {
  const side = Math.min(photo.width, photo.height);
  const centred = { corner: { x: (photo.width - side) / 2, y: (photo.height - side) / 2 }, side: { x: side, y: 0 } };
  /** @type {number[][]} */
  const boxes = [];
  /** @type {Square[]} */
  const squares = [];
  for (const scale of scales(photo)) {
    for (const { box, rough } of await search(photo, scale, detect)) {
      if (boxes.some((other) => shared(box, other) > PART * Math.min(area(box), area(other)))) continue;
      const found = await look(photo, rough, detect);
      if (!found) continue;
      boxes.push(box);
      squares.push(near(found, centred) ? centred : found);
    }
    if (squares.length) break; // faces that only a larger copy of the photo shows are smaller than these
  }
  if (!squares.length) return undefined;
  const largest = squares.reduce((best, other) => (length(other.side) > length(best.side) ? other : best));
  return cut(photo, squares.includes(centred) ? centred : largest, size);
}

/**
 * How many times smaller each copy of the photo is than the photo. The smallest copy is first.
 * @param {ImageBitmap} photo
 */
function scales(photo) {
  const longest = Math.max(photo.width, photo.height);
  const sides = [Math.min(longest, LAST_SIDE)];
  while (sides[0] > FIRST_SIDE) sides.unshift(Math.floor(sides[0] / 2));
  return sides.map((side) => longest / side);
}

/**
 * Finds candidates for faces at one size of the photo, the largest first, each with its box and its rough square.
 * @param {ImageBitmap} photo
 * @param {number} scale
 * @param {Detect} detect
 */
async function search(photo, scale, detect) {
  const [width, height] = [photo.width, photo.height].map((side) => Math.max(1, Math.round(side / scale)));
  const copy = canvas(width, height);
  copy.drawImage(photo, 0, 0, width, height);
  const faces = [];
  for (let top = 0; top < Math.max(1, height - OVERLAP); top += TILE - OVERLAP)
    for (let left = 0; left < Math.max(1, width - OVERLAP); left += TILE - OVERLAP) {
      const tile = copy.getImageData(left, top, Math.min(TILE, width - left), Math.min(TILE, height - top));
      for (const { box, landmarks } of await detect(tile, CANDIDATE)) {
        const points = FOUR.map((i) => ({ x: (landmarks[i].x + left) * scale, y: (landmarks[i].y + top) * scale }));
        faces.push({ box: box.map((at, i) => (at + [left, top][i % 2]) * scale), rough: around(points) });
      }
    }
  return faces.sort((a, b) => length(b.rough.side) - length(a.rough.side));
}

/**
 * Finds the exact square of the face in a rough square; undefined if a second look finds no face.
 * @param {ImageBitmap} photo
 * @param {Square} rough
 * @param {Detect} detect
 */
async function look(photo, rough, detect) {
  let [found, score] = [rough, 0];
  // The first look turns a face upright and centres it, which makes the second more exact.
  for (let turn = 0; turn < 2; turn++) {
    const { corner, side } = found;
    const straight = await nearest(warped(photo, found, LOOK), detect);
    const mirrored = await nearest(warped(photo, found, LOOK, true), detect);
    if (!straight || !mirrored) return undefined;
    score = (straight.score + mirrored.score) / 2;
    const points = straight.points.map(({ x, y }, i) => {
      const other = mirrored.points[MIRRORED[i]];
      return plus(corner, times(side, { x: (x + 1 - other.x) / 2, y: (y + other.y) / 2 }));
    });
    found = around(points);
  }
  return score >= FACE ? found : undefined;
}

/**
 * The score and the landmarks, as shares of the side, of the face in an image that is nearest to its place.
 * @param {ImageData} image
 * @param {Detect} detect
 */
async function nearest(image, detect) {
  const faces = (await detect(image, CANDIDATE)).map(({ score, landmarks }) => {
    const points = FOUR.map((i) => ({ x: landmarks[i].x / image.width, y: landmarks[i].y / image.width }));
    const away = points.reduce((sum, point, i) => sum + length(minus(point, LANDMARKS[i])), 0);
    return { score, points, away };
  });
  return faces.sort((a, b) => a.away - b.away)[0];
}

/**
 * Cuts out a square, with antialiasing.
 * @param {ImageBitmap} photo
 * @param {Square} where
 * @param {number} size
 * @returns {Picture}
 */
function cut(photo, where, size) {
  const { data, width, height } = warped(photo, where, 2 * size);
  return square({ width, height, pixels: Uint8Array.from(data.filter((_, i) => i % 4 !== 3)) }, size);
}

/**
 * Draws a square of the photo, size×size. Pixels at the photo's edge are repeated where the square reaches beyond it.
 * @param {ImageBitmap} photo
 * @param {Square} where
 * @param {number} size
 * @param {boolean} [mirrored]
 */
function warped(photo, { corner, side }, size, mirrored = false) {
  const context = canvas(size, size);
  // A point z of the photo is the point p = (z - corner) / side of the square.
  const scale = size / (side.x ** 2 + side.y ** 2);
  const [a, b] = [side.x * scale, -side.y * scale];
  const start = times({ x: a, y: b }, corner);
  if (mirrored) context.setTransform(-a, b, b, a, size + start.x, -start.y);
  else context.setTransform(a, b, -b, a, -start.x, -start.y);
  const { width, height } = photo;
  const far = 2 * length(side) + width + height;
  /** @type {[number, number, number, number][]} Start and length in the photo, then those where it is drawn. */
  const across = [
    [0, 1, -far, far + 1],
    [width - 1, 1, width - 1, far],
    [0, width, 0, width],
  ];
  /** @type {[number, number, number, number][]} */
  const down = [
    [0, 1, -far, far + 1],
    [height - 1, 1, height - 1, far],
    [0, height, 0, height],
  ];
  for (const [top, high, y, tall] of down)
    for (const [left, wide, x, long] of across) context.drawImage(photo, left, top, wide, high, x, y, long, tall);
  return context.getImageData(0, 0, size, size);
}

/**
 * The square in which a photo's landmarks are nearest to `LANDMARKS`, by least squares.
 * @param {Point[]} landmarks
 * @returns {Square}
 */
function around(landmarks) {
  const [middle, centre] = [mean(landmarks), mean(LANDMARKS)];
  const model = LANDMARKS.map((point) => minus(point, centre));
  const norm = model.reduce((sum, { x, y }) => sum + x * x + y * y, 0);
  const sum = model.map(({ x, y }, i) => times({ x, y: -y }, minus(landmarks[i], middle))).reduce(plus, { x: 0, y: 0 });
  const side = { x: sum.x / norm, y: sum.y / norm };
  return { corner: minus(middle, times(side, centre)), side };
}

/**
 * Whether a face would be at about the same place in both squares.
 * @param {Square} one
 * @param {Square} other
 */
function near(one, other) {
  const squares = LANDMARKS.map((point) => {
    const away = minus(plus(one.corner, times(one.side, point)), plus(other.corner, times(other.side, point)));
    return length(away) ** 2;
  });
  const root = Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / squares.length);
  return root <= TOLERANCE * length(other.side);
}

/**
 * @param {number} width
 * @param {number} height
 */
function canvas(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser cannot draw on a canvas");
  context.imageSmoothingQuality = "high";
  return context;
}

/** @param {Point} a @param {Point} b */
const plus = (a, b) => ({ x: a.x + b.x, y: a.y + b.y });

/** @param {Point} a @param {Point} b */
const minus = (a, b) => ({ x: a.x - b.x, y: a.y - b.y });

/** @param {Point} a @param {Point} b As complex numbers. */
const times = (a, b) => ({ x: a.x * b.x - a.y * b.y, y: a.x * b.y + a.y * b.x });

/** @param {Point} point */
const length = ({ x, y }) => Math.hypot(x, y);

/** @param {Point[]} points */
function mean(points) {
  const sum = points.reduce(plus);
  return { x: sum.x / points.length, y: sum.y / points.length };
}
