// Eight relatives of a face, around it: each lies a little on the way toward another seed.

import * as api from "./api.js";
import { byId, make, setRange, showPicture } from "./dom.js";
import { tell } from "./notices.js";

const AROUND = 8;
const SETTLE = 120; // milliseconds without another move of the slider

let tiles; // AROUND of them, {button, image, face}; the face is the one that the image shows
let centre; // the same, of the face itself; its button is only an element
let chosen; // function(face)
let now; // {bundle, face} that the ring is around
let round = 0; // how many times eight others were asked for
let drawing = new AbortController();
let shownKey; // what the ring shows

/** @param {function(Object): void} onChoose Told the face that was chosen. */
export function setUp(onChoose) {
  chosen = onChoose;
  tiles = Array.from({ length: AROUND }, (_, i) => {
    const image = make("img", { alt: "" });
    const button = make("button", { type: "button", className: "picture", "aria-label": `Variation ${i + 1}` }, image);
    const tile = { button, image, face: undefined };
    button.addEventListener("click", () => tile.face && chosen(tile.face));
    return tile;
  });
  const image = make("img", { alt: "This face" });
  centre = { button: make("div", { className: "picture centre" }, image), image };
  const all = tiles.map(({ button }) => button);
  byId("ring").append(...all.slice(0, 4), centre.button, ...all.slice(4));

  let settled;
  byId("difference").addEventListener("input", () => {
    clearTimeout(settled);
    showDifference();
    byId("ring").ariaBusy = true;
    settled = setTimeout(draw, SETTLE);
  });
  byId("others").addEventListener("click", () => {
    round += 1;
    draw();
  });
  showDifference();
}

/** Shows what is around a face. */
export function show(bundle, face) {
  if (!now || originKey({ bundle, face }) !== originKey(now)) round = 0;
  now = { bundle, face };
  draw();
}

function showDifference() {
  const slider = byId("difference");
  setRange(slider, slider.value);
  byId("difference-value").textContent = `${Math.round(100 * slider.value)} %`;
}

const originKey = ({ bundle, face }) => JSON.stringify([bundle.name, { ...face, edits: {} }]);

async function draw() {
  const { bundle, face } = now;
  const amount = Number(byId("difference").value);
  const key = JSON.stringify([bundle.name, face, amount, round]);
  byId("ring").ariaBusy = key !== shownKey;
  if (key === shownKey) return;
  shownKey = key;
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;
  const first = hash(originKey(now)) + round * AROUND;
  const show = async (tile, picture, itsFace) => {
    signal.throwIfAborted();
    tile.face = itsFace;
    await showPicture(tile.image, picture);
    tile.button.classList.add("ready");
  };
  try {
    const [start, picture] = await Promise.all([startOf(bundle, face), api.picture(bundle, face, { signal })]);
    const around = tiles.map(async (tile, i) => {
      const relative = { ...start, toward: (first + i) % 2 ** 32, amount };
      await show(tile, await api.tile(bundle, relative, { signal }), relative);
    });
    await Promise.all([show(centre, picture, face), ...around]);
  } catch (error) {
    if (!signal.aborted) shownKey = undefined;
    tell(error);
  }
  if (!signal.aborted) byId("ring").ariaBusy = false;
}

/** A face to go toward others from. One that is on such a way itself begins anew, from its latents. */
async function startOf(bundle, face) {
  if (face.toward === undefined) return face;
  const [{ latents }] = await api.faces(bundle, [{ ...face, edits: {} }]);
  return { latents, with: face.with, without: face.without, edits: face.edits };
}

/** A number below 2³² that hardly any other text has (FNV-1a). */
function hash(text) {
  let value = 0x811c9dc5;
  for (const letter of text) value = Math.imul(value ^ letter.codePointAt(0), 0x01000193) >>> 0;
  return value;
}
