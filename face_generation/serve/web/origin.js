// Writes into pictures that a network drew them, and how. The format is that of `generator/origin.py`, which reads it.

/**
 * @typedef {import("./state.js").Face} Face
 *
 * What a picture says about itself. The recipe is JSON.
 * @typedef {{software: string, recipe: string}} Origin
 */

const SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/**
 * How a face was drawn. If the face may come from a photo, only the bundle is named.
 * @param {{name: string, version: string, truncation: number}} bundle
 * @param {Face} [face] Undefined for an animation.
 */
export function recipeOf({ name, version, truncation }, face) {
  /** @type {Object<string, unknown>} */
  const said = { bundle: name, version };
  if (face?.seed !== undefined && !Array.isArray(face.toward)) {
    const attributes = Object.fromEntries([
      ...(face.with ?? []).map((attribute) => [attribute, 1]),
      ...(face.without ?? []).map((attribute) => [attribute, -1]),
    ]);
    const { seed, edits, toward, amount } = face;
    Object.assign(said, { mode: "sample", seed, truncation: face.truncation ?? truncation, attributes, edits });
    if (toward !== undefined) Object.assign(said, { toward, amount });
  }
  // The text of a PNG may only have these letters.
  return JSON.stringify(said).replace(
    /[^ -~]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * The XMP packet of an origin.
 * @param {Origin} origin
 */
export function packet({ software, recipe }) {
  return new TextEncoder().encode(
    `<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:faces="urn:face-generation"
 xmp:CreatorTool="${software}" Iptc4xmpExt:DigitalSourceType="${SYNTHETIC}" faces:recipe="${escaped(recipe)}"/>
</rdf:RDF></x:xmpmeta><?xpacket end="r"?>`,
  );
}

/** @param {string} text */
const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
