// Dialogs: what all have in common, the model's card, help, the API key, and a link that could not be copied.

import { byId } from "./dom.js";
import { render } from "./markdown.js";

/** Has every dialog close by its × and by a click beside it. */
export function setUp() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
    if (dialog.id === "key-dialog") continue;
    dialog.addEventListener("pointerdown", (event) => {
      if (event.target === dialog && isOutside(dialog, event)) dialog.close();
    });
  }
}

function isOutside(dialog, { clientX, clientY }) {
  const box = dialog.getBoundingClientRect();
  return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}

/** Shows a model's card, which is Markdown. */
export function showCard(title, markdown) {
  byId("card-title").textContent = title;
  byId("card").replaceChildren(...render(markdown));
  byId("card-dialog").showModal();
  byId("card").scrollTop = 0;
}

export function showHelp() {
  byId("help-dialog").showModal();
}

export function showLink(address) {
  byId("link").value = address;
  byId("link-dialog").showModal();
  byId("link").select();
}

/**
 * Asks for the API key.
 * @param {boolean} again Whether one was given that is not right.
 * @returns {Promise<string>}
 */
export function askForKey(again) {
  const dialog = byId("key-dialog");
  byId("key-text").textContent = again
    ? "That key is not right. Check it, and try again."
    : "Who runs it can give you one. It is kept until you close this tab.";
  byId("key").value = "";
  dialog.showModal();
  const stay = (event) => event.preventDefault(); // nothing works without a key
  dialog.addEventListener("cancel", stay);
  return new Promise((resolve) => {
    byId("key-form").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        dialog.removeEventListener("cancel", stay);
        dialog.close();
        resolve(byId("key").value.trim());
      },
      { once: true },
    );
  });
}
