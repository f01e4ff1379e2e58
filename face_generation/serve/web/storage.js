// What the browser keeps for the page, where people let it.

/**
 * @template T
 * @param {string} name
 * @param {T} otherwise Where nothing is kept, or nothing of use.
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
    return false; // full, or not allowed
  }
}
