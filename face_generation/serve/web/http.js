// The back end that asks the server. Addresses are relative to the page, so that it works under a proxy's prefix.
//
// A request waits while the server cannot be reached or asks for a key. If the server or a proxy is busy, it is sent
// again after longer and longer pauses. Any other failure is a Problem.

import { Problem } from "./backend.js";
import { slerp } from "./latents.js";

/**
 * @typedef {import("./backend.js").Backend} Backend
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Face} Face
 * @typedef {import("./backend.js").Purpose} Purpose
 */

/**
 * What the page does when the server's answers concern people.
 * @typedef {Object} Host
 * @property {(again: boolean) => Promise<string>} askForKey Asks for the API key. `again` says that a wrong one was
 *   given.
 * @property {() => Promise<void>} away Says that the server does not answer. Settles when people want to try again.
 * @property {() => void} back Says that the server answers again.
 * @property {(seconds: number) => void} busy Says that the server is asked again after some seconds.
 */

const ROOT = "api/v1";
/** How many times a request is sent again, by the status of the answer. */
const PATIENCE = new Map([
  [429, 8],
  [502, 3],
  [503, 8],
  [504, 1], // only once, because the server has already worked on it for long
]);
const FIRST_WAIT = 0.5; // seconds; each further wait is twice as long
const LONGEST_WAIT = 15;
const LONGEST_ANSWER = 120; // seconds; a server that sends nothing for so long does not answer
const AWAY_WAITS = [5, 60]; // seconds until a server that does not answer is asked again: at first, and at most
const TILES_AT_ONCE = 5; // browsers open six connections to a host, so one is left for a slider that is being moved
const STARTS_KEPT = 16; // faces whose latents are kept
const KEY = "api-key"; // in sessionStorage

/** Types and names of photos that the server can read, but not every browser. */
const PHONES = /[/.](hei[cf]|avif)$/i;

/** Portraits are JPEGs, because WebP would show its blocks and is no faster. */
const FORMATS = { tile: "webp", portrait: "jpg", file: "png" };

/**
 * @param {Host} host
 * @returns {Backend}
 */
export function overHttp(host) {
  const request = requesting(host);
  const inTurn = taking(TILES_AT_ONCE);

  /**
   * @param {string} path
   * @param {Object} value
   * @param {AbortSignal} [signal]
   */
  const post = (path, value, signal) =>
    request(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(value),
      signal,
    });

  /**
   * @param {Bundle} bundle
   * @param {Face[]} faces
   * @param {string} format
   * @param {AbortSignal} [signal]
   * @returns {Promise<{latents: number[], image: string}[]>}
   */
  async function many(bundle, faces, format, signal) {
    const order = { faces: await Promise.all(faces.map((face) => known(bundle, face, signal))), format };
    return (await (await post(`${bundle.name}/faces`, order, signal)).json()).faces;
  }

  /**
   * @param {Bundle} bundle
   * @param {Face} face
   * @returns {Promise<number[]>}
   */
  async function askForLatents(bundle, face) {
    if (face.seed === undefined || Array.isArray(face.toward))
      return (await many(bundle, [face], FORMATS.tile))[0].latents;
    return (await (await request(`${bundle.name}/latents/${face.seed}.json?${versioned(bundle, face)}`)).json())
      .latents;
  }

  /** @type {Map<string, Promise<number[]>>} */
  const starts = new Map();

  /**
   * The latents of a face. The newest ones are kept, so that the server is asked once.
   * @param {Bundle} bundle
   * @param {Face} face
   */
  function latents(bundle, face) {
    const { latents: own, toward, edits } = face;
    if (own && toward === undefined && !Object.keys(edits).length) return Promise.resolve(own);
    const key = JSON.stringify([bundle.name, bundle.version, face]);
    const found = starts.get(key) ?? askForLatents(bundle, face);
    found.catch(() => starts.delete(key));
    starts.delete(key);
    starts.set(key, found);
    for (const old of [...starts.keys()].slice(0, -STARTS_KEPT)) starts.delete(old);
    return found;
  }

  /**
   * A face as the API takes it. The API only goes toward seeds, so a way toward latents is computed here.
   * @param {Bundle} bundle
   * @param {Face} face
   * @param {AbortSignal} [signal]
   * @returns {Promise<Face>}
   */
  async function known(bundle, face, signal) {
    if (!Array.isArray(face.toward)) return face;
    const { toward, amount = 0, edits, ...origin } = face;
    const start = await latents(bundle, { ...origin, edits: {} });
    signal?.throwIfAborted();
    return { latents: slerp(start, toward, amount), edits };
  }

  /**
   * @param {Bundle} bundle
   * @param {Face} face
   * @param {Purpose} as
   * @param {AbortSignal} [signal]
   */
  async function draw(bundle, face, as, signal) {
    const format = FORMATS[as];
    if (face.seed === undefined || Array.isArray(face.toward)) {
      const [{ image }] = await many(bundle, [face], format, signal);
      return fromDataUrl(image);
    }
    return (await request(`${bundle.name}/faces/${face.seed}.${format}?${versioned(bundle, face)}`, { signal })).blob();
  }

  return {
    // The browser must not use its own copy, because the weights may have been replaced since then.
    catalogue: async () => (await request("bundles", { cache: "no-cache" })).json(),
    card: async (bundle) => (await request(`${bundle.name}/card`)).text(),
    draw: (bundle, face, { as, signal }) =>
      as === "tile" ? inTurn(() => draw(bundle, face, as, signal), signal) : draw(bundle, face, as, signal),
    drawAll: async (bundle, faces, { signal } = {}) =>
      (await many(bundle, faces, FORMATS.portrait, signal)).map(({ image }) => fromDataUrl(image)),
    latents: async (bundle, face, { signal } = {}) => {
      const found = await latents(bundle, face);
      signal?.throwIfAborted();
      return found;
    },
    animate: async (bundle, from, to, { as, frames, seconds }) => {
      const [start, end] = await Promise.all([known(bundle, from), known(bundle, to)]);
      const order = { from: start, to: end, frames, seconds, there_and_back: true };
      return (await post(`${bundle.name}/interpolations.${as}`, order)).blob();
    },
    reconstruct: async (bundle, photo, { find }) => {
      const body = new FormData();
      body.append("photo", photo, "photo");
      const answer = await request(`${bundle.name}/reconstructions?align=${find}`, { method: "POST", body });
      const { latents, original } = await answer.json();
      return { latents, original: fromDataUrl(original) };
    },
    reads: ({ name, type }) => PHONES.test(type) || PHONES.test(name),
    recipes,
    preview,
  };
}

/**
 * The options of a face of a seed, which may go toward another seed.
 * @param {Face} face
 */
function queryOf(face) {
  const options = new URLSearchParams();
  if (face.truncation !== undefined) options.set("truncation", String(face.truncation));
  if (face.with) options.set("with", face.with.join());
  if (face.without) options.set("without", face.without.join());
  if (face.toward !== undefined) {
    options.set("toward", String(face.toward));
    options.set("amount", String(face.amount));
  }
  for (const [name, strength] of Object.entries(face.edits)) options.set(name, String(strength));
  return options;
}

/**
 * The same options with the version, so that no cache answers with the face of another model.
 * @param {Bundle} bundle
 * @param {Face} face
 */
function versioned(bundle, face) {
  const options = queryOf(face);
  options.set("version", bundle.version);
  return options;
}

/** @type {Backend["recipes"]} */
function recipes(bundle, face) {
  const root = new URL(`${ROOT}/${bundle.name}`, document.baseURI).href;
  const key = sessionStorage.getItem(KEY) ? "-H 'X-API-Key: YOUR KEY' " : "";
  if (face.seed !== undefined && !Array.isArray(face.toward)) {
    const query = `${queryOf(face)}`.replaceAll("%2C", ",");
    const address = `${root}/faces/${face.seed}.png${query && `?${query}`}`;
    return [
      { title: "The picture’s address", text: address },
      { title: "On a command line", text: `curl ${key}-o ${bundle.name}-${face.seed}.png '${address}'` },
    ];
  }
  if (Array.isArray(face.toward)) return []; // the API cannot go toward latents
  const order = JSON.stringify({ faces: [face] });
  return [
    {
      title: "On a command line, from the numbers of this face",
      text: `curl ${key}-H 'Content-Type: application/json' -o face.zip '${root}/faces.zip' -d '${order}'`,
    },
  ];
}

/** @type {Backend["preview"]} */
function preview(bundle, face) {
  // The numbers of a photo must not be in the server's log, and web sites that fetch previews have no key.
  if (face.seed === undefined || Array.isArray(face.toward) || sessionStorage.getItem(KEY)) return undefined;
  const path = `share/${bundle.name}/${face.seed}?${versioned(bundle, face)}`;
  return new URL(path, document.baseURI).href.replaceAll("%2C", ",");
}

/**
 * Sends requests again until they have an answer.
 * @param {Host} host
 * @returns {(path: string, options?: RequestInit) => Promise<Response>}
 */
function requesting(host) {
  const serverIsAway = absence(host);
  const newKey = asking(host);
  return async (path, options = {}) => {
    for (let tries = 0; ;) {
      const key = sessionStorage.getItem(KEY);
      const headers = key ? { ...options.headers, "x-api-key": key } : options.headers;
      let answer;
      try {
        answer = await fetching(`${ROOT}/${path}`, { ...options, headers });
      } catch (error) {
        if (options.signal?.aborted) throw error;
        await serverIsAway.wait();
        options.signal?.throwIfAborted();
        continue;
      }
      serverIsAway.end();
      if (answer.ok) return answer;
      if (answer.status === 401) await newKey(key);
      else if (tries < (PATIENCE.get(answer.status) ?? 0)) {
        const seconds = waitBefore(tries, Number(answer.headers.get("retry-after")) || 0);
        tries += 1;
        if (answer.status === 429 || answer.status === 503) host.busy(seconds);
        await wait(seconds);
        options.signal?.throwIfAborted();
      } else throw await problem(answer);
    }
  };
}

/**
 * Does what `fetch` does, but rejects if no answer begins for long. Browsers themselves would wait for many minutes.
 * @param {string} address
 * @param {RequestInit} options
 */
async function fetching(address, options) {
  const { signal } = options;
  signal?.throwIfAborted();
  const patience = new AbortController();
  if (signal) signal.addEventListener("abort", () => patience.abort(signal.reason), { once: true });
  const timer = setTimeout(() => patience.abort(), 1000 * LONGEST_ANSWER);
  try {
    return await fetch(address, { ...options, signal: patience.signal });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Seconds before a request is sent again. They double each time, and are partly random, so that requests spread out.
 * @param {number} tries
 * @param {number} wished The least that the server asks for.
 */
function waitBefore(tries, wished) {
  const seconds = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** tries);
  return Math.max(wished, seconds) * (1 + Math.random() / 2);
}

/** @param {Response} answer */
async function problem(answer) {
  const told = await answer.json().catch(() => ({}));
  return new Problem(answer.status, told.detail ?? `the server answered with status ${answer.status}`);
}

/**
 * Lets all requests wait together until the server can be reached again.
 * @param {Host} host
 */
function absence(host) {
  const [first, longest] = AWAY_WAITS;
  let seconds = first;
  let away = false;
  /** @type {Promise<void>|undefined} */
  let next;
  const online = () => new Promise((resolve) => window.addEventListener("online", resolve, { once: true }));
  return {
    wait() {
      away = true;
      next ??= Promise.race([host.away(), wait(seconds), online()]).then(() => {
        seconds = Math.min(longest, 2 * seconds);
        next = undefined;
      });
      return next;
    },
    end() {
      if (away) host.back();
      away = false;
      seconds = first;
    },
  };
}

/**
 * Asks for the key once for all requests that need it.
 * @param {Host} host
 * @returns {(tried: string|null) => Promise<void>|undefined}
 */
function asking(host) {
  /** @type {Promise<void>|undefined} */
  let question;
  return (tried) => {
    if (tried !== sessionStorage.getItem(KEY)) return undefined; // another request has asked in the meantime
    question ??= host
      .askForKey(tried !== null)
      .then((key) => sessionStorage.setItem(KEY, key))
      .finally(() => (question = undefined));
    return question;
  };
}

/** @param {number} seconds @returns {Promise<void>} */
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/**
 * Runs a limited number of tasks at the same time. The others wait for their turn.
 * @param {number} atOnce
 * @returns {<T>(task: () => Promise<T>, signal?: AbortSignal) => Promise<T>}
 */
function taking(atOnce) {
  let running = 0;
  /** @type {(() => void)[]} */
  const waiting = [];
  return async (task, signal) => {
    if (running < atOnce) running += 1;
    else await /** @type {Promise<void>} */ (new Promise((resolve) => waiting.push(resolve))); // for a place
    try {
      signal?.throwIfAborted();
      return await task();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}

/** @param {string} address */
function fromDataUrl(address) {
  const [head, content] = address.slice("data:".length).split(",");
  const type = head.split(";")[0];
  return new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], { type });
}
