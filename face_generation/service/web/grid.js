// The grid of faces: consecutive seeds of one model, drawn one by one.

import * as api from "./api.js";
import { adjust, go } from "./address.js";
import * as chips from "./chips.js";
import { byId, make, setRange, showPicture } from "./dom.js";
import { showCard } from "./dialogs.js";
import { announce, notice, tell } from "./notices.js";
import { asking, faceLink, gridLink, randomSeed, sameAsking } from "./state.js";

const COUNT = 24; // fills whole rows of 3, 4, 6 and 8
const LAST = 2 ** 32 - COUNT; // the last seed that a grid can begin with
const SETTLE = 120; // milliseconds without another move of the slider, until the grid is drawn again

let bundles;
let state = { bundle: undefined, from: undefined }; // and how faces are drawn; the bundle as the server tells of it
let tiles = []; // {link, image, seed}
let drawing = new AbortController(); // what is under way
let drawn = {}; // what the tiles show

/** Makes the tiles, and has the controls work. */
export function setUp(catalogue) {
  bundles = catalogue.bundles;
  tiles = Array.from({ length: COUNT }, () => {
    const image = make("img", { alt: "", draggable: false });
    const seed = make("span", { className: "seed", "aria-hidden": "true" });
    return { link: make("a", { className: "tile picture", tabIndex: -1 }, image, seed), image, seed };
  });
  tiles[0].link.tabIndex = 0;
  byId("grid").append(...tiles.map(({ link }) => make("li", {}, link)));
  byId("grid").addEventListener("keydown", roam);
  byId("grid").addEventListener("focusin", (event) => makeStop(event.target.closest("a")));

  byId("model").append(...bundles.map((bundle) => make("option", { value: bundle.name }, title(bundle))));
  byId("model").addEventListener("change", () => {
    const bundle = bundles.find(({ name }) => name === byId("model").value);
    go(gridLink({ ...state, bundle: bundle.name }));
  });
  byId("about-model").addEventListener("click", () => showCardOf(state.bundle));
  byId("more").addEventListener("click", more);

  let settled;
  const change = (how) => {
    clearTimeout(settled);
    state = { ...state, ...how };
    showTruncation();
    settled = setTimeout(() => {
      adjust(gridLink({ ...state, bundle: state.bundle.name }));
      draw();
    }, SETTLE);
  };
  byId("truncation").addEventListener("input", ({ target }) => change({ truncation: Number(target.value) }));
  chips.setUp((asked) => change({ with: asked.with, without: asked.without }));
}

/** What people call a bundle. */
export function title({ name, model }) {
  return name.toLowerCase() === model.toLowerCase() ? model : `${name} (${model})`;
}

export async function showCardOf(bundle) {
  try {
    showCard(`${title(bundle)}: model card`, await api.card(bundle));
  } catch (error) {
    if (error.status === 404) notice(`${title(bundle)} has no card.`);
    else tell(error);
  }
}

/** Where the grid is, and how its faces are drawn. If it shows no faces of the bundle, it goes to a face. */
export function place(bundle, face = {}) {
  if (state.bundle !== bundle)
    state = { bundle, from: Math.min(face.seed ?? randomSeed(), LAST), ...asking(face) };
  return state;
}

/** Shows the faces from a seed on, or from a random one. */
export function show({ bundle, from = randomSeed(), ...how }) {
  state = { bundle, from: Math.min(from, LAST), ...asking(how) };
  adjust(gridLink({ ...state, bundle: bundle.name }));
  byId("model").value = bundle.name;
  chips.show(bundle, state);
  showTruncation();
  draw();
}

/** The image of a face that is in the grid, before it is edited. */
export function imageOf(bundle, face = {}) {
  const tile = drawn.bundle === bundle && sameAsking(drawn, face) ? tiles[face.seed - drawn.from] : undefined;
  return tile?.link.classList.contains("ready") ? tile.image : undefined;
}

/** Puts the focus on a face's tile, or else on the first one. */
export function focus(seed) {
  (tiles[seed - state.from] ?? tiles[0]).link.focus();
}

/** Goes to the next faces. */
export function more() {
  const next = state.from + COUNT;
  go(gridLink({ ...state, bundle: state.bundle.name, from: next <= LAST ? next : 0 }));
  if (byId("grid").getBoundingClientRect().top < 0) byId("gallery").scrollIntoView();
}

function showTruncation() {
  const truncation = state.truncation ?? state.bundle.truncation;
  setRange(byId("truncation"), truncation);
  byId("truncation-value").textContent = truncation.toFixed(2);
}

async function draw() {
  const { bundle, from } = state;
  if (drawn.bundle === bundle && drawn.from === from && sameAsking(drawn, state)) return;
  const others = drawn.bundle !== bundle || drawn.from !== from; // else the old pictures stay for a moment
  drawn = state;
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;

  byId("seeds").textContent = `Faces ${from} to ${from + COUNT - 1} of ${title(bundle)}`;
  const work = tiles.map(async ({ link, image, seed }, i) => {
    const face = { seed: from + i, ...asking(drawn), edits: {} };
    link.href = faceLink({ bundle: bundle.name, face, version: bundle.version });
    seed.textContent = face.seed;
    image.alt = `Generated face, seed ${face.seed}`;
    if (others) link.classList.remove("ready");
    const picture = await api.tile(bundle, face, { signal });
    if (signal.aborted) return;
    await showPicture(image, picture);
    link.classList.add("ready");
  });
  try {
    await Promise.all(work);
    if (!signal.aborted) announce(`${COUNT} new faces, ${from} to ${from + COUNT - 1}`);
  } catch (error) {
    if (!signal.aborted) drawn = {}; // so that they are asked for again
    tell(error);
  }
}

/** Arrow keys, Home and End go from tile to tile; the tab key stops at one of them only. */
function roam(event) {
  const columns = getComputedStyle(byId("grid")).gridTemplateColumns.split(" ").length;
  const now = tiles.findIndex(({ link }) => link === document.activeElement);
  const targets = {
    ArrowLeft: now - 1,
    ArrowRight: now + 1,
    ArrowUp: now - columns,
    ArrowDown: now + columns,
    Home: 0,
    End: COUNT - 1,
  };
  if (!(event.key in targets) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  tiles[targets[event.key]]?.link.focus();
}

function makeStop(stop) {
  for (const { link } of tiles) link.tabIndex = link === stop ? 0 : -1;
}
