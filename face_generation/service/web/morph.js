// The way from a face to another: its pictures are fetched ahead, coarse steps first, so that the slider never waits.

import * as api from "./api.js";
import { byId, make, save, setRange, showPicture } from "./dom.js";
import { notice, tell } from "./notices.js";
import { asking, randomSeed } from "./state.js";

const STEPS = 40; // of the slider
const STRIDES = [20, 5, 1]; // first every 20th step, then every 5th, then all
const SECONDS = 2; // from one end to the other
const CANDIDATES = 12; // other faces to choose from

let changed; // function(face)
let showFrame; // function(Blob)
let limits;
let now; // {bundle, face}
let frames = []; // picture by step
let framesKey; // whose pictures they are
let drawing = new AbortController();
let tiles; // of candidates, {button, image, seed}
let firstCandidate; // a seed
let candidatesKey;
let playing; // a request for the next animation frame

/**
 * @param {Object} options
 * @param {Object} options.catalogue As the server tells it.
 * @param {function(Object, boolean): void} options.onChange Told the face that was gone to, and whether its picture was
 *   already shown by `onFrame`.
 * @param {function(Object, Blob): void} options.onFrame Told a face on the way, and its picture.
 */
export function setUp({ catalogue, onChange, onFrame }) {
  limits = catalogue.limits;
  changed = onChange;
  showFrame = onFrame;
  tiles = Array.from({ length: CANDIDATES }, () => {
    const image = make("img", { alt: "" });
    const button = make("button", { type: "button", className: "picture" }, image);
    const tile = { button, image, seed: undefined };
    button.addEventListener("click", () => choose(tile.seed));
    return tile;
  });
  byId("candidates").append(...tiles.map(({ button }) => button));
  byId("random-other").addEventListener("click", () => choose(randomSeed()));
  byId("walk-amount").addEventListener("input", ({ target }) => {
    stop();
    goTo(Number(target.value));
  });
  byId("play").addEventListener("click", play);
  byId("save-webp").addEventListener("click", () => saveAnimation("webp"));
  byId("save-gif").addEventListener("click", () => saveAnimation("gif"));
}

/** Shows where a face is on its way. The faces from `first` on are there to choose from. */
export function show(bundle, face, first) {
  leave();
  now = { bundle, face };
  const under = face.toward !== undefined;
  byId("walk").inert = !under;
  setRange(byId("walk-amount"), under ? face.amount : 0);
  showCandidates(first);
  prepare();
}

/** Ends the playing where the face is to be another one. */
export function leave() {
  cancelAnimationFrame(playing);
  playing = undefined;
  byId("play").textContent = "Play";
}

/** Ends the playing and stays there. */
function stop() {
  if (playing === undefined) return;
  leave();
  goTo(now.face.amount);
}

/** Goes to and fro between the two faces, until it is stopped. */
export function play() {
  if (playing !== undefined) return stop();
  if (now?.face.toward === undefined) return undefined;
  byId("play").textContent = "Pause";
  const began = performance.now() - 1000 * SECONDS * now.face.amount;
  const next = (time) => {
    const turn = Math.max(0, (time - began) / (1000 * SECONDS)) % 2; // to 1 there, to 2 back
    const amount = Math.round(STEPS * (turn < 1 ? turn : 2 - turn)) / STEPS;
    if (amount !== now.face.amount) goTo(amount);
    playing = requestAnimationFrame(next);
  };
  playing = requestAnimationFrame(next);
  return undefined;
}

function choose(seed) {
  stop();
  const { bundle, face } = now;
  const next = { ...face, toward: seed, amount: face.toward === undefined ? 0.5 : face.amount };
  changed(next, false);
  show(bundle, next, firstCandidate);
  byId("walk").scrollIntoView({ block: "nearest" });
}

function goTo(amount) {
  now.face = { ...now.face, amount };
  setRange(byId("walk-amount"), amount);
  const step = amount * STEPS;
  const near = frames.reduce((best, _, i) => (Math.abs(i - step) < Math.abs(best - step) ? i : best), -STEPS);
  if (frames[near]) showFrame({ ...now.face, amount: near / STEPS }, frames[near]);
  if (playing === undefined) changed(now.face, near === step);
}

const at = (step) => ({ ...now.face, amount: step / STEPS });

/** Fetches the pictures of the way, unless they are there. */
async function prepare() {
  const { bundle, face } = now;
  const key = JSON.stringify([bundle.name, { ...face, amount: 0 }]);
  if (key === framesKey) return;
  framesKey = key;
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;
  frames = [];
  try {
    if (face.toward === undefined) {
      byId("walk-to").removeAttribute("src");
      await showPicture(byId("walk-from"), await api.picture(bundle, face, { signal }));
      return;
    }
    for (const stride of STRIDES) {
      const steps = Array.from({ length: STEPS / stride + 1 }, (_, i) => i * stride).filter((step) => !frames[step]);
      for (let i = 0; i < steps.length; i += limits.faces) {
        const some = steps.slice(i, i + limits.faces);
        const drawn = await api.faces(bundle, some.map(at), { format: api.LARGE, signal });
        signal.throwIfAborted();
        some.forEach((step, j) => (frames[step] = drawn[j].picture));
      }
      if (stride === STRIDES[0]) {
        showPicture(byId("walk-from"), frames[0]);
        showPicture(byId("walk-to"), frames[STEPS]);
      }
    }
  } catch (error) {
    if (!signal.aborted) framesKey = undefined;
    tell(error);
  }
}

async function showCandidates(first) {
  const { bundle, face } = now;
  firstCandidate = first;
  const how = asking(face); // as the server takes it for the other face
  const key = JSON.stringify([bundle.name, how, first, face.seed]);
  for (const { button, seed } of tiles) button.setAttribute("aria-pressed", seed === face.toward);
  if (key === candidatesKey) return;
  candidatesKey = key;
  const seeds = Array.from({ length: CANDIDATES + 1 }, (_, i) => first + i).filter((seed) => seed !== face.seed);
  const work = tiles.map(async (tile, i) => {
    tile.seed = seeds[i];
    tile.button.classList.remove("ready");
    tile.button.setAttribute("aria-pressed", tile.seed === face.toward);
    tile.button.setAttribute("aria-label", `Generated face, seed ${tile.seed}`);
    const picture = await api.tile(bundle, { seed: tile.seed, ...how, edits: {} });
    if (candidatesKey !== key) return;
    await showPicture(tile.image, picture);
    tile.button.classList.add("ready");
  });
  await Promise.all(work).catch(tell);
}

async function saveAnimation(as) {
  const { bundle, face } = now;
  const how = asking(face);
  const from = { ...face, toward: undefined, amount: undefined };
  if (face.latents) from.with = from.without = undefined; // they are of the other face
  const button = byId(`save-${as}`);
  button.disabled = true;
  try {
    const to = { seed: face.toward, ...how, edits: face.edits };
    const frameCount = Math.min(STEPS + 1, limits.frames);
    const file = await api.animation(bundle, from, to, { as, frames: frameCount, seconds: SECONDS });
    save(file, `face-${face.seed ?? "photo"}-to-${face.toward}.${as}`);
    notice("Saved the animation, there and back.");
  } catch (error) {
    tell(error);
  } finally {
    button.disabled = false;
  }
}
