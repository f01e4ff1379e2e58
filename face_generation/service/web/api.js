// Every request to the server. Addresses are relative to the page, so that it works under a proxy's prefix.
//
// A face is what the API calls one: {seed, truncation, with, without, toward, amount, edits}, or with latents in place of
// seed and truncation; with and without are then of the face that it goes toward.
// A request waits while the server is busy or away, and while it asks for a key; all else that fails is a Problem.

import { askForKey } from "./dialogs.js";
import { banner, hideBanner, notice } from "./notices.js";

const ROOT = "api/v1";
const AWAY_SECONDS = 5; // until the server is asked again by itself
const TILES_AT_ONCE = 5; // browsers open six connections to a host: one is left for the slider that is being moved
const KEY = "api-key"; // in sessionStorage

/** What the server says that is wrong, in a sentence for people. */
export class Problem extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** @returns {Promise<{bundles: Object[], limits: Object}>} */
export async function catalogue() {
  return (await request("bundles")).json();
}

/** A bundle's card, Markdown. */
export async function card(bundle) {
  return (await request(`${bundle.name}/card`)).text();
}

/** The format of pictures that are shown large, where WebP's blocks would be seen; it is drawn as fast. */
export const LARGE = "jpg";

/** The picture of one face. */
export async function picture(bundle, face, { format = "webp", signal } = {}) {
  if (face.seed === undefined) return (await faces(bundle, [face], { format, signal }))[0].picture;
  const options = new URLSearchParams();
  if (face.truncation !== undefined) options.set("truncation", face.truncation);
  for (const name of ["with", "without"]) if (face[name]) options.set(name, face[name].join());
  if (face.toward !== undefined) {
    options.set("toward", face.toward);
    options.set("amount", face.amount);
  }
  for (const [name, strength] of Object.entries(face.edits)) options.set(name, strength);
  options.set("version", bundle.version); // so that no cache gives the face of another model
  return (await request(`${bundle.name}/faces/${face.seed}.${format}?${options}`, { signal })).blob();
}

/** As `picture`, for one of many: they take turns. */
export function tile(bundle, face, { signal } = {}) {
  return inTurn(() => picture(bundle, face, { signal }), signal);
}

/**
 * Many faces in one request.
 * @returns {Promise<{latents: number[], picture: Blob}[]>}
 */
export async function faces(bundle, list, { format = "webp", signal } = {}) {
  const answer = await post(`${bundle.name}/faces`, { faces: list, format, as: "json" }, signal);
  return (await answer.json()).faces.map(({ latents, image }) => ({ latents, picture: fromDataUrl(image) }));
}

/** An animation from one face to another and back, "webp" or "gif". */
export async function animation(bundle, from, to, { as, frames, seconds }) {
  const order = { from, to, as, frames, seconds, there_and_back: true };
  return (await post(`${bundle.name}/interpolations`, order)).blob();
}

/**
 * What the model makes of a photo, which is already cut to the square that the model sees.
 * @returns {Promise<{latents: number[], original: Blob}>}
 */
export async function reconstruct(bundle, photo) {
  const body = new FormData();
  body.append("photo", photo, "photo.png");
  const path = `${bundle.name}/reconstructions?align=false`; // the cut is the person's
  const answer = await (await request(path, { method: "POST", body })).json();
  return { latents: answer.latents, original: fromDataUrl(answer.original) };
}

function post(path, value, signal) {
  const headers = { "content-type": "application/json" };
  return request(path, { method: "POST", headers, body: JSON.stringify(value), signal });
}

async function request(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = key ? { ...options.headers, "x-api-key": key } : options.headers;
    let answer;
    try {
      answer = await fetch(`${ROOT}/${path}`, { ...options, headers });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      await serverIsAway();
      continue;
    }
    serverIsBack();
    if (answer.ok) return answer;
    if (answer.status === 401) await newKey(key);
    else if (answer.status === 503) await serverIsBusy(Number(answer.headers.get("retry-after")) || 1, options.signal);
    else throw await problem(answer);
  }
}

async function problem(answer) {
  const told = await answer.json().catch(() => ({}));
  return new Problem(
    answer.status,
    told.detail ?? `The server answered with status ${answer.status}; try again later.`,
  );
}

let away = false;
let nextTry; // one wait for all requests

function serverIsAway() {
  away = true;
  const again = () => Promise.race([banner("The server does not answer.", "Try again"), wait(AWAY_SECONDS)]);
  nextTry ??= again().finally(() => (nextTry = undefined));
  return nextTry;
}

function serverIsBack() {
  if (away) hideBanner();
  away = false;
}

async function serverIsBusy(seconds, signal) {
  notice("The server is busy. The page waits a moment and tries again.", seconds + 2);
  await wait(seconds);
  signal?.throwIfAborted();
}

let asking; // one question for all requests
function newKey(tried) {
  if (tried !== sessionStorage.getItem(KEY)) return undefined; // another request has asked meanwhile
  asking ??= askForKey(tried !== null)
    .then((key) => sessionStorage.setItem(KEY, key))
    .finally(() => (asking = undefined));
  return asking;
}

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

let running = 0;
const waiting = [];

async function inTurn(task, signal) {
  if (running < TILES_AT_ONCE) running += 1;
  else await new Promise((resolve) => waiting.push(resolve)); // the place of one that is done
  try {
    signal?.throwIfAborted();
    return await task();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

function fromDataUrl(address) {
  const [, type, content] = address.match(/^data:([^;]+);base64,(.*)$/);
  return new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], { type });
}
