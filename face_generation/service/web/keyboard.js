// Single-key shortcuts. They can be switched off, for those who talk to their computer or whose fingers slip.

import { byId } from "./dom.js";

const OFF = "shortcuts-off"; // in localStorage

/**
 * @param {function(string): (function(): void)|undefined} find What a key does where the page is now, if anything.
 */
export function setUp(find) {
  byId("shortcuts").checked = !localStorage.getItem(OFF);
  byId("shortcuts").addEventListener("change", ({ target }) => {
    if (target.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "yes");
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || isTyping(event)) return;
    if (event.key !== "Escape" && !byId("shortcuts").checked) return;
    const action = find(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Whether the key belongs to what has the focus. */
function isTyping({ key, target }) {
  if (target.matches("select, textarea, input:not([type='range'])")) return true;
  return key === " " && target.matches("button, summary, input, a:not(.tile)");
}
