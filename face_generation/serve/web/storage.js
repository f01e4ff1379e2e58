// What the browser keeps for the page, if people allow it.

/**
 * @template T
 * @param {string} name
 * @param {T} otherwise Is returned if nothing is kept, or if it is damaged.
 * @returns {T}
 */
export function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "null") ?? otherwise;
  } catch {
    return otherwise;
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {boolean} Whether it is kept.
 */
export function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false; // the storage is full, or people have not allowed it
  }
}
