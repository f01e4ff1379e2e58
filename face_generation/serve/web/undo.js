// Steps that can be taken back and made again.

const PAUSE = 800; // milliseconds until what a slider makes is another step

/** @template T */
export class Undo {
  /** @type {T[]} */
  #states = [];
  #at = -1;
  /** @type {{what?: string, time: number}} How, and when, the newest state came. */
  #last = { time: -Infinity };

  /** Forgets all steps. */
  clear() {
    this.#states = [];
    this.#at = -1;
    this.#last = { time: -Infinity };
  }

  /**
   * Says what is there now. What was taken back before is forgotten.
   * @param {T} state
   * @param {string} [what] Which slider made it; what one makes in a row is one step.
   */
  add(state, what) {
    if (this.#at >= 0 && JSON.stringify(state) === JSON.stringify(this.#states[this.#at])) return;
    const now = performance.now();
    const same = what !== undefined && what === this.#last.what && now - this.#last.time < PAUSE;
    this.#last = { what, time: now };
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
    this.#last = { time: -Infinity };
    return this.#states[this.#at];
  }

  /** @param {1|-1} way */
  can(way) {
    return this.#at + way >= 0 && this.#at + way < this.#states.length;
  }
}
