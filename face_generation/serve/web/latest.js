// Keeps a moving slider live: one request runs at a time, and then comes the newest one.

/**
 * @template {any[]} Wish
 * @param {(...wish: Wish) => Promise<void>} work
 * @returns {(...wish: Wish) => Promise<void>} Calls `work`, but not while it runs. After that, it is called with the
 *   newest arguments, and older ones are dropped.
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
