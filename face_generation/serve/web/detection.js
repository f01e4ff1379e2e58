// Finds faces and their landmarks with YuNet, as `face_generation.generator.yunet` does.

/**
 * @typedef {import("./generator.js").Runtime} Runtime
 * @typedef {import("./generator.js").Session} Session
 * @typedef {{x: number, y: number}} Point In pixels from the upper left corner.
 * @typedef {{score: number, box: number[], landmarks: Point[]}} Detection The box is left, top, right, bottom. The
 *   landmarks are the eyes, the nose and the corners of the mouth, each pair from left to right.
 */

const STRIDES = [8, 16, 32]; // pixels between two anchors, for small, medium and large faces
const SAME = 0.5; // two boxes whose intersection over union is larger than this belong to one face

/**
 * Finds the faces of an image that score at least `threshold`, the best first.
 * @param {Runtime} runtime
 * @param {Session} network
 * @param {ImageData} image
 * @param {number} threshold
 * @returns {Promise<Detection[]>}
 */
export async function detect(runtime, network, { width, height, data }, threshold) {
  const largest = STRIDES[STRIDES.length - 1];
  const [columns, rows] = [width, height].map((side) => largest * Math.ceil(side / largest));
  const input = new Float32Array(3 * columns * rows);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < 3; channel++)
        input[(2 - channel) * columns * rows + y * columns + x] = data[4 * (y * width + x) + channel]; // BGR
  const outputs = await network.run({ input: new runtime.Tensor("float32", input, [1, 3, rows, columns]) });
  /** @param {string} name */
  const values = (name) => /** @type {Float32Array} */ (outputs[name].data);
  const found = STRIDES.flatMap((stride) => {
    const [faces, objects] = [values(`cls_${stride}`), values(`obj_${stride}`)];
    const [boxes, points] = [values(`bbox_${stride}`), values(`kps_${stride}`)];
    return [...faces.keys()].flatMap((i) => {
      const score = Math.sqrt(bounded(faces[i]) * bounded(objects[i]));
      if (score < threshold) return [];
      const anchor = { x: i % (columns / stride), y: Math.floor(i / (columns / stride)) };
      const [x, y] = [anchor.x + boxes[4 * i], anchor.y + boxes[4 * i + 1]];
      const [wide, high] = [Math.exp(boxes[4 * i + 2]) / 2, Math.exp(boxes[4 * i + 3]) / 2];
      const box = [x - wide, y - high, x + wide, y + high].map((side) => side * stride);
      const landmarks = Array.from({ length: 5 }, (_, j) => ({
        x: (points[10 * i + 2 * j] + anchor.x) * stride,
        y: (points[10 * i + 2 * j + 1] + anchor.y) * stride,
      }));
      return [{ score, box, landmarks }];
    });
  });
  return merged(found.sort((a, b) => b.score - a.score));
}

/** @param {number} value */
const bounded = (value) => Math.min(1, Math.max(0, value));

/**
 * Merges all detections of a face into one. It has the best score, and averages weighted by the scores.
 * @param {Detection[]} found The best first.
 * @returns {Detection[]}
 */
function merged(found) {
  const faces = [];
  for (let rest = found; rest.length;) {
    const [{ score, box }] = rest;
    const group = rest.filter((other) => overlap(box, other.box) > SAME);
    const whole = group.reduce((sum, each) => sum + each.score, 0);
    /** @param {(each: Detection) => number} value */
    const mean = (value) => group.reduce((sum, each) => sum + each.score * value(each), 0) / whole;
    faces.push({
      score,
      box: box.map((_, side) => mean((each) => each.box[side])),
      landmarks: Array.from({ length: 5 }, (_, j) => ({
        x: mean(({ landmarks }) => landmarks[j].x),
        y: mean(({ landmarks }) => landmarks[j].y),
      })),
    });
    rest = rest.filter((other) => !group.includes(other));
  }
  return faces;
}

/** @param {number[]} box */
export const area = ([left, top, right, bottom]) => Math.max(0, right - left) * Math.max(0, bottom - top);

/**
 * The area that two boxes share.
 * @param {number[]} one
 * @param {number[]} other
 */
export function shared(one, other) {
  const [left, top] = [Math.max(one[0], other[0]), Math.max(one[1], other[1])];
  return area([left, top, Math.min(one[2], other[2]), Math.min(one[3], other[3])]);
}

/**
 * Intersection over union.
 * @param {number[]} one
 * @param {number[]} other
 */
function overlap(one, other) {
  const both = shared(one, other);
  return both / (area(one) + area(other) - both);
}
