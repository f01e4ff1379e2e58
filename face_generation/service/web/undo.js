// Steps that can be taken back and made again.

const PAUSE = 800; // milliseconds; changes that follow each other sooner are one step, such as those of a moving slider

/** @template T */
export class Undo {
  /** @type {T[]} */
  #states = [];
  #at = -1;
  #last = -Infinity; // when the newest state came

  /** Forgets all steps. */
  clear() {
    this.#states = [];
    this.#at = -1;
    this.#last = -Infinity;
  }

  /**
   * Says what is there now. What was taken back before is forgotten.
   * @param {T} state
   */
  add(state) {
    if (this.#at >= 0 && JSON.stringify(state) === JSON.stringify(this.#states[this.#at])) return;
    const now = performance.now();
    const same = now - this.#last < PAUSE && this.#at > 0 && this.#at === this.#states.length - 1;
    this.#last = now;
    this.#at += same ? 0 : 1;
    this.#states.splice(this.#at, Infinity, state);
  }

  /**
   * @param {1|-1} way −1 takes a step back, 1 makes it again.
   * @returns {T|undefined} What is there then, if there is such a step.
   */
  step(way) {
    if (!this.can(way)) return undefined;
    this.#at += way;
    this.#last = -Infinity;
    return this.#states[this.#at];
  }

  /** @param {1|-1} way */
  can(way) {
    return this.#at + way >= 0 && this.#at + way < this.#states.length;
  }
}
