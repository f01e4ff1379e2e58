// The grid of faces, which are consecutive seeds of one model. They are drawn one by one.

import { adjust, go } from "./address.js";
import { backend, Problem } from "./backend.js";
import { title } from "./bundles.js";
import * as chips from "./chips.js";
import { showCard } from "./dialogs.js";
import { byId, inputById, make, onClick, setRange } from "./dom.js";
import { saveMany } from "./download.js";
import { announce, notice, tell } from "./notices.js";
import { asking, faceLink, gridLink, isSeed, LAST_SEED, randomSeed, sameAsking } from "./state.js";
import { Complaint, empty, fill } from "./tiles.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./state.js").Asking} Asking
 * @typedef {import("./state.js").Face} Face
 * @typedef {{link: HTMLAnchorElement, image: HTMLImageElement, seed: HTMLElement}} Tile
 * @typedef {Asking & {bundle: Bundle, from: number}} Place
 */

const COUNT = 24; // fills complete rows of 3, 4, 6 and 8
const LAST = LAST_SEED + 1 - COUNT; // the last seed that a grid can begin with
const SETTLE = 120; // milliseconds after the last move of the slider, until the grid is drawn again
const STRANGEST = 1.5; // times the bundle's own truncation; hardly any faces are left beyond it

/** @type {Bundle[]} */
let bundles;
/** @type {Place} What should be shown. */
let state;
/** @type {Tile[]} */
let tiles = [];
/** @type {Place|undefined} What the tiles show. */
let drawn;
let drawing = new AbortController(); // aborts what is being drawn
/** @type {Complaint} */
let complaint;

/**
 * Makes the tiles and connects the controls.
 * @param {import("./backend.js").Catalogue} catalogue
 */
export function setUp(catalogue) {
  bundles = catalogue.bundles;
  complaint = new Complaint(byId("grid"));
  tiles = Array.from({ length: COUNT }, () => {
    const image = make("img", { alt: "", draggable: false });
    const seed = make("span", { className: "seed", "aria-hidden": "true" });
    return { link: make("a", { className: "tile picture", tabIndex: -1 }, image, seed), image, seed };
  });
  tiles[0].link.tabIndex = 0;
  byId("grid").append(...tiles.map(({ link }) => make("li", {}, link)));
  byId("grid").addEventListener("keydown", roam);
  byId("grid").addEventListener("focusin", ({ target }) => target instanceof Element && makeStop(target.closest("a")));

  const model = byId("model", HTMLSelectElement);
  model.append(...bundles.map((bundle) => make("option", { value: bundle.name }, title(bundle))));
  model.addEventListener("change", () => go(gridLink({ ...state, bundle: model.value })));
  onClick("about-model", () => showCardOf(state.bundle));
  onClick("more", more);
  onClick("save-all", () => {
    const faces = tiles.map((_, i) => ({ bundle: state.bundle, face: faceAt(i) }));
    saveMany(faces, `${state.bundle.name}-${state.from}-to-${state.from + COUNT - 1}.zip`, "save-all");
  });
  byId("seed-form").addEventListener("submit", (event) => {
    event.preventDefault();
    openSeed();
  });

  /** @type {number|undefined} */
  let settled;
  /** @param {Asking} how */
  const change = (how) => {
    clearTimeout(settled);
    state = { ...state, ...how };
    showTruncation();
    settled = setTimeout(() => {
      adjust(gridLink({ ...state, bundle: state.bundle.name }));
      draw();
    }, SETTLE);
  };
  const truncation = inputById("truncation");
  truncation.addEventListener("input", () => change({ truncation: Number(truncation.value) }));
  chips.setUp((asked) => change({ with: asked.with, without: asked.without }));
}

/** @param {Bundle} bundle */
export async function showCardOf(bundle) {
  try {
    showCard(`${title(bundle)}: model card`, await backend.card(bundle));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) notice(`${title(bundle)} has no card.`);
    else tell(error);
  }
}

/**
 * Which faces the grid shows, and how they are drawn. If they are not of this bundle, the grid moves to a face.
 * @param {Bundle} bundle
 * @param {Partial<Face>} face
 */
export function place(bundle, face = {}) {
  if (state?.bundle !== bundle) state = { bundle, from: Math.min(face.seed ?? randomSeed(), LAST), ...asking(face) };
  return state;
}

/**
 * Shows the faces that begin with a seed, or with a random one.
 * @param {Asking & {bundle: Bundle, from?: number}} wanted
 */
export function show({ bundle, from = randomSeed(), ...how }) {
  state = { bundle, from: Math.min(from, LAST), ...asking(how) };
  adjust(gridLink({ ...state, bundle: bundle.name }));
  byId("model", HTMLSelectElement).value = bundle.name;
  chips.show(bundle, state);
  showTruncation();
  draw();
}

/**
 * The image in the grid of a face before its edits; undefined if there is none.
 * @param {Bundle} [bundle]
 * @param {Partial<Face>} face
 */
export function imageOf(bundle, face = {}) {
  if (face.seed === undefined || !drawn || drawn.bundle !== bundle || !sameAsking(drawn, face)) return undefined;
  const tile = tiles[face.seed - drawn.from];
  return tile?.link.classList.contains("ready") ? tile.image : undefined;
}

/**
 * Puts the focus on a face's tile, or on the first tile if the face is not there.
 * @param {number} [seed]
 */
export function focus(seed) {
  (tiles[(seed ?? -1) - state.from] ?? tiles[0]).link.focus();
}

/** Goes to the next faces. */
export function more() {
  const next = state.from + COUNT;
  go(gridLink({ ...state, bundle: state.bundle.name, from: next <= LAST ? next : 0 }));
  if (byId("grid").getBoundingClientRect().top < 0) byId("gallery").scrollIntoView();
}

function openSeed() {
  const text = inputById("seed").value.trim();
  if (!isSeed(text)) {
    notice(`A face’s number is a whole number from 0 to ${LAST_SEED}.`);
    return;
  }
  inputById("seed").value = "";
  const { bundle, ...how } = state;
  go(
    faceLink({ bundle: bundle.name, face: { seed: Number(text), ...asking(how), edits: {} }, version: bundle.version }),
  );
}

function showTruncation() {
  const own = state.bundle.truncation;
  const truncation = state.truncation ?? own;
  const slider = inputById("truncation");
  slider.max = String(Math.max(STRANGEST * own, truncation)); // a link may ask for more
  setRange(slider, truncation);
  byId("truncation-value").textContent = truncation.toFixed(2);
}

/** @param {number} i */
const faceAt = (i) => ({ seed: state.from + i, ...asking(state), edits: {} });

function draw() {
  const { bundle, from } = state;
  if (drawn && drawn.bundle === bundle && drawn.from === from && sameAsking(drawn, state)) return;
  const others = drawn?.bundle !== bundle || drawn.from !== from; // otherwise the old pictures stay for a moment
  drawn = state;
  byId("seeds").textContent = `Faces ${from} to ${from + COUNT - 1} of ${title(bundle)}`;
  tiles.forEach(({ link, image, seed }, i) => {
    const face = faceAt(i);
    link.href = faceLink({ bundle: bundle.name, face, version: bundle.version });
    seed.textContent = String(face.seed);
    image.alt = `Generated face, seed ${face.seed}`;
    if (others) empty(link);
  });
  drawTiles(() => true);
}

/** @param {(tile: Tile) => boolean} wanted Which tiles are to be drawn. */
async function drawTiles(wanted) {
  complaint.hide();
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;
  const { bundle, from } = state;
  const work = tiles.map(async (tile, i) => {
    if (!wanted(tile)) return;
    const picture = backend.draw(bundle, faceAt(i), { as: "tile", signal });
    await fill(tile.link, tile.image, picture, signal).catch((error) => {
      complaint.show(error, () => drawTiles(({ link }) => !link.matches(".ready:not(.stale)")));
      throw error;
    });
  });
  await Promise.all(work)
    .then(() => announce(`${COUNT} new faces, ${from} to ${from + COUNT - 1}`))
    .catch(() => {}); // the complaint above tells people
}

/**
 * Moves the focus with the arrow keys, Home and End. The tab key stops at one tile only.
 * @param {KeyboardEvent} event
 */
function roam(event) {
  const columns = getComputedStyle(byId("grid")).gridTemplateColumns.split(" ").length;
  const now = tiles.findIndex(({ link }) => link === document.activeElement);
  const targets = new Map([
    ["ArrowLeft", now - 1],
    ["ArrowRight", now + 1],
    ["ArrowUp", now - columns],
    ["ArrowDown", now + columns],
    ["Home", 0],
    ["End", COUNT - 1],
  ]);
  const target = targets.get(event.key);
  if (target === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  tiles[target]?.link.focus();
}

/** @param {Element|null} stop */
function makeStop(stop) {
  for (const { link } of tiles) link.tabIndex = link === stop ? 0 : -1;
}
