// The dialog in which people choose a face: by its number, at random, from a photo, or one that they kept.

import { backend } from "./backend.js";
import { known } from "./bundles.js";
import { byId, dialogById, inputById, make, onClick } from "./dom.js";
import { links } from "./kept.js";
import { notice } from "./notices.js";
import { BadLink, isSeed, LAST_SEED, parse, randomSeed } from "./state.js";
import { Complaint, fill } from "./tiles.js";
import * as upload from "./upload.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {import("./state.js").Asking} Asking
 * @typedef {import("./state.js").Face} Face
 */

const SHOWN = 24; // kept faces that are shown

/** @type {Catalogue} */
let catalogue;
/** @type {(face: Face|undefined) => void} */
let done = () => {};
/** @type {{bundle: Bundle, how: Asking}} The bundle of the face, and how it is drawn. */
let wanted;
/** @type {Complaint} */
let complaint;

/** @param {Catalogue} about */
export function setUp(about) {
  catalogue = about;
  complaint = new Complaint(byId("picker-kept"));
  byId("picker-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = inputById("picker-seed").value.trim();
    if (isSeed(text)) finish({ seed: Number(text), ...wanted.how, edits: {} });
    else notice(`A face’s number is a whole number from 0 to ${LAST_SEED}.`);
  });
  onClick("picker-random", () => finish({ seed: randomSeed(), ...wanted.how, edits: {} }));
  onClick("picker-photo", () => upload.open((bundle, latents) => finish({ latents, edits: {} }), wanted.bundle));
  dialogById("picker-dialog").addEventListener("close", () => finish(undefined));
}

/**
 * Lets people choose a face.
 * @param {Bundle} bundle
 * @param {Asking} how How the face is drawn if it is chosen by its number.
 * @returns {Promise<Face|undefined>} Undefined if they choose none.
 */
export function pick(bundle, how) {
  wanted = { bundle, how };
  inputById("picker-seed").value = "";
  byId("picker-photo").hidden = !bundle.has_encoder;
  showKept();
  dialogById("picker-dialog").showModal();
  return new Promise((resolve) => (done = resolve));
}

/** @param {Face|undefined} face */
function finish(face) {
  const tell = done;
  done = () => {};
  dialogById("picker-dialog").close();
  tell(face);
}

function showKept() {
  complaint.hide();
  const all = [...new Set([...links("favourites"), ...links("recent")])].flatMap((link) => faceOf(link) ?? []);
  const tiles = all.slice(0, SHOWN).map((face) => {
    const image = make("img", { alt: "" });
    const label = face.seed === undefined ? "A face that you kept" : `Face ${face.seed}, which you kept`;
    const button = make("button", { type: "button", className: "picture", "aria-label": label }, image);
    button.addEventListener("click", () => finish(face));
    const picture = backend.draw(wanted.bundle, face, { as: "tile" });
    fill(button, image, picture).catch((error) => complaint.show(error, showKept));
    return button;
  });
  byId("picker-kept").replaceChildren(...tiles);
  byId("picker-none").hidden = tiles.length > 0;
}

/**
 * @param {string} link
 * @returns {Face|undefined} Undefined if the face has another bundle, or cannot be drawn any more.
 */
function faceOf(link) {
  try {
    const state = known(parse(link), catalogue);
    return state.face && state.bundle === wanted.bundle ? state.face : undefined;
  } catch (error) {
    if (error instanceof BadLink) return undefined;
    throw error;
  }
}
