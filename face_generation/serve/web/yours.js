// The view of the faces that this browser keeps: favourites, and recently viewed ones.

import { backend } from "./backend.js";
import { known, title } from "./bundles.js";
import { byId, make, onClick } from "./dom.js";
import { saveMany } from "./download.js";
import { forget, links } from "./kept.js";
import { BadLink, parse } from "./state.js";
import { Complaint, fill } from "./tiles.js";

/**
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {import("./bundles.js").KnownFace} KnownFace
 * @typedef {import("./kept.js").List} List
 */

/** @type {List[]} */
const LISTS = ["favourites", "recent"];

/** @type {Catalogue} */
let catalogue;
let drawing = new AbortController();
/** @type {Complaint} */
let complaint;

/** @param {Catalogue} about */
export function setUp(about) {
  catalogue = about;
  complaint = new Complaint(byId("favourites-part"));
  onClick("save-favourites", () => saveMany(facesOf("favourites"), "faces.zip", "save-favourites"));
  onClick("clear-recent", () => {
    forget("recent");
    show();
    byId("yours-title").focus();
  });
}

/** Shows the kept faces. */
export function show() {
  complaint.hide();
  drawing.abort();
  drawing = new AbortController();
  for (const list of LISTS) {
    const faces = facesOf(list);
    byId(list).replaceChildren(...faces.map((face) => tile(face, list)));
    byId(`${list}-part`).hidden = !faces.length;
  }
  byId("yours-none").hidden = LISTS.some((list) => facesOf(list).length);
}

/** @param {List} list */
const facesOf = (list) => links(list).flatMap((link) => faceOf(link) ?? []);

/**
 * @param {string} link
 * @returns {(KnownFace & {link: string})|undefined} Undefined if the face cannot be drawn here, or not any more.
 */
function faceOf(link) {
  try {
    const state = known(parse(link), catalogue);
    return state.face ? { ...state, link } : undefined;
  } catch (error) {
    if (error instanceof BadLink) return undefined;
    throw error;
  }
}

/**
 * @param {KnownFace & {link: string}} state
 * @param {List} list
 */
function tile({ bundle, face, link }, list) {
  const name = face.seed === undefined ? `A face of ${title(bundle)}` : `Face ${face.seed} of ${title(bundle)}`;
  const image = make("img", { alt: name, draggable: false });
  const square = make("a", { className: "tile picture", href: link }, image);
  const remove = make("button", { type: "button", className: "remove", "aria-label": `Forget: ${name}` }, "×");
  const item = make("li", {}, square, remove);
  remove.addEventListener("click", () => {
    forget(list, link);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    if (next) next.querySelector("button")?.focus();
    else {
      show();
      byId("yours-title").focus();
    }
  });
  const { signal } = drawing;
  const picture = backend.draw(bundle, face, { as: "tile", signal });
  fill(square, image, picture, signal).catch((error) => complaint.show(error, show));
  return item;
}
