// Saves pictures as files: one face as a PNG, or many in an archive.

import { backend } from "./backend.js";
import { buttonById, save } from "./dom.js";
import { notice, tell } from "./notices.js";
import { zip } from "./zip.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./state.js").Face} Face
 */

const AT_ONCE = 4; // faces that are drawn at the same time

/**
 * The name of a face's file, without suffix.
 * @param {Bundle} bundle
 * @param {Face} face
 */
const fileName = (bundle, face) => `${bundle.name}-${face.seed ?? "face"}`;

/**
 * Saves a face as a PNG with the exact pixels.
 * @param {Bundle} bundle
 * @param {Face} face
 */
export async function saveOne(bundle, face) {
  try {
    save(await backend.draw(bundle, face, { as: "file" }), `${fileName(bundle, face)}.png`);
  } catch (error) {
    tell(error);
  }
}

/**
 * Saves many faces as PNGs in an archive.
 * @param {{bundle: Bundle, face: Face}[]} faces
 * @param {string} name The archive's name.
 * @param {string} buttonId The button that was pressed, which shows the progress.
 */
export async function saveMany(faces, name, buttonId) {
  const button = buttonById(buttonId);
  const said = button.textContent;
  button.disabled = true;
  try {
    const contents = [];
    for (let i = 0; i < faces.length; i += AT_ONCE) {
      button.textContent = `${i} of ${faces.length}`;
      const some = faces.slice(i, i + AT_ONCE);
      contents.push(...(await Promise.all(some.map(({ bundle, face }) => backend.draw(bundle, face, { as: "file" })))));
    }
    const names = distinct(faces.map(({ bundle, face }) => fileName(bundle, face)));
    save(await zip(contents.map((content, i) => ({ name: `${names[i]}.png`, content }))), name);
    notice(`Saved ${faces.length} faces.`);
  } catch (error) {
    tell(error);
  } finally {
    button.disabled = false;
    button.textContent = said;
  }
}

/** Adds a number to names that are not the first of their kind. @param {string[]} names */
function distinct(names) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}-${count}`;
  });
}
