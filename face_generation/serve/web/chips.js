// Chips that say what new faces should have. Each is an attribute that is wanted, not wanted, or left open.

import { ordered } from "./attributes.js";
import { byId, make } from "./dom.js";
import { announce } from "./notices.js";
import { asking } from "./state.js";

const [UNSAID, WITH, WITHOUT] = [0, 1, 2]; // pressing a chip goes through them in this order
const WORDS = ["no preference", "wanted", "not wanted"];
const SIGNS = ["", "✓", "−"];
const CLASSES = ["", "with", "without"];

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./state.js").Asking} Asking
 */

/** @type {Bundle|undefined} The bundle whose chips are shown. */
let bundle;
/** @type {{name: string, label: string, button: HTMLButtonElement, sign: HTMLElement, state: number}[]} */
let chips = [];
/** @type {(asked: Asking) => void} */
let changed;

/** @param {(asked: Asking) => void} onChange Is told what is asked for. */
export function setUp(onChange) {
  changed = onChange;
  byId("asked-none").addEventListener("click", () => {
    for (const chip of chips) chip.state = UNSAID;
    tell();
    chips[0].button.focus(); // the button is hidden now
    announce("Cleared all preferences");
  });
}

/**
 * Shows what faces of a bundle are asked to have.
 * @param {Bundle} about
 * @param {Asking} asked
 */
export function show(about, asked) {
  if (about !== bundle) build(about);
  for (const chip of chips)
    chip.state = asked.with?.includes(chip.name) ? WITH : asked.without?.includes(chip.name) ? WITHOUT : UNSAID;
  byId("asked-further", HTMLDetailsElement).open ||= chips.some(
    ({ button, state }) => state !== UNSAID && byId("asked-more").contains(button),
  );
  tidy();
}

/** @param {Bundle} about */
function build(about) {
  bundle = about;
  byId("asked").hidden = !about.attributes.length;
  const { first, more } = ordered(about.attributes);
  chips = [];
  byId("asked-first").replaceChildren(...first.map(chip));
  byId("asked-more").replaceChildren(...more.map(chip));
  byId("asked-further").hidden = !more.length;
  byId("asked-count").textContent = String(more.length);
}

/** @param {{name: string, label: string}} attribute */
function chip({ name, label }) {
  const sign = make("span", { "aria-hidden": "true", className: "sign" });
  const button = make("button", { type: "button", id: `ask-${name}` }, sign, label);
  const each = { name, label, button, sign, state: UNSAID };
  chips.push(each);
  button.addEventListener("click", () => {
    each.state = (each.state + 1) % WORDS.length;
    tell();
    announce(`${label}: ${WORDS[each.state]}`);
  });
  return make("li", {}, button);
}

function tell() {
  tidy();
  /** @param {number} wanted */
  const names = (wanted) => chips.filter((each) => each.state === wanted).map(({ name }) => name);
  changed(asking({ with: names(WITH), without: names(WITHOUT) }));
}

function tidy() {
  for (const { label, button, sign, state } of chips) {
    sign.textContent = SIGNS[state];
    button.className = `chip ${CLASSES[state]}`;
    button.setAttribute("aria-label", `${label}: ${WORDS[state]}`);
  }
  byId("asked-none").hidden = chips.every(({ state }) => state === UNSAID);
}
