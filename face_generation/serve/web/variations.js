// Eight faces around a face that resemble it. Each is a little way from it toward the face of another seed.

import { backend } from "./backend.js";
import { byId, inputById, make, onClick, setRange } from "./dom.js";
import { LAST_SEED } from "./state.js";
import { Complaint, fill } from "./tiles.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./state.js").Face} Face
 */

const AROUND = 8;
const SETTLE = 120; // milliseconds after the last move of the slider

/** @type {{button: HTMLButtonElement, image: HTMLImageElement, face?: Face}[]} The faces around. */
let tiles;
/** @type {{square: HTMLElement, image: HTMLImageElement}} The face itself. */
let centre;
/** @type {(face: Face) => void} */
let chosen;
/** @type {{bundle: Bundle, face: Face}} The face in the middle. */
let now;
let round = 0; // how many times people asked for eight others
let drawing = new AbortController();
/** @type {string|undefined} What the ring shows. */
let shownKey;
/** @type {Complaint} */
let complaint;

/** @param {(face: Face) => void} onChoose Is told the face that was chosen. */
export function setUp(onChoose) {
  chosen = onChoose;
  complaint = new Complaint(byId("ring"));
  tiles = Array.from({ length: AROUND }, (_, i) => {
    const image = make("img", { alt: "" });
    const button = make("button", { type: "button", className: "picture", "aria-label": `Variation ${i + 1}` }, image);
    /** @type {{button: HTMLButtonElement, image: HTMLImageElement, face?: Face}} */
    const tile = { button, image };
    button.addEventListener("click", () => tile.face && chosen(tile.face));
    return tile;
  });
  const image = make("img", { alt: "This face" });
  centre = { square: make("div", { className: "picture centre" }, image), image };
  const all = tiles.map(({ button }) => button);
  byId("ring").append(...all.slice(0, 4), centre.square, ...all.slice(4));

  /** @type {number|undefined} */
  let settled;
  byId("difference").addEventListener("input", () => {
    clearTimeout(settled);
    showDifference();
    byId("ring").ariaBusy = "true";
    settled = setTimeout(draw, SETTLE);
  });
  onClick("others", () => {
    round += 1;
    draw();
  });
  showDifference();
}

/**
 * Shows the variations of a face.
 * @param {Bundle} bundle
 * @param {Face} face
 */
export function show(bundle, face) {
  if (!now || originKey({ bundle, face }) !== originKey(now)) round = 0;
  now = { bundle, face };
  draw();
}

function showDifference() {
  const slider = inputById("difference");
  setRange(slider, Number(slider.value));
  byId("difference-value").textContent = `${Math.round(100 * Number(slider.value))} %`;
}

/** @param {{bundle: Bundle, face: Face}} where */
const originKey = ({ bundle, face }) => JSON.stringify([bundle.name, { ...face, edits: {} }]);

async function draw() {
  const { bundle, face } = now;
  const amount = Number(inputById("difference").value);
  const key = JSON.stringify([bundle.name, face, amount, round]);
  byId("ring").ariaBusy = String(key !== shownKey);
  if (key === shownKey) return;
  shownKey = key;
  complaint.hide();
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;
  const first = hash(originKey(now)) + round * AROUND;
  const start = startOf(bundle, face, signal);
  const picture = backend.draw(bundle, face, { as: "portrait", signal });
  const work = tiles.map(async (tile, i) => {
    tile.face = undefined;
    const relative = start.then((origin) => ({ ...origin, toward: (first + i) % (LAST_SEED + 1), amount }));
    const drawn = relative.then((other) => backend.draw(bundle, other, { as: "tile", signal }));
    await fill(tile.button, tile.image, drawn, signal);
    tile.face = await relative;
  });
  try {
    await Promise.all([fill(centre.square, centre.image, picture, signal), ...work]);
  } catch (error) {
    if (!signal.aborted) shownKey = undefined;
    complaint.show(error, draw);
  }
  if (!signal.aborted) byId("ring").ariaBusy = "false";
}

/**
 * The face from which variations go toward others. A face that already goes toward another one is replaced by its
 * latents.
 * @param {Bundle} bundle
 * @param {Face} face
 * @param {AbortSignal} signal
 * @returns {Promise<Face>}
 */
async function startOf(bundle, face, signal) {
  if (face.toward === undefined) return face;
  const latents = await backend.latents(bundle, { ...face, edits: {} }, { signal });
  return { latents, with: face.with, without: face.without, edits: face.edits };
}

/**
 * Hashes a text to a number below 2³² (FNV-1a).
 * @param {string} text
 */
function hash(text) {
  let value = 0x811c9dc5;
  for (const letter of text) value = Math.imul(value ^ (letter.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return value;
}
