// Squares for pictures that are being drawn. A square waits, shows its picture, or says that it failed.

import { byId, make, showPicture } from "./dom.js";
import { explain, isAborted, notice } from "./notices.js";

/**
 * Shows a picture in a square as soon as it arrives. Until then, the square keeps its old picture and marks it, or
 * shimmers if it has none.
 * @param {Element} square With the class "picture".
 * @param {HTMLImageElement} image
 * @param {Promise<Blob>} picture
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>} Rejects if no picture comes.
 */
export async function fill(square, image, picture, signal) {
  square.classList.remove("failed");
  square.classList.add("stale");
  try {
    const blob = await picture;
    signal?.throwIfAborted();
    await showPicture(image, blob);
    square.classList.remove("stale");
    square.classList.add("ready");
  } catch (error) {
    if (!isAborted(error)) {
      square.classList.remove("stale", "ready");
      square.classList.add("failed");
    }
    throw error;
  }
}

/**
 * Removes what a square shows.
 * @param {Element} square
 */
export function empty(square) {
  square.classList.remove("ready", "stale", "failed");
}

/** A line above pictures, which says that they could not be loaded. It has a button to try again. */
export class Complaint {
  /** @param {Element} place The element below the line. */
  constructor(place) {
    this.text = make("span");
    this.button = make("button", { type: "button" }, "Try again");
    this.line = make("p", { className: "complaint", role: "alert", hidden: true }, this.text, this.button);
    place.before(this.line);
  }

  /**
   * Says what went wrong, unless nobody waits for it any more.
   * @param {unknown} error
   * @param {() => void} again
   */
  show(error, again) {
    const text = explain(error);
    if (!text) return;
    this.text.textContent = `The pictures could not be loaded. ${text}`;
    this.line.hidden = false;
    if (!this.#isInSight()) notice(this.text.textContent, 9);
    this.button.onclick = () => {
      this.hide();
      again();
    };
  }

  hide() {
    this.line.hidden = true;
  }

  /** Whether the line is on the screen, and no dialog covers it. */
  #isInSight() {
    const { top, bottom } = this.line.getBoundingClientRect();
    const dialog = byId("messages").closest("dialog"); // the uppermost one
    return bottom > 0 && top < innerHeight && (!dialog || dialog.contains(this.line));
  }
}
