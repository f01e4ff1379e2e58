// Keeps a moving slider live: one request is under way at a time, and the newest wish comes next.

/**
 * @template {any[]} Wish
 * @param {(...wish: Wish) => Promise<void>} work
 * @returns {(...wish: Wish) => Promise<void>} Has `work` done for the newest of its calls; those that came too soon are
 *   left out.
 */
export function latest(work) {
  /** @type {Wish|undefined} */
  let next;
  let busy = false;
  return async (...wish) => {
    next = wish;
    if (busy) return;
    busy = true;
    try {
      while (next) {
        const now = next;
        next = undefined;
        await work(...now);
      }
    } finally {
      busy = false;
    }
  };
}
