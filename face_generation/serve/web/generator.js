// Draws faces from a bundle. It gives the same faces as `face_generation.generator.generator`.

import { Problem } from "./backend.js";
import { slerp } from "./latents.js";
import { readInt8 } from "./npz.js";
import { RandomState } from "./random.js";

/**
 * @typedef {import("./backend.js").Face} Face
 * @typedef {import("./loader.js").Loader} Loader
 * @typedef {typeof import("onnxruntime-web/wasm")} Runtime
 * @typedef {import("onnxruntime-web/wasm").InferenceSession} Session
 * @typedef {import("onnxruntime-web/wasm").Tensor} Tensor
 * @typedef {import("./resizing.js").Picture} Picture
 *
 * What the page reads from `bundle.json`.
 * @typedef {{latent_shape: number[], image_size: number, truncation: number, attributes: {name: string}[],
 *   files: Object<string, string>}} Manifest
 */

const [PRIOR, DECODER, ENCODER] = ["prior.onnx", "decoder.onnx", "encoder.onnx"];
const [ATTRIBUTES, DIRECTIONS] = ["attributes.npz", "directions.json"];
const KEPT = 1024; // new faces whose latents are kept, so that edits and mixes need no prior

export class Generator {
  /** @type {Map<string, Promise<Session>>} By file. */
  #sessions = new Map();
  /** @type {Map<string, Float32Array>} */
  #new = new Map();
  /** @type {Map<string, Uint32Array>} The training faces that have what was asked for. */
  #like = new Map();

  /**
   * @param {Runtime} runtime
   * @param {Loader} loader
   * @param {string} folder
   * @param {Manifest} manifest
   * @param {{values: Int8Array, shape: number[]}} faces The attributes of training faces, N×K.
   * @param {Map<string, Float32Array>} directions By name.
   */
  constructor(runtime, loader, folder, manifest, faces, directions) {
    this.runtime = runtime;
    this.loader = loader;
    this.folder = folder;
    this.manifest = manifest;
    this.faces = faces;
    this.directions = directions;
    this.latentDim = manifest.latent_shape.reduce((product, size) => product * size, 1);
    this.places = new Map(manifest.attributes.map(({ name }, place) => [name, place]));
  }

  /**
   * Opens a bundle, so that it is ready to draw. The encoder is fetched when it is needed.
   * @param {Promise<Runtime>} starting
   * @param {Loader} loader
   * @param {string} folder
   */
  static async load(starting, loader, folder) {
    /** @type {Manifest} */
    const manifest = JSON.parse(await loader.text(`${folder}/bundle.json`));
    const has = (/** @type {string} */ name) => name in manifest.files;
    const networks = [PRIOR, DECODER].filter(has).map((name) => ({ name, content: loader.bring(`${folder}/${name}`) }));
    const [runtime, faces, directions] = await Promise.all([
      starting,
      has(ATTRIBUTES)
        ? loader.bring(`${folder}/${ATTRIBUTES}`).then((file) => readInt8(file, "values"))
        : { values: new Int8Array(), shape: [0, 0] },
      has(DIRECTIONS) ? loader.text(`${folder}/${DIRECTIONS}`).then(JSON.parse) : { attributes: [], principal: [] },
      ...networks.map(({ content }) => content),
    ]);
    /** @type {{name: string, vector: number[]}[]} */
    const entries = [...directions.attributes, ...directions.principal];
    const vectors = new Map(entries.map(({ name, vector }) => [name, Float32Array.from(vector)]));
    const generator = new Generator(runtime, loader, folder, manifest, faces, vectors);
    await Promise.all(networks.map(({ name, content }) => generator.#session(name, content)));
    return generator;
  }

  /**
   * The latents of a face. They come from its seed or are its own, are moved toward another face, and are then edited.
   * @param {Face} face
   * @returns {Promise<Float32Array>}
   */
  async latents(face) {
    const { seed, latents, toward, amount = 0, edits } = face;
    let start = latents ? Float32Array.from(latents) : await this.#ofSeed(face, seed ?? 0);
    if (toward !== undefined) {
      const end = Array.isArray(toward) ? toward : [...(await this.#ofSeed(face, toward))];
      start = Float32Array.from(slerp([...start], end, amount));
    }
    return this.#move(start, edits);
  }

  /**
   * Turns latents into the face's picture.
   * @param {Float32Array} latents
   * @returns {Promise<Picture>}
   */
  async decode(latents) {
    const images = await this.#run(DECODER, { latents: this.#tensor(latents) });
    const [, height, width] = images.dims;
    return { width, height, pixels: /** @type {Uint8Array} */ (images.data) };
  }

  /**
   * Turns a face's picture into latents. The picture has the bundle's size.
   * @param {Picture} picture
   * @returns {Promise<Float32Array>}
   */
  async encode({ width, height, pixels }) {
    const images = new this.runtime.Tensor("uint8", pixels, [1, height, width, 3]);
    return /** @type {Float32Array} */ ((await this.#run(ENCODER, { images })).data);
  }

  /**
   * @param {Face} how
   * @param {number} seed
   */
  async #ofSeed(how, seed) {
    const truncation = how.truncation ?? this.manifest.truncation;
    const asked = [
      ...(how.with ?? []).map((name) => /** @type {[string, number]} */ ([name, 1])),
      ...(how.without ?? []).map((name) => /** @type {[string, number]} */ ([name, -1])),
    ].sort();
    const key = JSON.stringify([seed, truncation, asked]);
    const found = this.#new.get(key) ?? (await this.#draw(seed, truncation, asked));
    this.#new.delete(key);
    this.#new.set(key, found);
    if (this.#new.size > KEPT) this.#new.delete(/** @type {string} */ (this.#new.keys().next().value));
    return found;
  }

  /**
   * @param {number} seed
   * @param {number} truncation
   * @param {[string, number][]} asked
   * @returns {Promise<Float32Array>}
   */
  async #draw(seed, truncation, asked) {
    const random = new RandomState(seed);
    const factor = Math.fround(truncation);
    const normal = random.standardNormal(this.latentDim).map((value) => value * factor);
    if (!(PRIOR in this.manifest.files)) return normal;
    /** @type {Object<string, Tensor>} */
    const told = { normal: this.#tensor(normal) };
    if (this.places.size) told.attributes = this.#tensor(this.#said(asked, truncation ? random : undefined));
    return /** @type {Float32Array} */ ((await this.#run(PRIOR, told)).data);
  }

  /**
   * What the prior is told about a face: what was asked for, and all other attributes of a training face that has it.
   * @param {[string, number][]} asked
   * @param {RandomState} [random] Chooses the training face. Without it, the prior is only told what was asked for.
   */
  #said(asked, random) {
    const { values, shape } = this.faces;
    const like = this.#find(asked);
    const said = new Float32Array(this.places.size);
    if (random && like.length) {
      const start = like[random.randint(like.length)] * shape[1];
      said.set(values.subarray(start, start + shape[1]));
    }
    for (const [name, value] of asked) said[this.#place(name)] = value;
    return said;
  }

  /** @param {[string, number][]} asked */
  #find(asked) {
    const key = JSON.stringify(asked);
    const known = this.#like.get(key);
    if (known) return known;
    const { values, shape } = this.faces;
    const wanted = asked.map(([name, value]) => [this.#place(name), value]);
    const all = Uint32Array.from({ length: shape[0] }, (_, face) => face);
    const like = all.filter((face) => wanted.every(([place, value]) => values[face * shape[1] + place] === value));
    this.#like.set(key, like);
    return like;
  }

  /** @param {string} name */
  #place(name) {
    const place = this.places.get(name);
    if (place === undefined) throw new Problem(422, `the model cannot be asked for “${name}”`);
    return place;
  }

  /**
   * @param {Float32Array} latents
   * @param {Object<string, number>} edits
   */
  #move(latents, edits) {
    let moved = latents;
    // The order is fixed, and numbers are rounded where NumPy rounds them, so that sums are always the same.
    for (const name of Object.keys(edits).sort()) {
      const [vector, strength] = [this.directions.get(name), Math.fround(edits[name])];
      if (!vector) throw new Problem(422, `the model cannot edit “${name}”`);
      moved = moved.map((value, i) => value + Math.fround(strength * vector[i]));
    }
    return moved;
  }

  /** @param {Float32Array} row */
  #tensor(row) {
    return new this.runtime.Tensor("float32", row, [1, row.length]);
  }

  /**
   * The only output of a network.
   * @param {string} file
   * @param {Object<string, Tensor>} inputs
   */
  async #run(file, inputs) {
    const session = await this.#session(file);
    return (await session.run(inputs))[session.outputNames[0]];
  }

  /**
   * @param {string} file
   * @param {Promise<Uint8Array>} [content] The file, if it is already being fetched.
   */
  #session(file, content) {
    const known = this.#sessions.get(file);
    if (known) return known;
    const bytes = content ?? this.loader.bring(`${this.folder}/${file}`);
    const session = bytes.then((network) => this.#open(network));
    session.catch(() => this.#sessions.delete(file));
    this.#sessions.set(file, session);
    return session;
  }

  /** @param {Uint8Array} network */
  async #open(network) {
    try {
      return await this.runtime.InferenceSession.create(network);
    } catch (error) {
      console.info(error);
      throw new Problem(500, "this device could not start the model: it may have too little memory; close other tabs");
    }
  }
}
