// A face that is open: its picture, what can be done with it, and the tabs beside it.

import { adjust, flush, go } from "./address.js";
import * as api from "./api.js";
import { showLink } from "./dialogs.js";
import { byId, save, showPicture } from "./dom.js";
import * as edits from "./edits.js";
import * as grid from "./grid.js";
import { latest } from "./latest.js";
import * as morph from "./morph.js";
import { announce, notice, tell } from "./notices.js";
import { asking, encodeLatents, faceLink, gridLink, randomSeed } from "./state.js";
import * as variations from "./variations.js";

const TABS = ["edits", "variations", "morph"];

let now; // {bundle, face}
let tab = TABS[0];
let frame = 0; // how many pictures came from elsewhere than `draw`
const originals = new Map(); // encoded latents → the photo that they are of; gone with the page

export function setUp(catalogue) {
  edits.setUp((strengths) => change({ ...now.face, edits: strengths }));
  variations.setUp((face) => go(linkTo(face)));
  morph.setUp({ catalogue, onChange: change, onFrame: showFrame });

  for (const name of TABS) byId(`tab-${name}`).addEventListener("click", () => openTab(name));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    openTab(TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length]);
    byId(`tab-${tab}`).focus();
  });
  byId("download").addEventListener("click", download);
  byId("copy").addEventListener("click", copyLink);
  byId("another").addEventListener("click", another);
}

/** Keeps the photo that latents are of, to be shown beside what becomes of them, which is edited first. */
export function remember(latents, photo) {
  originals.set(encodeLatents(latents), photo);
  tab = TABS[0];
}

/**
 * Shows a face.
 * @param {{bundle: Object, face: Object, version: string|undefined}} state The version is that of the link.
 * @param {Object} options
 * @param {boolean} options.fresh Whether something else was shown before.
 * @param {HTMLImageElement} [options.preview] Another image of this face, to be shown until it is drawn.
 */
export function show({ bundle, face, version }, { fresh, preview }) {
  now = { bundle, face };
  if (preview) byId("portrait").src = preview.src;
  else if (fresh) byId("portrait").classList.add("waiting");
  byId("changed").hidden = !version || version === bundle.version;
  byId("face-note").textContent =
    `Drawn by ${grid.title(bundle)} at ${bundle.image_size} × ${bundle.image_size} pixels, shown larger.` +
    (face.latents ? "" : ` Truncation ${face.truncation ?? bundle.truncation}.${spoken(bundle, face)}`);
  byId("back").href = gridLink({ ...grid.place(bundle, face), bundle: bundle.name });
  if (!version) adjust(linkTo(face));
  showOriginal();
  showTitle();
  draw(now);
  const editable = bundle.directions.attributes.length + bundle.directions.principal.length > 0;
  openTab(fresh && tab === "edits" && !editable ? "variations" : tab);
  if (fresh) {
    window.scrollTo(0, 0);
    byId("face-title").focus({ preventScroll: true });
  } else announce(byId("face-title").textContent);
}

/** Tells that another view is shown. */
export function leave() {
  morph.leave();
}

/** Opens a tab: "edits", "variations" or "morph". */
export function openTab(name) {
  tab = name;
  for (const other of TABS) {
    byId(`tab-${other}`).setAttribute("aria-selected", other === name);
    byId(`tab-${other}`).tabIndex = other === name ? 0 : -1;
    byId(other).hidden = other !== name;
  }
  const { bundle, face } = now;
  if (name !== "morph") morph.leave();
  if (name === "edits") edits.show(bundle, face.edits);
  if (name === "variations") variations.show(bundle, face);
  if (name === "morph") morph.show(bundle, face, grid.place(bundle).from);
}

/** Goes to a random face. */
export function another() {
  go(linkTo({ seed: randomSeed(), ...asking(now.face), edits: {} }));
}

export async function download() {
  const { bundle, face } = now;
  try {
    save(await api.picture(bundle, face, { format: "png" }), `${bundle.name}-${face.seed ?? "photo"}.png`);
  } catch (error) {
    tell(error);
  }
}

export async function copyLink() {
  flush();
  try {
    await navigator.clipboard.writeText(location.href);
    notice("Copied the link. It brings back exactly this face.");
  } catch {
    showLink(location.href); // not allowed, or not possible without HTTPS
  }
}

export const resetEdits = edits.resetAll;

/** Plays the morph; opens its tab first where another one is open. */
export function playMorph() {
  if (tab === "morph") morph.play();
  else openTab("morph");
}

const linkTo = (face) => faceLink({ bundle: now.bundle.name, face, version: now.bundle.version });

/** What the face was asked to have, as a sentence. */
function spoken({ attributes }, face) {
  const labels = (names = []) => names.map((name) => attributes.find((each) => each.name === name).label).join(", ");
  const said = [face.with && `with ${labels(face.with)}`, face.without && `without ${labels(face.without)}`];
  return said.some(Boolean) ? ` Asked for: ${said.filter(Boolean).join("; ")}.` : "";
}

/** Shows a face that came from the open one by a slider. */
function change(face, drawn = false) {
  now = { ...now, face };
  adjust(linkTo(face));
  showTitle();
  if (!drawn) draw(now);
}

const draw = latest(async ({ bundle, face }) => {
  const before = frame;
  try {
    const picture = await api.picture(bundle, face, { format: api.LARGE });
    if (frame === before) await showPortrait(picture);
  } catch (error) {
    tell(error);
  }
});

function showFrame(face, picture) {
  frame += 1;
  now = { ...now, face };
  showPortrait(picture);
  showTitle();
}

async function showPortrait(picture) {
  await showPicture(byId("portrait"), picture);
  byId("portrait").classList.remove("waiting");
}

function showOriginal() {
  const photo = now.face.latents && originals.get(encodeLatents(now.face.latents));
  byId("original-frame").hidden = !photo;
  byId("portraits").classList.toggle("pair", Boolean(photo));
  if (photo) showPicture(byId("original"), photo);
}

function showTitle() {
  const { seed, latents, toward, amount } = now.face;
  const fromPhoto = latents && originals.has(encodeLatents(latents));
  const name = latents ? (fromPhoto ? "Your photo, redrawn" : "A face without a number") : `Face ${seed}`;
  const way = toward === undefined ? "" : `, ${Math.round(100 * amount)} % toward ${toward}`;
  byId("face-title").textContent = name + way;
  byId("portrait").alt = fromPhoto
    ? "Reconstruction of your photo"
    : `Generated face${latents ? "" : `, seed ${seed}`}`;
  document.title = `${name}${way} · ${grid.title(now.bundle)} · Faces of no one`;
}
