// Single-key shortcuts. People can switch them off, because speech input and slipping fingers press keys by mistake.

import { inputById } from "./dom.js";
import { read, write } from "./storage.js";

const OFF = "shortcuts-off";

/**
 * @param {(key: string) => (() => void)|undefined} find Gives what a key does in the current view, if anything. With
 *   the control or command key, Z is called "ctrl+z". With shift as well, it is called "ctrl+shift+z".
 */
export function setUp(find) {
  const box = inputById("shortcuts");
  box.checked = !read(OFF, false);
  box.addEventListener("change", () => write(OFF, !box.checked));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.defaultPrevented || !(event.target instanceof Element)) return;
    if (document.querySelector("dialog[open]") || isTyping(event.key, event.target)) return;
    const control = event.ctrlKey || event.metaKey;
    if (!control && event.key !== "Escape" && !box.checked) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = find(`${control ? "ctrl+" : ""}${control && event.shiftKey ? "shift+" : ""}${key}`);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/**
 * Whether a key is meant for the element that has the focus.
 * @param {string} key
 * @param {Element} target
 */
function isTyping(key, target) {
  if (target.matches("select, textarea, input:not([type='range'])")) return true;
  return key === " " && target.matches("button, summary, input, a:not(.tile)");
}
