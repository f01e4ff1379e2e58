// Finding, making and filling elements.

/**
 * The element with an id.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind] What it must be.
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof (kind ?? HTMLElement))) throw new Error(`the page has no such element: ${id}`);
  return /** @type {T} */ (/** @type {unknown} */ (element));
}

/** @param {string} id */
export const inputById = (id) => byId(id, HTMLInputElement);

/** @param {string} id */
export const buttonById = (id) => byId(id, HTMLButtonElement);

/** @param {string} id */
export const imageById = (id) => byId(id, HTMLImageElement);

/** @param {string} id */
export const dialogById = (id) => byId(id, HTMLDialogElement);

/**
 * Makes an element with children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Object<string, any>} properties The element's properties; a name with a hyphen is an attribute.
 * @param {...(Node|string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else Object.assign(element, { [name]: value });
  }
  element.append(...children);
  return element;
}

/**
 * Does something when an element is clicked.
 * @param {string} id
 * @param {() => void} action
 */
export function onClick(id, action) {
  byId(id).addEventListener("click", () => action());
}

/** @type {WeakMap<HTMLImageElement, string>} The address of the picture that an image element will show next. */
const wanted = new WeakMap();
/** @type {WeakMap<HTMLImageElement, string>} The address of the picture that it shows now. */
const shown = new WeakMap();

/**
 * Shows a picture in an image element, and frees the one that it showed before.
 *
 * The picture is decoded first, because otherwise the element may be empty for a moment.
 * @param {HTMLImageElement} image
 * @param {Blob} blob
 */
export async function showPicture(image, blob) {
  const address = URL.createObjectURL(blob);
  wanted.set(image, address);
  const ahead = make("img", { src: address });
  await ahead.decode().catch(() => {});
  if (wanted.get(image) === address) {
    image.src = address;
    const before = shown.get(image);
    if (before) URL.revokeObjectURL(before);
    shown.set(image, address);
  } else URL.revokeObjectURL(address); // a newer one has arrived in the meantime
}

/**
 * Makes the browser save a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * Colours a slider from 0 to its thumb, or from its left end if it has no negative values.
 * @param {HTMLInputElement} input
 */
export function fillRange(input) {
  const [low, high] = [Number(input.min), Number(input.max)];
  /** @param {number} value */
  const share = (value) => (value - low) / (high - low);
  const zero = low < 0 ? share(0) : -1; // -1 is beyond the left end, so that there is no gap
  const ends = [zero, share(Number(input.value))].sort((a, b) => a - b);
  input.style.setProperty("--low", String(ends[0]));
  input.style.setProperty("--high", String(ends[1]));
}

/**
 * Sets a slider's value.
 * @param {HTMLInputElement} input
 * @param {number} value
 */
export function setRange(input, value) {
  input.value = String(value);
  fillRange(input);
}
