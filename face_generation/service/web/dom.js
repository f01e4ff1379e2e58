// Finding, making and filling elements.

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object<string, any>} properties The element's properties; a name with a hyphen is an attribute.
 * @param {...(Node|string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const wanted = new WeakMap(); // image element → the address of the picture that it is to show
const shown = new WeakMap(); // image element → the address of the picture that it shows

/**
 * Shows a picture in an image element, and gives free the one that it showed before.
 *
 * The picture is decoded beforehand: else the element may be empty for a moment.
 */
export async function showPicture(image, blob) {
  const address = URL.createObjectURL(blob);
  wanted.set(image, address);
  const ahead = make("img", { src: address });
  await ahead.decode().catch(() => {});
  if (wanted.get(image) === address) {
    image.src = address;
    if (shown.has(image)) URL.revokeObjectURL(shown.get(image));
    shown.set(image, address);
  } else URL.revokeObjectURL(address); // a newer one has come meanwhile
}

/** Has the browser save a file. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Colours a slider from its zero, or else from its left end, to its thumb. */
export function fillRange(input) {
  const [low, high] = [Number(input.min), Number(input.max)];
  const share = (value) => (value - low) / (high - low);
  const zero = low < 0 ? share(0) : -1; // beyond the left end, so that no gap is left there
  const ends = [zero, share(Number(input.value))].sort((a, b) => a - b);
  input.style.setProperty("--low", ends[0]);
  input.style.setProperty("--high", ends[1]);
}

/** Sets a slider's value. */
export function setRange(input, value) {
  input.value = value;
  fillRange(input);
}
