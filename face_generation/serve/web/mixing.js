// Mixes several faces. A slider sets how much of each there is. The first one is the open face.

import { backend } from "./backend.js";
import { byId, make, onClick, setRange } from "./dom.js";
import { encodeLatents, mix } from "./latents.js";
import { latest } from "./latest.js";
import { tell } from "./notices.js";
import { pick } from "./picker.js";
import { asking } from "./state.js";
import { Complaint, fill } from "./tiles.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./state.js").Face} Face
 * @typedef {{face: Face, latents: number[], share: number}} Part
 */

const MOST = 6; // parts

/** @type {(face: Face, what?: string) => void} */
let changed;
/** @type {{bundle: Bundle, face: Face}} */
let now;
/** @type {Part[]} */
let parts = [];
/** @type {Map<string, Part[]>} The parts of mixed latents, so that undo and the back button find them again. */
const made = new Map();
/** @type {Complaint} */
let complaint;

/** @param {(face: Face, what?: string) => void} onChange Is told the mixed face, and the slider that was moved. */
export function setUp(onChange) {
  changed = onChange;
  complaint = new Complaint(byId("parts"));
  onClick("add-part", async () => {
    const { bundle, face } = now;
    const other = await pick(bundle, asking(face.latents ? {} : face));
    if (other) await add(other);
  });
}

/**
 * Shows the parts of a face.
 * @param {Bundle} bundle
 * @param {Face} face
 */
export function show(bundle, face) {
  now = { bundle, face };
  const found = face.latents && face.toward === undefined ? made.get(encodeLatents(face.latents)) : undefined;
  parts = (found ?? []).map((part) => ({ ...part }));
  list();
}

/** @param {Face} other */
async function add(other) {
  const { bundle, face } = now;
  try {
    const [own, others] = await Promise.all([
      parts.length ? [] : backend.latents(bundle, { ...face, edits: {} }),
      backend.latents(bundle, other),
    ]);
    if (now.face !== face) return; // another face has been opened in the meantime
    const first = parts.length ? parts : [{ face: { ...face, edits: {} }, latents: own, share: 1 }];
    parts = [...first, { face: other, latents: others, share: 1 }];
    list();
    change();
  } catch (error) {
    tell(error);
  }
}

const settle = latest(async (/** @type {string} */ what) => {
  change(what);
  await new Promise((resolve) => requestAnimationFrame(resolve)); // one mix for each frame of the screen
});

/** @param {string} [what] The slider that was moved. */
function change(what) {
  if (!parts.some(({ share }) => share > 0)) return;
  const latents = mix(parts);
  made.set(
    encodeLatents(latents),
    parts.map((part) => ({ ...part })),
  );
  now.face = { latents, edits: now.face.edits };
  changed(now.face, what);
}

function list() {
  complaint.hide();
  byId("parts").replaceChildren(...parts.map(row));
  byId("parts").hidden = !parts.length;
  byId("add-part").hidden = parts.length >= MOST;
  byId("add-part").textContent = parts.length ? "Add another face" : "Add a face";
  tellShares();
}

/**
 * @param {Part} part
 * @param {number} i
 */
function row(part, i) {
  const image = make("img", { alt: "" });
  const square = make("div", { className: "picture" }, image);
  const name = i === 0 ? "This face" : part.face.seed === undefined ? `Face ${i + 1}` : `Face ${part.face.seed}`;
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.05, id: `part-${i}` });
  const value = make("span", { className: "value", "aria-hidden": "true" });
  input.addEventListener("input", () => {
    part.share = Number(input.value);
    setRange(input, part.share);
    tellShares();
    settle(input.id);
  });
  setRange(input, part.share);
  const remove = make("button", { type: "button", "aria-label": `Leave ${name} out`, title: "Leave out" }, "×");
  remove.addEventListener("click", () => {
    parts = parts.filter((other) => other !== part);
    list();
    change();
    byId("add-part").focus();
  });
  const draw = () => {
    const picture = backend.draw(now.bundle, part.face, { as: "tile" });
    fill(square, image, picture).catch((error) => complaint.show(error, list));
  };
  draw();
  const label = make("label", { htmlFor: `part-${i}` }, name);
  return make("li", {}, square, make("div", { className: "slider" }, label, value, remove, input));
}

function tellShares() {
  const total = parts.reduce((sum, { share }) => sum + share, 0) || 1;
  [...byId("parts").children].forEach((line, i) => {
    const percent = `${Math.round((100 * parts[i].share) / total)} %`;
    const [value, input] = [line.querySelector(".value"), line.querySelector("input")];
    if (value) value.textContent = percent;
    input?.setAttribute("aria-valuetext", percent);
  });
}
