// Latents are the numbers that a face is drawn from. Here they become text and back, and are interpolated and mixed.

/**
 * Writes latents as text that fits into an address: little-endian float32 in base64url.
 * @param {number[]} latents
 */
export function encodeLatents(latents) {
  const view = new DataView(new ArrayBuffer(4 * latents.length));
  latents.forEach((value, i) => view.setFloat32(4 * i, value, true));
  const letters = Array.from(new Uint8Array(view.buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Reads latents that `encodeLatents` wrote.
 * @param {string} text
 * @returns {number[]} Empty if the text is cut off, or if not all of it is finite numbers.
 * @throws {DOMException} The text is not base64url.
 */
export function decodeLatents(text) {
  const letters = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const view = new DataView(Uint8Array.from(letters, (letter) => letter.charCodeAt(0)).buffer);
  const latents = Array.from({ length: Math.floor(view.byteLength / 4) }, (_, i) => view.getFloat32(4 * i, true));
  return view.byteLength % 4 || !latents.every(Number.isFinite) ? [] : latents;
}

/**
 * Spherical interpolation between two faces, as in `face_generation.generator.latents.slerp`.
 * @param {number[]} start
 * @param {number[]} end
 * @param {number} amount From 0 (the start) to 1 (the end).
 */
export function slerp(start, end, amount) {
  if (amount === 0 || amount === 1) return amount ? end : start;
  const [a, b] = [length(start), length(end)];
  const cosine = a && b ? start.reduce((sum, value, i) => sum + (value / a) * (end[i] / b), 0) : 1;
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (!(angle > 1e-4 && angle < Math.PI - 1e-4))
    return start.map((value, i) => Math.fround((1 - amount) * value + amount * end[i]));
  const far = ((1 - amount) * a + amount * b) / Math.sin(angle);
  const [near, other] = [(far * Math.sin((1 - amount) * angle)) / a, (far * Math.sin(amount * angle)) / b];
  return start.map((value, i) => Math.fround(near * value + other * end[i]));
}

/**
 * Mixes several faces. The result has the weighted mean of their directions and the weighted mean of their lengths. Two
 * faces with equal shares give the middle of the way between them.
 * @param {{latents: number[], share: number}[]} parts At least one has a share above 0.
 */
export function mix(parts) {
  const present = parts.filter(({ share }) => share > 0);
  if (present.length === 1) return present[0].latents;
  const total = parts.reduce((sum, { share }) => sum + share, 0);
  const mean = parts[0].latents.map(() => 0);
  let goal = 0;
  for (const { latents, share } of parts) {
    const far = length(latents) || 1;
    latents.forEach((value, i) => (mean[i] += ((share / total) * value) / far));
    goal += (share / total) * far;
  }
  const far = length(mean) || 1;
  return mean.map((value) => Math.fround((value / far) * goal));
}

/** @param {number[]} latents */
const length = (latents) => Math.hypot(...latents);
