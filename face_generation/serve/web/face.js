// The view of one face: its picture, its buttons, and the tabs beside it.

import { adjust, flush, go } from "./address.js";
import { backend } from "./backend.js";
import { isEditable, title } from "./bundles.js";
import { copy, showRecipes } from "./dialogs.js";
import { buttonById, byId, imageById, onClick, showPicture } from "./dom.js";
import { saveOne } from "./download.js";
import * as edits from "./edits.js";
import * as grid from "./grid.js";
import * as kept from "./kept.js";
import { latest } from "./latest.js";
import * as mixing from "./mixing.js";
import * as morph from "./morph.js";
import { announce, notice } from "./notices.js";
import { photoOf } from "./photos.js";
import { asking, faceLink, gridLink, randomSeed } from "./state.js";
import { Complaint } from "./tiles.js";
import { Undo } from "./undo.js";
import * as variations from "./variations.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {import("./state.js").Face} Face
 * @typedef {{bundle: Bundle, face: Face}} Open
 * @typedef {"edits"|"variations"|"morph"|"mixing"} Tab
 */

/** @type {Tab[]} */
const TABS = ["edits", "variations", "morph", "mixing"];
const VISIT = 1500; // milliseconds after which a face is kept among the recent ones

/** @type {Open} */
let now;
/** @type {Tab} */
let tab = TABS[0];
let frame = 0; // how many pictures did not come from `draw`
/** @type {Undo<Face>} */
const undo = new Undo();
/** @type {Complaint} */
let complaint;
/** @type {string|undefined} The open face's link among the recent ones. */
let visited;
/** @type {number|undefined} */
let visiting;

/** @param {Catalogue} catalogue */
export function setUp(catalogue) {
  complaint = new Complaint(byId("portraits"));
  edits.setUp((strengths, what) => change({ ...now.face, edits: strengths }, what));
  variations.setUp((face) => go(linkTo(face)));
  morph.setUp({ catalogue, onChange: change, onFrame: showFrame });
  mixing.setUp(change);

  for (const name of TABS) onClick(`tab-${name}`, () => openTab(name));
  byId("tabs").addEventListener("keydown", ({ key }) => {
    const step = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
    if (step) goToTab(TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length]);
  });
  onClick("favourite", keep);
  onClick("download", download);
  onClick("copy", copyLink);
  onClick("by-api", () => showRecipes(backend.recipes(now.bundle, now.face)));
  onClick("another", another);
  onClick("undo", () => step(-1));
  onClick("redo", () => step(1));
  onClick("before", toggleBefore);
}

/**
 * Shows a face.
 * @param {Open & {version?: string}} state The version is the one in the link.
 * @param {Object} options
 * @param {boolean} options.fresh Whether another view was shown before.
 * @param {HTMLImageElement} [options.preview] Another image of this face, which is shown until it is drawn.
 */
export function show({ bundle, face, version }, { fresh, preview }) {
  if (fresh || bundle !== now.bundle) undo.clear();
  now = { bundle, face };
  visited = undefined;
  if (preview) imageById("portrait").src = preview.src;
  else if (fresh) byId("portrait").classList.add("waiting");
  byId("changed").hidden = !version || version === bundle.version;
  byId("back", HTMLAnchorElement).href = gridLink({ ...grid.place(bundle, face), bundle: bundle.name });
  if (!version) adjust(linkTo(face));
  changed();
  draw(now);
  openTab(fresh && tab === "edits" && !isEditable(bundle) ? "variations" : tab);
  if (fresh) {
    window.scrollTo(0, 0);
    byId("face-title").focus({ preventScroll: true });
  } else announce(byId("face-title").textContent ?? "");
}

/** Opens the tab of edits with the next face. */
export function editNext() {
  [tab] = TABS;
}

/** Stops what must not go on while another view is shown. */
export function leave() {
  clearTimeout(visiting);
  morph.leave();
}

/**
 * Opens a tab.
 * @param {Tab} name
 */
function openTab(name) {
  tab = name;
  for (const other of TABS) {
    byId(`tab-${other}`).setAttribute("aria-selected", String(other === name));
    byId(`tab-${other}`).tabIndex = other === name ? 0 : -1;
    byId(other).hidden = other !== name;
  }
  const { bundle, face } = now;
  if (name !== "morph") morph.leave();
  if (name === "edits") edits.show(bundle, face.edits);
  if (name === "variations") variations.show(bundle, face);
  if (name === "morph") morph.show(bundle, face, grid.place(bundle).from);
  if (name === "mixing") mixing.show(bundle, face);
}

/**
 * Opens a tab and puts the focus on it.
 * @param {Tab} name
 */
export function goToTab(name) {
  openTab(name);
  byId(`tab-${name}`).focus();
}

/** Goes to a random face. */
export function another() {
  go(linkTo({ seed: randomSeed(), ...asking(now.face.latents ? {} : now.face), edits: {} }));
}

export function download() {
  saveOne(now.bundle, now.face);
}

export function copyLink() {
  flush();
  const link = backend.preview(now.bundle, now.face) ?? location.href;
  copy(link, "Copied the link. It brings back exactly this face.");
}

/** Adds the face to the favourites, or removes it. */
export function keep() {
  const link = linkTo(now.face);
  if (kept.isFavourite(link)) {
    kept.forget("favourites", link);
    notice("It is no longer among your faces.");
  } else if (kept.keep("favourites", link)) notice("Kept among your faces, in this browser.");
  else notice("This browser does not let the page keep anything.");
  showFavourite();
}

export const resetEdits = edits.resetAll;

/** Makes random edits. */
export function surprise() {
  if (!isEditable(now.bundle)) return;
  if (tab !== "edits") openTab("edits");
  edits.surprise();
}

/**
 * Undoes or redoes a step.
 * @param {1|-1} way
 */
export function step(way) {
  const face = undo.step(way);
  if (!face) return;
  now = { ...now, face };
  adjust(linkTo(now.face));
  changed();
  draw(now);
  openTab(tab);
  announce(way < 0 ? "Undone" : "Redone");
}

/** Plays the morph. If its tab is not open, opens it instead. */
export function playMorph() {
  if (tab === "morph") morph.play();
  else goToTab("morph");
}

/** Shows the face as it was before it was changed, or as it is now. */
export function toggleBefore() {
  if (isChanged(now.face)) showBefore(byId("before").getAttribute("aria-pressed") !== "true");
}

/** @param {Face} face */
const linkTo = (face) => faceLink({ bundle: now.bundle.name, face, version: now.bundle.version });

/**
 * A sentence that says what was asked for.
 * @param {Bundle} bundle
 * @param {Face} face
 */
function spoken({ attributes }, face) {
  /** @param {string[]} names */
  const labels = (names) => names.map((name) => attributes.find((each) => each.name === name)?.label).join(", ");
  const said = [face.with && `with ${labels(face.with)}`, face.without && `without ${labels(face.without)}`];
  return said.some(Boolean) ? ` Asked for: ${said.filter(Boolean).join("; ")}.` : "";
}

/**
 * Shows a changed version of the open face.
 * @param {Face} face
 * @param {string} [what] The slider that changed it, if one did.
 * @param {boolean} [drawn] Whether its picture is already shown.
 */
function change(face, what, drawn = false) {
  now = { ...now, face };
  adjust(linkTo(face));
  changed(what);
  if (!drawn) draw(now);
}

/**
 * Updates everything that depends on the face, except its picture.
 * @param {string} [what] The slider that was moved, if one was.
 */
function changed(what) {
  undo.add(now.face, what);
  buttonById("undo").disabled = !undo.can(-1);
  buttonById("redo").disabled = !undo.can(1);
  buttonById("before").disabled = !isChanged(now.face);
  buttonById("by-api").disabled = !backend.recipes(now.bundle, now.face).length;
  byId("before").setAttribute("aria-pressed", "false");
  byId("before-mark").hidden = true;
  showTitle();
  showOriginal();
  showFavourite();
  clearTimeout(visiting);
  visiting = setTimeout(visit, VISIT);
}

/** Keeps the face among the recent ones. One that may come from a photo is only kept if people press the heart. */
function visit() {
  if (now.face.seed === undefined || Array.isArray(now.face.toward)) return;
  const link = linkTo(now.face);
  kept.keep("recent", link, visited);
  visited = link;
}

/** @param {Face} face */
const isChanged = ({ toward, edits: strengths }) => toward !== undefined || Object.keys(strengths).length > 0;

/**
 * Shows the face before it was changed, or as it is now. Before means without edits. If there are none, it means before
 * the face went toward another one.
 * @param {boolean} before
 */
function showBefore(before) {
  byId("before").setAttribute("aria-pressed", String(before));
  byId("before-mark").hidden = !before;
  draw(before ? { ...now, face: unchanged(now.face) } : now);
}

/**
 * @param {Face} face
 * @returns {Face}
 */
function unchanged(face) {
  if (Object.keys(face.edits).length) return { ...face, edits: {} };
  const { seed, latents } = face;
  return latents ? { latents, edits: {} } : { seed, ...asking(face), edits: {} };
}

const draw = latest(async ({ bundle, face }) => {
  const before = frame;
  complaint.hide();
  try {
    const picture = await backend.draw(bundle, face, { as: "portrait" });
    if (frame === before) await showPortrait(picture);
  } catch (error) {
    complaint.show(error, () => draw(now));
  }
});

/**
 * @param {Face} face
 * @param {Blob} picture
 */
function showFrame(face, picture) {
  frame += 1;
  now = { ...now, face };
  showPortrait(picture);
  showTitle();
}

/** @param {Blob} picture */
async function showPortrait(picture) {
  await showPicture(imageById("portrait"), picture);
  byId("portrait").classList.remove("waiting");
}

function showOriginal() {
  const photo = photoOf(now.face);
  byId("original-frame").hidden = !photo;
  byId("portraits").classList.toggle("pair", Boolean(photo));
  if (photo) showPicture(imageById("original"), photo);
}

function showFavourite() {
  byId("favourite").setAttribute("aria-pressed", String(kept.isFavourite(linkTo(now.face))));
}

function showTitle() {
  const { bundle, face } = now;
  const { seed, latents, toward, amount = 0 } = face;
  const fromPhoto = photoOf(face);
  const name = latents ? (fromPhoto ? "Your photo, redrawn" : "A face without a number") : `Face ${seed}`;
  const other = Array.isArray(toward) ? "another" : toward;
  const way = toward === undefined ? "" : `, ${Math.round(100 * amount)} % toward ${other}`;
  byId("face-title").textContent = name + way;
  byId("face-note").textContent =
    `Drawn by ${title(bundle)} at ${bundle.image_size} × ${bundle.image_size} pixels, shown larger.` +
    (latents ? "" : ` Truncation ${face.truncation ?? bundle.truncation}.${spoken(bundle, face)}`);
  imageById("portrait").alt = fromPhoto
    ? "Reconstruction of your photo"
    : `Generated face${latents ? "" : `, seed ${seed}`}`;
  document.title = `${name}${way} · ${title(bundle)} · Faces of no one`;
}
