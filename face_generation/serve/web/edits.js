// The sliders that change a face: some have names of attributes, and some only a number.

import { grouped } from "./attributes.js";
import { buttonById, byId, fillRange, make, setRange } from "./dom.js";

const ATTRIBUTE_REACH = 3; // to either side; 1 is the mean difference between faces with the attribute and without it
const PRINCIPAL_REACH = 4; // standard deviations
const STEP = 0.05;
const SURPRISE = [0.8, 2]; // strengths of random edits: strong enough to be seen, and weak enough for a face

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./attributes.js").Group} Group
 * @typedef {Object<string, number>} Strengths By name.
 */

/** @type {Bundle|undefined} The bundle whose sliders are shown. */
let bundle;
/** @type {Map<string, {row: HTMLElement, input: HTMLInputElement, value: HTMLElement, button: HTMLButtonElement}>} */
let rows = new Map();
/** @type {string[]} The edits that work best. */
let best = [];
/** @type {(edits: Strengths, what?: string) => void} */
let changed;

/**
 * @param {(edits: Strengths, what?: string) => void} onChange Is told all strengths that are not 0, and which slider
 *   was moved.
 */
export function setUp(onChange) {
  changed = onChange;
  const panel = byId("edits");
  panel.addEventListener("input", ({ target }) => isSlider(target) && moved(target.id));
  panel.addEventListener("dblclick", ({ target }) => isSlider(target) && reset(target));
  panel.addEventListener("keydown", (event) => {
    if (!isSlider(event.target) || !["Delete", "Backspace"].includes(event.key)) return;
    event.preventDefault();
    reset(event.target);
  });
}

/**
 * @param {EventTarget|null} target
 * @returns {target is HTMLInputElement}
 */
const isSlider = (target) => target instanceof HTMLInputElement && target.type === "range";

/**
 * Shows the edits of a face.
 * @param {Bundle} about
 * @param {Strengths} edits
 */
export function show(about, edits) {
  if (about !== bundle) build(about);
  for (const [name, { input }] of rows) setRange(input, edits[name] ?? 0);
  tidy();
}

/** Sets all edits to 0. */
export function resetAll() {
  for (const { input } of rows.values()) setRange(input, 0);
  moved();
}

/** Replaces the edits by a few random ones. */
export function surprise() {
  const some = [...best].sort(() => Math.random() - 0.5).slice(0, 2 + Math.floor(3 * Math.random()));
  for (const [name, { input }] of rows) {
    const strength = SURPRISE[0] + (SURPRISE[1] - SURPRISE[0]) * Math.random();
    setRange(input, some.includes(name) ? Math.sign(Math.random() - 0.5) * strength : 0);
  }
  moved();
}

/** @param {HTMLInputElement} input */
function reset(input) {
  setRange(input, 0);
  moved();
}

/** @param {string} [what] The slider that was moved, if one was. */
function moved(what) {
  tidy();
  changed(values(), what);
}

function values() {
  const strengths = [...rows].map(([name, { input }]) => [name, Number(input.value)]);
  return Object.fromEntries(strengths.filter(([, strength]) => strength !== 0));
}

function tidy() {
  for (const { row, input, value, button } of rows.values()) {
    const strength = Number(input.value);
    fillRange(input);
    value.textContent = strength === 0 ? "" : signed(strength);
    input.setAttribute("aria-valuetext", strength === 0 ? "0, unchanged" : signed(strength));
    row.classList.toggle("set", strength !== 0);
    button.disabled = strength === 0;
  }
  if (rows.size) buttonById("reset-all").disabled = !Object.keys(values()).length;
}

/** @param {number} strength */
const signed = (strength) => `${strength > 0 ? "+" : "−"}${Math.abs(strength).toFixed(2).replace(/0$/, "")}`;

/** @param {Bundle} about */
function build(about) {
  bundle = about;
  rows = new Map();
  best = [];
  const panel = byId("edits");
  const { attributes, principal } = about.directions;
  if (!attributes.length && !principal.length) {
    panel.replaceChildren(make("p", { className: "lead" }, "This model has no edits."));
    return;
  }
  const chance = make("button", { type: "button", id: "surprise", onclick: surprise }, "Surprise me");
  const button = make("button", { type: "button", id: "reset-all", onclick: resetAll }, "Reset all");
  const buttons = make("div", { className: "actions" }, chance, button);
  const words = make(
    "p",
    { className: "note" },
    "Each slider changes one thing that the model has learned. Other things may change with it.",
  );
  const { first, more } = grouped(attributes);
  best = (first.length ? first.flatMap((group) => group.attributes) : principal).map(({ name }) => name);
  panel.replaceChildren(make("div", { className: "edits-head" }, words, buttons));
  if (first.length) panel.append(groups(first));
  const count = more.reduce((sum, { attributes }) => sum + attributes.length, 0);
  if (count)
    panel.append(
      further(
        `More attributes (${count})`,
        "The model knows these less well, or they are opinions. CelebA’s annotators chose the names and the opinions.",
        groups(more),
      ),
    );
  if (principal.length) {
    const sliders = principal.map(({ name, label }) => slider(name, label, PRINCIPAL_REACH));
    const unnamed = further(
      `Unnamed directions (${principal.length})`,
      "These change the pictures most. Nobody has named what they change; it is often light, background and pose.",
      make("div", { className: "groups" }, ...sliders),
    );
    unnamed.open = !first.length;
    panel.append(unnamed);
  }
}

/** @param {Group[]} list */
function groups(list) {
  const sets = list.map(({ title, attributes }) =>
    make(
      "fieldset",
      { className: "group" },
      make("legend", {}, title),
      ...attributes.map(({ name, label }) => slider(name, label, ATTRIBUTE_REACH)),
    ),
  );
  return make("div", { className: "groups" }, ...sets);
}

/**
 * @param {string} title
 * @param {string} words
 * @param {Node} content
 */
function further(title, words, content) {
  return make(
    "details",
    { className: "edits-more" },
    make("summary", {}, title),
    make("p", { className: "note" }, words),
    content,
  );
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} reach
 */
function slider(name, text, reach) {
  const id = `edit-${name}`;
  const label = make("label", { htmlFor: id }, text);
  const value = make("span", { className: "value", "aria-hidden": "true" });
  const input = make("input", { type: "range", id, min: -reach, max: reach, step: STEP, value: 0 });
  const button = make("button", { type: "button", "aria-label": `Reset ${text}`, title: "Reset" }, "↺");
  button.addEventListener("click", () => {
    reset(input);
    input.focus();
  });
  const row = make("div", { className: "slider" }, label, value, button, input);
  rows.set(name, { row, input, value, button });
  return row;
}
