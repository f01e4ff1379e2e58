// Keeps a moving slider live: one request is under way at a time, and the newest wish comes next.

/**
 * @param {function(...any): Promise<void>} work
 * @returns A function that has `work` done for the newest of its calls; those that came too soon are left out.
 */
export function latest(work) {
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
