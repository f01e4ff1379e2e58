// The sliders that change a face: attributes with names, and the strongest directions without.

import { grouped } from "./attributes.js";
import { byId, fillRange, make, setRange } from "./dom.js";

const ATTRIBUTE_REACH = 3; // to either side: 1 is the mean difference between faces with the attribute and without it
const PRINCIPAL_REACH = 4; // standard deviations
const STEP = 0.05;

let bundle; // whose sliders there are
let rows = new Map(); // name → {row, input, value, button}
let changed; // function(edits)

/** @param {function(Object<string, number>): void} onChange Told the strengths, by name, of all that are not 0. */
export function setUp(onChange) {
  changed = onChange;
  const panel = byId("edits");
  panel.addEventListener("input", (event) => event.target.type === "range" && moved());
  panel.addEventListener("dblclick", (event) => event.target.type === "range" && reset(event.target));
  panel.addEventListener("keydown", (event) => {
    if (event.target.type !== "range" || !["Delete", "Backspace"].includes(event.key)) return;
    event.preventDefault();
    reset(event.target);
  });
}

/** Shows the edits of a face. */
export function show(about, edits) {
  if (about !== bundle) build(about);
  for (const [name, { input }] of rows) setRange(input, edits[name] ?? 0);
  tidy();
}

/** Takes all edits back. */
export function resetAll() {
  for (const { input } of rows.values()) setRange(input, 0);
  moved();
}

function reset(input) {
  setRange(input, 0);
  moved();
}

function moved() {
  tidy();
  changed(values());
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
  const button = byId("reset-all");
  if (button) button.disabled = !Object.keys(values()).length;
}

const signed = (strength) => `${strength > 0 ? "+" : "−"}${Math.abs(strength).toFixed(2).replace(/0$/, "")}`;

function build(about) {
  bundle = about;
  rows = new Map();
  const panel = byId("edits");
  const { attributes, principal } = about.directions;
  if (!attributes.length && !principal.length) {
    panel.replaceChildren(make("p", { className: "lead" }, "This model has no directions to edit along."));
    return;
  }
  const button = make("button", { type: "button", id: "reset-all", onclick: resetAll }, "Reset all");
  const words = make(
    "p",
    { className: "note" },
    "What the model learned to tell apart. Other things may change with it.",
  );
  const { first, more } = grouped(attributes);
  panel.replaceChildren(make("div", { className: "edits-head" }, words, button));
  if (first.length) panel.append(groups(first));
  const count = more.reduce((sum, { attributes }) => sum + attributes.length, 0);
  if (count)
    panel.append(
      further(
        `More attributes (${count})`,
        "The model knows these less well, or they are opinions. Names and opinions are those of CelebA’s annotators.",
        groups(more),
      ),
    );
  if (principal.length) {
    const sliders = principal.map(({ name, label }) => slider(name, label, PRINCIPAL_REACH));
    const unnamed = further(
      `Unnamed directions (${principal.length})`,
      "What changes the pictures most, whatever it may be: often light, background and pose.",
      make("div", { className: "groups" }, ...sliders),
    );
    unnamed.open = !first.length;
    panel.append(unnamed);
  }
}

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

function further(title, words, content) {
  return make(
    "details",
    { className: "edits-more" },
    make("summary", {}, title),
    make("p", { className: "note" }, words),
    content,
  );
}

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
