// Sorts a model's attributes for people: in groups, in plain words, those that work best first.

const SHOWN = 12; // attributes that are shown at once; the others are one click away

// What people ask for most. If a model offers these, they come first.
const COMMON =
  `smiling eyeglasses male young wearing_hat blond_hair black_hair brown_hair gray_hair bangs wavy_hair bald
  mustache no_beard wearing_lipstick`.split(/\s+/);

/** @typedef {import("./backend.js").Trait} Trait */
/** @typedef {{title: string, attributes: {name: string, label: string}[]}} Group */

/** @type {Object<string, Object<string, string>>} */
const GROUPS = {
  Expression: {
    smiling: "Smile",
    mouth_slightly_open: "Open mouth",
    high_cheekbones: "High cheekbones",
    narrow_eyes: "Narrow eyes",
  },
  "Age and gender": { young: "Young", male: "Masculine" },
  Hair: {
    blond_hair: "Blond",
    brown_hair: "Brown",
    black_hair: "Black",
    gray_hair: "Grey",
    bangs: "Bangs",
    straight_hair: "Straight",
    wavy_hair: "Wavy",
    bald: "Bald",
    receding_hairline: "Receding hairline",
  },
  Beard: {
    no_beard: "Clean-shaven",
    "5_o_clock_shadow": "Stubble",
    goatee: "Goatee",
    mustache: "Moustache",
    sideburns: "Sideburns",
  },
  "Glasses, hats and make-up": {
    eyeglasses: "Glasses",
    wearing_hat: "Hat",
    wearing_lipstick: "Lipstick",
    heavy_makeup: "Make-up",
    wearing_earrings: "Earrings",
    wearing_necklace: "Necklace",
    wearing_necktie: "Necktie",
  },
  Features: {
    arched_eyebrows: "Arched eyebrows",
    bushy_eyebrows: "Bushy eyebrows",
    rosy_cheeks: "Rosy cheeks",
    pointy_nose: "Pointed nose",
    oval_face: "Oval face",
  },
};

// These are judgements rather than things to see, so they are never among the first.
const JUDGEMENTS = new Set("attractive bags_under_eyes big_lips big_nose chubby double_chin pale_skin".split(" "));

/**
 * Sorts what a model can be asked to draw.
 * @param {Trait[]} attributes
 * @returns {{first: Trait[], more: Trait[]}} The most common ones, and the others.
 */
export function ordered(attributes) {
  const first = COMMON.flatMap((name) => attributes.find((each) => each.name === name) ?? []);
  return { first, more: attributes.filter((each) => !first.includes(each)) };
}

/**
 * Sorts the attributes that a model has edits for.
 * @param {Trait[]} attributes The strongest first.
 * @returns {{first: Group[], more: Group[]}}
 */
export function grouped(attributes) {
  const best = attributes.filter((attribute) => !JUDGEMENTS.has(attribute.name)).slice(0, SHOWN);
  const rest = attributes.filter((attribute) => !best.includes(attribute));
  return { first: groups(best), more: groups(rest) };
}

/**
 * @param {Trait[]} attributes
 * @returns {Group[]}
 */
function groups(attributes) {
  const titles = [...Object.keys(GROUPS), "Other"];
  /** @param {Trait} attribute */
  const titleOf = ({ name }) => titles.find((title) => name in (GROUPS[title] ?? {})) ?? "Other";
  const all = titles.map((title) => ({
    title,
    attributes: attributes
      .filter((attribute) => titleOf(attribute) === title)
      .map(({ name, label }) => ({ name, label: GROUPS[title]?.[name] ?? label })),
  }));
  return all.filter(({ attributes }) => attributes.length);
}
