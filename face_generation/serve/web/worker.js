// Draws faces in a thread of its own, so that the page stays free for sliders. `browser.js` gives it tasks.

import { aligned } from "./alignment.js";
import { Problem } from "./backend.js";
import { detect } from "./detection.js";
import { Generator } from "./generator.js";
import { encodeGif } from "./gif.js";
import { Loader } from "./loader.js";
import { encodePng } from "./png.js";
import { pixelsOf, square } from "./resizing.js";
import { encodeWebp } from "./webp.js";

/**
 * @typedef {import("./backend.js").Face} Face
 * @typedef {import("./origin.js").Origin} Origin
 * @typedef {import("./resizing.js").Picture} Picture
 * @typedef {import("./generator.js").Runtime} Runtime
 * @typedef {import("./loader.js").Files} Files
 */

const [SCRIPT, WASM] = ["runtime/ort.wasm.bundle.min.mjs", "runtime/ort-wasm-simd-threaded.wasm"];
const DETECTOR = "detector/yunet_n.onnx";
const MOST_THREADS = 4; // more threads do not make networks of this size faster

/** @type {Loader} */
let loader;
/** @type {Promise<Runtime>|undefined} */
let runtime;
/** @type {(WebAssembly.Module|undefined)[]} The code of ONNX Runtime. It only has to be there, see `compiled`. */
const held = [];
/** @type {Promise<import("./generator.js").Session>|undefined} */
let detector;
/** @type {Map<string, Promise<Generator>>} */
const generators = new Map();

/** What can be asked of this worker. */
const tasks = {
  /** @param {string} root Where the page is. @param {Files} files */
  async open(root, files) {
    loader = new Loader(root, files, (loaded, total) => self.postMessage({ loaded, total }));
    started().catch(() => {}); // at once, because every task needs it; a task that fails says why
  },

  /** @param {string} bundle @param {Face} face @param {Origin} origin */
  async draw(bundle, face, origin) {
    const { pixels, width } = await tasks.picture(bundle, face);
    return encodePng(pixels, width, origin);
  },

  /** @param {string} bundle @param {Face} face */
  async picture(bundle, face) {
    const generator = await opened(bundle);
    return generator.decode(await generator.latents(face));
  },

  /** @param {string} bundle @param {Face} face */
  async latents(bundle, face) {
    return [...(await (await opened(bundle)).latents(face))];
  },

  /** @param {string} bundle @param {Blob} photo @param {boolean} find Whether to find the face in it. */
  async reconstruct(bundle, photo, find) {
    const generator = await opened(bundle);
    const size = generator.manifest.image_size;
    const bitmap = await createImageBitmap(photo);
    const face = find ? await aligned(bitmap, size, await detecting()) : square(pixelsOf(bitmap), size);
    if (!face) throw new Problem(422, "no face was found in the photo; choose another, or place it yourself");
    return { latents: [...(await generator.encode(face))], original: await encodePng(face.pixels, size) };
  },

  /**
   * @param {Picture[]} pictures
   * @param {"webp"|"gif"} as
   * @param {number} milliseconds How long each is shown.
   * @param {Origin} origin
   */
  async animate(pictures, as, milliseconds, origin) {
    return (as === "gif" ? encodeGif : encodeWebp)(pictures, milliseconds, origin);
  },
};

/** @param {string} bundle */
function opened(bundle) {
  const known = generators.get(bundle);
  if (known) return known;
  const generator = Generator.load(started(), loader, `bundles/${bundle}`);
  generator.catch(() => generators.delete(bundle));
  generators.set(bundle, generator);
  return generator;
}

/** The function that detects faces. @returns {Promise<import("./alignment.js").Detect>} */
async function detecting() {
  const [runtime, content] = await Promise.all([started(), loader.bring(DETECTOR)]);
  detector ??= runtime.InferenceSession.create(content);
  const network = await detector;
  return (image, threshold) => detect(runtime, network, image, threshold);
}

/** Starts ONNX Runtime, with as many threads as the browser allows the page. */
function started() {
  runtime ??= (async () => {
    const [wasm, module] = await Promise.all([loader.bring(WASM), import(loader.root + SCRIPT)]);
    held.push(await compiled(loader.address(WASM)));
    const { env } = /** @type {Runtime} */ (module);
    env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
    env.wasm.wasmBinary = wasm.buffer;
    return module;
  })();
  runtime.catch(() => (runtime = undefined));
  return runtime;
}

/**
 * The code of a file. Chromium keeps it beside its own copy of the file, from the first visit on, because it is compiled
 * from a response here. While this module is there, V8 uses its code for whoever compiles the same bytes. Other engines
 * would compile them twice, so only browsers with V8 are asked, which alone have `userAgentData`. The result is undefined
 * if the browser has no copy.
 * @param {string} address
 */
async function compiled(address) {
  if (!("userAgentData" in navigator)) return undefined;
  try {
    return await WebAssembly.compileStreaming(fetch(address, { mode: "same-origin", cache: "only-if-cached" }));
  } catch {
    return undefined; // the browser no longer has its copy
  }
}

self.addEventListener("message", async ({ data: { id, name, args } }) => {
  try {
    const task = /** @type {Object<string, (...args: any[]) => Promise<any>>} */ (tasks)[name];
    self.postMessage({ id, result: await task(...args) });
  } catch (error) {
    const { status, message } = error instanceof Problem ? error : explained(error);
    self.postMessage({ id, problem: { status, sentence: message } });
  }
});

/** @param {unknown} error */
function explained(error) {
  console.info(error);
  return new Problem(500, "this browser could not draw the face: it may have too little memory; close other tabs");
}
