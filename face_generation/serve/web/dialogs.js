// Dialogs: what they have in common, and those of the model's card, help, the API key, and texts to copy.

import { byId, dialogById, inputById, make } from "./dom.js";
import { render } from "./markdown.js";
import { notice } from "./notices.js";

/** Makes every dialog close by its × and by a click beside it. */
export function setUp() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
    if (dialog.id === "key-dialog") continue;
    dialog.addEventListener("pointerdown", (event) => {
      if (event.target === dialog && isOutside(dialog, event)) dialog.close();
    });
  }
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {PointerEvent} event
 */
function isOutside(dialog, { clientX, clientY }) {
  const box = dialog.getBoundingClientRect();
  return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}

/**
 * Shows a model's card.
 * @param {string} title
 * @param {string} markdown
 */
export function showCard(title, markdown) {
  byId("card-title").textContent = title;
  byId("card").replaceChildren(...render(markdown));
  dialogById("card-dialog").showModal();
  byId("card").scrollTop = 0;
}

export function showHelp() {
  dialogById("help-dialog").showModal();
}

/**
 * Copies a text. If the browser does not let the page do so, shows it, so that people can copy it.
 * @param {string} text
 * @param {string} done The notice after it is copied.
 */
export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    notice(done);
  } catch {
    inputById("link").value = text; // people have not allowed it, or there is no HTTPS
    dialogById("link-dialog").showModal();
    inputById("link").select();
  }
}

/**
 * Shows how to draw a face without the page.
 * @param {{title: string, text: string}[]} recipes
 */
export function showRecipes(recipes) {
  const parts = recipes.map(({ title, text }) => {
    const button = make("button", { type: "button", "aria-label": `Copy: ${title}` }, "Copy");
    button.addEventListener("click", () => copy(text, "Copied."));
    const code = make("pre", { tabIndex: 0, role: "region", "aria-label": title }, make("code", {}, text));
    return make("div", { className: "recipe" }, make("h3", {}, title), button, code);
  });
  byId("recipes").replaceChildren(...parts);
  dialogById("recipes-dialog").showModal();
}

/**
 * Asks for the API key.
 * @param {boolean} again Whether a wrong key was given before.
 * @returns {Promise<string>}
 */
export function askForKey(again) {
  const dialog = dialogById("key-dialog");
  byId("key-text").textContent = again
    ? "That key is not right. Check it, and try again."
    : "Whoever runs it can give you one. It is kept until you close this tab.";
  inputById("key").value = "";
  dialog.showModal();
  /** @param {Event} event */
  const stay = (event) => event.preventDefault(); // nothing works without a key
  dialog.addEventListener("cancel", stay);
  return new Promise((resolve) => {
    byId("key-form").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        dialog.removeEventListener("cancel", stay);
        dialog.close();
        resolve(inputById("key").value.trim());
      },
      { once: true },
    );
  });
}
