// The way from one face to another. Its pictures are fetched in advance, coarse steps first, so the slider never waits.

import { backend } from "./backend.js";
import { buttonById, byId, imageById, inputById, make, onClick, save, setRange, showPicture } from "./dom.js";
import { notice, tell } from "./notices.js";
import { recipeOf } from "./origin.js";
import { pick } from "./picker.js";
import { asking, randomSeed, sameAsking } from "./state.js";
import { Complaint, empty, fill } from "./tiles.js";
import { record, VIDEO } from "./video.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {import("./state.js").Face} Face
 */

const STEPS = 40; // of the slider
const STRIDES = [20, 5, 1]; // first every 20th step, then every 5th, then all
const SECONDS = 2; // from one end to the other
const CANDIDATES = 12; // other faces to choose from

/** @type {(face: Face, what?: string, drawn?: boolean) => void} */
let changed;
/** @type {(face: Face, picture: Blob) => void} */
let showFrame;
/** @type {Catalogue["limits"]} */
let limits;
/** @type {{bundle: Bundle, face: Face}} */
let now;
/** @type {Blob[]} The pictures of the way, by step. */
let frames = [];
/** @type {string|undefined} The way that they show. */
let framesKey;
let drawing = new AbortController();
/** @type {{button: HTMLButtonElement, image: HTMLImageElement, seed?: number}[]} The candidates. */
let tiles;
/** @type {number} The first candidate's seed. */
let firstCandidate;
/** @type {string|undefined} */
let candidatesKey;
/** @type {number|undefined} A request for the next animation frame. */
let playing;
/** @type {Complaint} */
let complaint;
/** @type {Complaint} */
let candidatesComplaint;

/**
 * @param {Object} options
 * @param {Catalogue} options.catalogue
 * @param {(face: Face, what?: string, drawn?: boolean) => void} options.onChange Is told the new face, the slider that
 *   was moved, if one was, and whether `onFrame` has already shown its picture.
 * @param {(face: Face, picture: Blob) => void} options.onFrame Is told a face on the way, and its picture.
 */
export function setUp({ catalogue, onChange, onFrame }) {
  limits = catalogue.limits;
  changed = onChange;
  showFrame = onFrame;
  complaint = new Complaint(byId("walk"));
  candidatesComplaint = new Complaint(byId("candidates"));
  tiles = Array.from({ length: CANDIDATES }, () => {
    const image = make("img", { alt: "" });
    const button = make("button", { type: "button", className: "picture" }, image);
    /** @type {{button: HTMLButtonElement, image: HTMLImageElement, seed?: number}} */
    const tile = { button, image };
    button.addEventListener("click", () => tile.seed !== undefined && choose(tile.seed));
    return tile;
  });
  byId("candidates").append(...tiles.map(({ button }) => button));
  onClick("random-other", () => choose(randomSeed()));
  onClick("choose-other", async () => {
    const other = await pick(now.bundle, asking(now.face));
    if (other) chooseFace(other);
  });
  const slider = inputById("walk-amount");
  slider.addEventListener("input", () => {
    stop();
    goTo(Number(slider.value));
  });
  onClick("play", play);
  onClick("save-webp", () => saveAnimation("webp"));
  onClick("save-gif", () => saveAnimation("gif"));
  byId("save-video").hidden = !VIDEO;
  byId("save-video").textContent = VIDEO ? `Save ${VIDEO.label}` : "";
  onClick("save-video", saveVideo);
}

/**
 * Shows how far a face is on its way.
 * @param {Bundle} bundle
 * @param {Face} face
 * @param {number} first The seed of the first face to choose from.
 */
export function show(bundle, face, first) {
  leave();
  now = { bundle, face };
  byId("walk").inert = face.toward === undefined;
  setRange(inputById("walk-amount"), face.amount ?? 0);
  showCandidates(first);
  prepare();
}

/** Stops playing, because another face or view will be shown. */
export function leave() {
  if (playing !== undefined) cancelAnimationFrame(playing);
  playing = undefined;
  byId("play").textContent = "Play";
}

/** Stops playing, and stays at the current place. */
function stop() {
  if (playing === undefined) return;
  leave();
  goTo(now.face.amount ?? 0);
}

/** Starts to go back and forth between the two faces, or stops. */
export function play() {
  if (playing !== undefined) {
    stop();
    return;
  }
  if (now?.face.toward === undefined) return;
  byId("play").textContent = "Pause";
  const began = performance.now() - 1000 * SECONDS * (now.face.amount ?? 0);
  /** @param {number} time */
  const next = (time) => {
    const turn = Math.max(0, (time - began) / (1000 * SECONDS)) % 2; // from 0 to 1 on the way there, from 1 to 2 back
    const amount = Math.round(STEPS * (turn < 1 ? turn : 2 - turn)) / STEPS;
    if (amount !== now.face.amount) goTo(amount);
    playing = requestAnimationFrame(next);
  };
  playing = requestAnimationFrame(next);
}

/** @param {Face} other It may have edits, and need not come from a seed. */
async function chooseFace(other) {
  const { bundle, face } = now;
  const plain = other.seed !== undefined && other.toward === undefined && !Object.keys(other.edits).length;
  if (plain && face.latents === undefined && sameAsking(other, face)) {
    choose(/** @type {number} */ (other.seed));
    return;
  }
  try {
    choose(await backend.latents(bundle, other));
  } catch (error) {
    tell(error);
  }
}

/** @param {number|number[]} toward A seed, or latents. */
function choose(toward) {
  stop();
  const { bundle, face } = now;
  const next = { ...face, toward, amount: face.toward === undefined ? 0.5 : face.amount };
  changed(next);
  show(bundle, next, firstCandidate);
  byId("walk").scrollIntoView({ block: "nearest" });
}

/** @param {number} amount */
function goTo(amount) {
  now.face = { ...now.face, amount };
  setRange(inputById("walk-amount"), amount);
  const step = amount * STEPS;
  const near = frames.reduce((best, _, i) => (Math.abs(i - step) < Math.abs(best - step) ? i : best), -STEPS);
  if (frames[near]) showFrame({ ...now.face, amount: near / STEPS }, frames[near]);
  if (playing === undefined) changed(now.face, "walk-amount", near === step);
}

/** Fetches the pictures of the way, unless they are already there. */
async function prepare() {
  const { bundle, face } = now;
  const key = JSON.stringify([bundle.name, { ...face, amount: 0 }]);
  if (key === framesKey) return;
  framesKey = key;
  complaint.hide();
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;
  frames = [];
  buttonById("save-video").disabled = true;
  try {
    if (face.toward === undefined) {
      byId("walk-to").removeAttribute("src");
      await showPicture(imageById("walk-from"), await backend.draw(bundle, face, { as: "portrait", signal }));
      return;
    }
    for (const stride of STRIDES) {
      const steps = Array.from({ length: STEPS / stride + 1 }, (_, i) => i * stride).filter((step) => !frames[step]);
      for (let i = 0; i < steps.length; i += limits.faces) {
        const some = steps.slice(i, i + limits.faces);
        const way = some.map((step) => ({ ...face, amount: step / STEPS }));
        const drawn = await backend.drawAll(bundle, way, { signal });
        signal.throwIfAborted();
        some.forEach((step, j) => (frames[step] = drawn[j]));
      }
      if (stride === STRIDES[0]) {
        showPicture(imageById("walk-from"), frames[0]);
        showPicture(imageById("walk-to"), frames[STEPS]);
      }
    }
    buttonById("save-video").disabled = false;
  } catch (error) {
    if (!signal.aborted) framesKey = undefined;
    complaint.show(error, prepare);
  }
}

/** @param {number} first */
async function showCandidates(first) {
  const { bundle, face } = now;
  firstCandidate = first;
  const how = asking(face); // the back end draws the other face in the same way
  const key = JSON.stringify([bundle.name, how, first, face.seed]);
  for (const { button, seed } of tiles) button.setAttribute("aria-pressed", String(seed === face.toward));
  if (key === candidatesKey) return;
  candidatesKey = key;
  candidatesComplaint.hide();
  const seeds = Array.from({ length: CANDIDATES + 1 }, (_, i) => first + i).filter((seed) => seed !== face.seed);
  const work = tiles.map(async (tile, i) => {
    tile.seed = seeds[i];
    empty(tile.button);
    tile.button.setAttribute("aria-pressed", String(tile.seed === face.toward));
    tile.button.setAttribute("aria-label", `Generated face, seed ${tile.seed}`);
    const picture = await backend.draw(bundle, { seed: tile.seed, ...how, edits: {} }, { as: "tile" });
    if (candidatesKey === key) await fill(tile.button, tile.image, Promise.resolve(picture));
  });
  try {
    await Promise.all(work);
  } catch (error) {
    if (candidatesKey !== key) return;
    for (const { button } of tiles) if (!button.matches(".ready")) button.classList.add("failed");
    candidatesKey = undefined;
    candidatesComplaint.show(error, () => showCandidates(first));
  }
}

/** The name of an animation's file, without suffix. */
function animationName() {
  const { seed, toward } = now.face;
  return `face-${seed ?? "photo"}-to-${typeof toward === "number" ? toward : "other"}`;
}

/** @param {"webp"|"gif"} as */
async function saveAnimation(as) {
  const { bundle, face } = now;
  if (face.toward === undefined) return;
  const how = asking(face);
  /** @type {Face} */
  const from = { ...face, toward: undefined, amount: undefined };
  if (face.latents) from.with = from.without = undefined; // they belong to the other face
  const end = Array.isArray(face.toward) ? { latents: face.toward } : { seed: face.toward, ...how };
  const button = buttonById(`save-${as}`);
  button.disabled = true;
  try {
    const to = { ...end, edits: face.edits };
    const count = Math.min(STEPS + 1, limits.frames);
    const file = await backend.animate(bundle, from, to, { as, frames: count, seconds: SECONDS });
    save(file, `${animationName()}.${as}`);
    notice("Saved the animation, there and back.");
  } catch (error) {
    tell(error);
  } finally {
    button.disabled = false;
  }
}

async function saveVideo() {
  if (!VIDEO) return;
  const button = buttonById("save-video");
  button.disabled = true;
  notice("Recording the video.", 2 * SECONDS);
  try {
    const thereAndBack = [...frames, ...frames.slice(1, -1).reverse()];
    const origin = { software: "face-generation", recipe: recipeOf(now.bundle) };
    save(await record(thereAndBack, 2 * SECONDS, origin), `${animationName()}.${VIDEO.suffix}`);
  } catch (error) {
    tell(error);
  } finally {
    button.disabled = false;
  }
}
