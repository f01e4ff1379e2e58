// Undoes and redoes steps.

const PAUSE = 800; // milliseconds after which a move of the same slider is another step

/** @template T */
export class Undo {
  /** @type {T[]} */
  #states = [];
  #at = -1;
  /** @type {{what?: string, time: number}} The slider that made the newest state, and when. */
  #last = { time: -Infinity };

  /** Forgets all steps. */
  clear() {
    this.#states = [];
    this.#at = -1;
    this.#last = { time: -Infinity };
  }

  /**
   * Adds the current state. Steps that were undone are forgotten.
   * @param {T} state
   * @param {string} [what] The slider that made it. Several moves of one slider are one step.
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
   * @param {1|-1} way −1 undoes a step, 1 redoes it.
   * @returns {T|undefined} The state after the step; undefined if there is no such step.
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
