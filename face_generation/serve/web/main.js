// Starts the page: gets the catalogue from the back end, and shows what the address says.

import { drop, flush, go } from "./address.js";
import { backend, use } from "./backend.js";
import { inBrowser } from "./browser.js";
import { known, title } from "./bundles.js";
import { askForKey, setUp as setUpDialogs, showHelp } from "./dialogs.js";
import { byId, imageById, make, onClick } from "./dom.js";
import * as face from "./face.js";
import * as grid from "./grid.js";
import { overHttp } from "./http.js";
import * as keyboard from "./keyboard.js";
import { banner, hideBanner, loading, notice, setUp as setUpNotices } from "./notices.js";
import * as picker from "./picker.js";
import { asking, BadLink, faceLink, gridLink, parse, YOURS } from "./state.js";
import * as upload from "./upload.js";
import * as yours from "./yours.js";

/**
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {import("./bundles.js").KnownFace} KnownFace
 * @typedef {import("./bundles.js").KnownGrid} KnownGrid
 * @typedef {"gallery"|"face"|"yours"|"lost"} View
 */

/** @type {View[]} */
const VIEWS = ["gallery", "face", "yours", "lost"];
const START_WAITS = [1, 30]; // seconds until the page tries again to start: at first, and at most

/** @type {Catalogue} */
let catalogue;
/** @type {Bundle} The bundle that is shown. */
let bundle;
/** @type {View} */
let view;
/** @type {{bundle: Bundle, face: import("./state.js").Face}|undefined} The last open face, without its edits. */
let opened;

use(
  document.documentElement.dataset.draw === "browser"
    ? inBrowser(loading)
    : overHttp({
        askForKey,
        away: () => banner("The server does not answer.", "Try again"),
        back: hideBanner,
        busy: (seconds) => notice("The server is busy. The page waits a moment and tries again.", seconds + 2),
      }),
);
setUpNotices();
setUpDialogs();
onClick("help", showHelp);
onClick("skip", () => byId("main").focus());
start();

async function start() {
  catalogue = await whenThere();
  [bundle] = catalogue.bundles;
  grid.setUp(catalogue);
  face.setUp(catalogue);
  picker.setUp(catalogue);
  yours.setUp(catalogue);
  upload.setUp(
    catalogue,
    () => bundle,
    (drawer, latents) => {
      face.editNext();
      go(faceLink({ bundle: drawer.name, face: { latents, edits: {} }, version: drawer.version }));
    },
  );
  keyboard.setUp(shortcut);
  for (const each of catalogue.bundles) {
    const button = make("button", { type: "button", className: "plain" }, title(each));
    button.addEventListener("click", () => grid.showCardOf(each));
    byId("cards").append(button);
  }
  window.addEventListener("hashchange", route);
  window.addEventListener("pagehide", flush);
  route();
}

/** The catalogue, as soon as the back end has it, because the page may be open before its server is ready. */
async function whenThere() {
  const [first, longest] = START_WAITS;
  for (let seconds = first; ; seconds = Math.min(longest, 2 * seconds)) {
    try {
      const found = await backend.catalogue();
      hideBanner();
      return found;
    } catch (error) {
      console.info("not ready:", error);
      const again = banner("The server is not ready yet. The page starts as soon as it is.", "Try again");
      await Promise.race([again, new Promise((resolve) => setTimeout(resolve, 1000 * seconds))]);
    }
  }
}

function route() {
  drop();
  if (location.hash === YOURS) {
    turnTo("yours");
    document.title = "Your faces · Faces of no one";
    byId("yours-back", HTMLAnchorElement).href = gridLink({ ...grid.place(bundle), bundle: bundle.name });
    yours.show();
    byId("yours-title").focus();
    return;
  }
  let state;
  try {
    state = known(parse(location.hash), catalogue);
  } catch (error) {
    if (!(error instanceof BadLink)) throw error;
    byId("lost-text").textContent = error.message;
    document.title = "Faces of no one";
    turnTo("lost");
    byId("lost-title").focus();
    return;
  }
  for (const sentence of state.dropped) notice(sentence);
  bundle = state.bundle;
  byId("licence").textContent = `${title(bundle)}: ${bundle.licence}`;
  if (state.face) showFace(state);
  else showGrid(state);
}

/** @param {KnownFace} state */
function showFace(state) {
  const fresh = view !== "face";
  const { seed, toward, edits } = state.face;
  const tile = fresh ? grid.imageOf(bundle, state.face) : undefined;
  const same = toward === undefined && !Object.keys(edits).length; // whether the tile shows the same face
  opened = { bundle, face: { seed, ...asking(state.face), edits: {} } };
  grow(tile, () => {
    turnTo("face");
    face.show(state, { fresh, preview: same ? tile : undefined });
    return imageById("portrait");
  });
}

/** @param {KnownGrid} state */
function showGrid(state) {
  const closing = view === "face";
  document.title = "Faces of no one";
  grow(closing ? imageById("portrait") : undefined, () => {
    turnTo("gallery");
    grid.show(state);
    if (closing) grid.focus(opened?.face.seed);
    return grid.imageOf(opened?.bundle, opened?.face);
  });
}

/**
 * Shows one of the views.
 * @param {View} next
 */
function turnTo(next) {
  if (view === "face" && next !== "face") face.leave();
  view = next;
  for (const name of VIEWS) byId(name).hidden = name !== next;
}

/**
 * Animates an image into the one that takes its place, if the browser can do so and people have not reduced motion.
 * @param {HTMLImageElement|undefined} from
 * @param {() => HTMLImageElement|undefined} change Changes what is shown, and returns the image that takes its place.
 */
function grow(from, change) {
  if (!from || !document.startViewTransition || matchMedia("(prefers-reduced-motion: reduce)").matches) {
    change();
    return;
  }
  /** @type {HTMLImageElement|undefined} */
  let to;
  from.style.setProperty("view-transition-name", "face");
  const transition = document.startViewTransition(() => {
    from.style.removeProperty("view-transition-name");
    to = change();
    to?.style.setProperty("view-transition-name", "face");
  });
  transition.ready.catch(() => {}); // another one has taken its place
  transition.finished.finally(() => to?.style.removeProperty("view-transition-name"));
}

/**
 * What a key does in the current view.
 * @param {string} key
 * @returns {(() => void)|undefined}
 */
function shortcut(key) {
  /** @type {Object<string, () => void>} */
  const anywhere = { "?": showHelp, u: () => upload.open(), y: () => go(YOURS) };
  /** @type {Object<string, Object<string, () => void>>} */
  const ofView = {
    gallery: { " ": grid.more, n: grid.more, g: () => byId("seed").focus() },
    face: {
      e: () => face.goToTab("edits"),
      v: () => face.goToTab("variations"),
      m: () => face.goToTab("morph"),
      x: () => face.goToTab("mixing"),
      n: face.another,
      p: face.playMorph,
      d: face.download,
      c: face.copyLink,
      f: face.keep,
      b: face.toggleBefore,
      s: face.surprise,
      0: face.resetEdits,
      "ctrl+z": () => face.step(-1),
      "ctrl+shift+z": () => face.step(1),
      "ctrl+y": () => face.step(1),
      Escape: () => byId("back").click(),
    },
    yours: { Escape: () => byId("yours-back").click() },
  };
  return anywhere[key] ?? ofView[view]?.[key];
}
