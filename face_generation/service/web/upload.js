// From a person's photo to a face: choose, drop, paste or take one; align it; have it redrawn from latents.

import { Alignment } from "./align.js";
import * as api from "./api.js";
import { go } from "./address.js";
import { byId, setRange } from "./dom.js";
import * as face from "./face.js";
import { title } from "./grid.js";
import { notice, tell } from "./notices.js";
import { faceLink } from "./state.js";

const OVERSIZE = 2; // the square is sent this many times larger than the model sees it: the server shrinks it well

let bundles;
let current; // function(): the bundle that is looked at
let bundle; // the one that redraws the photo
let alignment;

/** @param {function(): Object} currentBundle */
export function setUp(catalogue, currentBundle) {
  bundles = catalogue.bundles;
  current = currentBundle;
  alignment = new Alignment(byId("stage"), () => {
    setRange(byId("zoom"), alignment.zoom);
    setRange(byId("turn"), alignment.degrees);
  });
  byId("zoom").addEventListener("input", ({ target }) => (alignment.zoom = Number(target.value)));
  byId("turn").addEventListener("input", ({ target }) => (alignment.degrees = Number(target.value)));
  byId("upload").addEventListener("click", open);
  byId("choose").addEventListener("click", () => byId("file").click());
  byId("camera").addEventListener("click", () => byId("camera-file").click());
  byId("choose-again").addEventListener("click", open);
  byId("reconstruct").addEventListener("click", reconstruct);
  for (const input of [byId("file"), byId("camera-file")])
    input.addEventListener("change", () => {
      if (input.files.length) align(input.files[0]);
      input.value = ""; // so that the same file can be chosen again
    });

  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    if (!byId("upload-dialog").open) open();
    byId("upload-dialog").classList.add("dragging");
  });
  document.addEventListener("dragleave", () => byId("upload-dialog").classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    byId("upload-dialog").classList.remove("dragging");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    align(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file) align(file);
  });
}

/** Asks for a photo. */
export function open() {
  bundle = current().has_encoder ? current() : bundles.find(({ has_encoder }) => has_encoder);
  if (!bundle) {
    notice("The models on this server can only draw: none of them has an encoder, which looks at photos.");
    return;
  }
  step("choose");
}

function step(name) {
  byId("upload-choose").hidden = name !== "choose";
  byId("upload-align").hidden = name !== "align";
  byId("upload-title").textContent = name === "choose" ? "Use a photo" : "Place the eyes";
  if (!byId("upload-dialog").open) byId("upload-dialog").showModal();
  byId(name === "choose" ? "choose" : "stage").focus();
}

async function align(file) {
  let photo;
  try {
    photo = await createImageBitmap(file);
  } catch {
    notice("This browser cannot read that file as a picture. Use a JPEG, PNG or WebP.");
    return;
  }
  open();
  if (!bundle) return;
  byId("upload-note").hidden = current().has_encoder;
  byId("upload-note").textContent =
    `${title(current())} can only draw: it has no encoder to look at photos. ${title(bundle)} has one.`;
  byId("reconstruct").textContent = `Redraw it with ${title(bundle)}`;
  step("align");
  alignment.open(photo);
}

async function reconstruct() {
  const button = byId("reconstruct");
  button.disabled = true;
  try {
    const square = await alignment.cut(OVERSIZE * bundle.image_size);
    const { latents, original } = await api.reconstruct(bundle, square);
    face.remember(latents, original);
    byId("upload-dialog").close();
    go(faceLink({ bundle: bundle.name, face: { latents, edits: {} }, version: bundle.version }));
  } catch (error) {
    tell(error);
  } finally {
    button.disabled = false;
  }
}
