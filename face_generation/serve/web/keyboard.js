// Single-key shortcuts. They can be switched off, for those who talk to their computer or whose fingers slip.

import { inputById } from "./dom.js";
import { read, write } from "./storage.js";

const OFF = "shortcuts-off";

/**
 * @param {(key: string) => (() => void)|undefined} find What a key does where the page is now, if anything. With the
 *   control or command key it is called "ctrl+z"; with shift, too, "ctrl+shift+z".
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
 * Whether a key belongs to what has the focus.
 * @param {string} key
 * @param {Element} target
 */
function isTyping(key, target) {
  if (target.matches("select, textarea, input:not([type='range'])")) return true;
  return key === " " && target.matches("button, summary, input, a:not(.tile)");
}
