// Checks the page's JavaScript. TypeScript checks names and types (tsconfig.json).

import js from "@eslint/js";

const PAGE = "face_generation/serve/web";

/** The page's modules. Each imports only from the lines above its own. */
const LAYERS = [
  [
    "attributes",
    "align",
    "crc32",
    "detection",
    "dom",
    "latents",
    "latest",
    "npz",
    "origin",
    "random",
    "resizing",
    "storage",
    "undo",
  ],
  ["alignment", "gif", "keyboard", "kept", "marking", "markdown", "notices", "photos", "png", "state", "zip"],
  ["address", "backend", "dialogs", "video"],
  ["browser", "bundles", "chips", "edits", "http", "loader", "webp"],
  ["download", "generator", "tiles", "upload"],
  ["picker", "variations", "yours", "grid"],
  ["mixing", "morph"],
  ["face"],
  ["main", "worker"],
];

/** @param {string[]} names */
const forbidden = (names) => [
  "error",
  ...names.map((name) => ({
    name: `./${name}.js`,
    message: "Imports go up in LAYERS of eslint.config.js, never down.",
  })),
];

export default [
  {
    files: [`${PAGE}/*.js`, "face_generation/site/*.js"],
    rules: {
      ...js.configs.recommended.rules,
      "no-undef": "off", // TypeScript does it
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-restricted-imports": [
        "error",
        { patterns: [{ group: ["*"], message: "Give this module a place in LAYERS." }] },
      ],
    },
  },
  ...LAYERS.flatMap((names, i) =>
    names.map((name) => ({
      files: [`${PAGE}/${name}.js`],
      rules: { "no-restricted-imports": forbidden(LAYERS.slice(i).flat()) },
    })),
  ),
];
