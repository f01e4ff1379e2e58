// Redraws a person's photo. People choose, drop, paste or take one. Then the face is found, or they place it by hand,
// and the model redraws it from latents.

import { Alignment } from "./align.js";
import { backend } from "./backend.js";
import { title } from "./bundles.js";
import { buttonById, byId, dialogById, inputById, onClick, setRange } from "./dom.js";
import { notice, tell } from "./notices.js";
import { remember } from "./photos.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {(bundle: Bundle, latents: number[]) => void} Then
 */

const OVERSIZE = 2; // the square is sent this many times larger than needed, because the back end shrinks better
const LONGEST = 2048; // pixels of the longer side of a photo in which a face is found; larger photos are shrunk first

/** @type {Bundle[]} */
let bundles;
/** @type {() => Bundle} Gives the bundle that the page shows. */
let current;
/** @type {Bundle|undefined} The bundle that redraws the photo. */
let bundle;
/** @type {Alignment} */
let alignment;
/** @type {ImageBitmap} */
let photo;
/** @type {Then} What is usually done with the face. */
let usual;
/** @type {Then} What is done with this face. */
let then;

/**
 * @param {Catalogue} catalogue
 * @param {() => Bundle} currentBundle
 * @param {Then} onDone
 */
export function setUp(catalogue, currentBundle, onDone) {
  bundles = catalogue.bundles;
  current = currentBundle;
  usual = then = onDone;
  const [zoom, turn] = [inputById("zoom"), inputById("turn")];
  alignment = new Alignment(byId("stage", HTMLCanvasElement), () => {
    zoom.max = String(alignment.mostZoom);
    setRange(zoom, alignment.zoom);
    setRange(turn, alignment.degrees);
  });
  zoom.addEventListener("input", () => (alignment.zoom = Number(zoom.value)));
  turn.addEventListener("input", () => (alignment.degrees = Number(turn.value)));
  onClick("upload", open);
  onClick("choose", () => inputById("file").click());
  onClick("camera", () => inputById("camera-file").click());
  onClick("choose-again", () => step("choose"));
  onClick("find", () => reconstruct(true));
  onClick("reconstruct", () => reconstruct(false));
  for (const input of [inputById("file"), inputById("camera-file")])
    input.addEventListener("change", () => {
      if (input.files?.length) read(input.files[0]);
      input.value = ""; // so that the same file can be chosen again
    });

  const dialog = dialogById("upload-dialog");
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (!dialog.open) open();
    dialog.classList.add("dragging");
  });
  document.addEventListener("dragleave", () => dialog.classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    dialog.classList.remove("dragging");
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    read(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file) read(file);
  });
}

/**
 * Asks for a photo.
 * @param {Then} [onDone] What is done with its face. By default, the face is shown.
 * @param {Bundle} [wanted] The bundle that should redraw it. The default is the bundle that the page shows. If it has
 *   no encoder, another bundle does it.
 */
export function open(onDone = usual, wanted = current()) {
  then = onDone;
  bundle = wanted.has_encoder ? wanted : bundles.find(({ has_encoder }) => has_encoder);
  if (!bundle) {
    notice("None of the models here can use photos, because they have no encoder.");
    return;
  }
  byId("upload-note").hidden = bundle === wanted;
  byId("upload-note").textContent =
    `${title(wanted)} cannot use photos, because it has no encoder. ${title(bundle)} will redraw yours.`;
  step("choose");
}

/** @param {"choose"|"align"} name */
function step(name) {
  byId("upload-choose").hidden = name !== "choose";
  byId("upload-align").hidden = name !== "align";
  byId("upload-title").textContent = name === "choose" ? "Use a photo" : "Where is the face?";
  const dialog = dialogById("upload-dialog");
  if (!dialog.open) dialog.showModal();
  byId(name === "choose" ? "choose" : "stage").focus();
}

/** @param {File} file */
async function read(file) {
  const picture = await createImageBitmap(file).catch(() => undefined);
  if (!picture && !backend.reads(file)) {
    notice("This browser cannot read that file as a picture. Use a JPEG, PNG or WebP.");
    return;
  }
  if (!dialogById("upload-dialog").open) open();
  if (!bundle) return;
  if (!picture) {
    notice("This browser cannot show that photo. The server looks for the face in it.");
    await send(file, true);
    return;
  }
  photo = picture;
  step("align");
  alignment.open(photo);
}

/** @param {boolean} find Whether to find the face. Otherwise it is where people have placed it. */
async function reconstruct(find) {
  if (bundle) await send(find ? shrunk(photo) : alignment.cut(OVERSIZE * bundle.image_size), find);
}

/**
 * Asks for the latents of a photo, and shows its face.
 * @param {Blob|Promise<Blob>} picture
 * @param {boolean} find As for `reconstruct`.
 */
async function send(picture, find) {
  if (!bundle) return;
  const buttons = [buttonById("find"), buttonById("reconstruct"), buttonById("choose"), buttonById("camera")];
  for (const button of buttons) button.disabled = true;
  try {
    const { latents, original } = await backend.reconstruct(bundle, await picture, { find });
    remember(latents, original);
    dialogById("upload-dialog").close();
    then(bundle, latents);
  } catch (error) {
    tell(error);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/**
 * Writes a photo as a JPEG with sides of at most `LONGEST` pixels.
 * @param {ImageBitmap} picture
 * @returns {Promise<Blob>}
 */
async function shrunk(picture) {
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(scale * side)));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser could not shrink the photo");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}
