// Starts the page: asks the server what it has, and shows what the address says.

import { drop, flush } from "./address.js";
import * as api from "./api.js";
import { setUp as setUpDialogs, showHelp } from "./dialogs.js";
import { byId, make } from "./dom.js";
import * as face from "./face.js";
import * as grid from "./grid.js";
import * as keyboard from "./keyboard.js";
import { notice, tell } from "./notices.js";
import { asking, BadLink, parse } from "./state.js";
import * as upload from "./upload.js";

const VIEWS = ["gallery", "face", "lost"];

let catalogue;
let bundle; // the one that is looked at
let view; // one of VIEWS
let opened; // the face that is or was open

setUpDialogs();
byId("help").addEventListener("click", showHelp);
byId("skip").addEventListener("click", () => byId("main").focus());
start().catch(tell);

async function start() {
  catalogue = await api.catalogue();
  bundle = catalogue.bundles[0];
  grid.setUp(catalogue);
  face.setUp(catalogue);
  upload.setUp(catalogue, () => bundle);
  keyboard.setUp(shortcut);
  for (const each of catalogue.bundles) {
    const button = make("button", { type: "button", className: "plain" }, grid.title(each));
    button.addEventListener("click", () => grid.showCardOf(each));
    byId("cards").append(button);
  }
  window.addEventListener("hashchange", route);
  window.addEventListener("pagehide", flush);
  route();
}

function route() {
  drop();
  let state;
  try {
    state = known(parse(location.hash));
  } catch (error) {
    if (!(error instanceof BadLink)) throw error;
    byId("lost-text").textContent = error.message;
    document.title = "Faces of no one";
    turnTo("lost");
    byId("lost-title").focus();
    return;
  }
  bundle = state.bundle;
  byId("licence").textContent = `${grid.title(bundle)}: ${bundle.licence}`;
  if (state.face) showFace(state);
  else showGrid(state);
}

function showFace(state) {
  const fresh = view !== "face";
  const { seed, toward, edits } = state.face;
  const tile = fresh ? grid.imageOf(bundle, state.face) : undefined;
  const same = toward === undefined && !Object.keys(edits).length; // as in the tile
  opened = { bundle, face: { seed, ...asking(state.face) } };
  grow(tile, () => {
    turnTo("face");
    face.show(state, { fresh, preview: same ? tile : undefined });
    return byId("portrait");
  });
}

function showGrid(state) {
  const closing = view === "face";
  document.title = "Faces of no one";
  grow(closing ? byId("portrait") : undefined, () => {
    turnTo("gallery");
    grid.show(state);
    if (closing) grid.focus(opened.face.seed);
    return grid.imageOf(opened?.bundle, opened?.face);
  });
}

/** Shows one of the views. */
function turnTo(next) {
  if (view === "face" && next !== "face") face.leave();
  view = next;
  for (const name of VIEWS) byId(name).hidden = name !== next;
}

/**
 * Has an image grow, or shrink, into the one that takes its place, where the browser can do so and people like motion.
 * @param {HTMLImageElement|undefined} from
 * @param {function(): HTMLImageElement|undefined} change Changes what is shown, and tells which image takes its place.
 */
function grow(from, change) {
  if (!from || !document.startViewTransition || matchMedia("(prefers-reduced-motion: reduce)").matches) return change();
  let to;
  from.style.viewTransitionName = "face";
  const transition = document.startViewTransition(() => {
    from.style.viewTransitionName = "";
    to = change();
    if (to) to.style.viewTransitionName = "face";
  });
  transition.ready.catch(() => {}); // another one has taken its place
  return transition.finished.finally(() => to && (to.style.viewTransitionName = ""));
}

/** A state with the bundle as the server tells of it, and only attributes and edits that it knows. */
function known(state) {
  const { bundles, limits } = catalogue;
  const found = state.bundle === undefined ? bundles[0] : bundles.find(({ name }) => name === state.bundle);
  if (!found)
    throw new BadLink(`There is no model “${state.bundle}” here. There is ${bundles.map(grid.title).join(", ")}.`);
  if (!state.face) return { ...state, ...knownAsking(found, state), bundle: found };
  const { latents, edits } = state.face;
  if (latents && latents.length !== found.latent_dim)
    throw new BadLink(
      `Its face has ${latents.length} numbers, and ${grid.title(found)} draws from ${found.latent_dim}.`,
    );
  const names = new Set([...found.directions.attributes, ...found.directions.principal].map(({ name }) => name));
  const kept = Object.entries(edits).filter(([name]) => names.has(name));
  if (kept.length < Object.keys(edits).length)
    notice(`The link has edits that ${grid.title(found)} does not know; the face is shown without them.`);
  for (const [name, strength] of kept)
    if (Math.abs(strength) > limits.max_strength)
      throw new BadLink(`“${name}” goes from ${-limits.max_strength} to ${limits.max_strength}, not to ${strength}.`);
  const face = { ...state.face, ...knownAsking(found, state.face), edits: Object.fromEntries(kept) };
  return { ...state, bundle: found, face };
}

function knownAsking(bundle, how) {
  const offered = new Set(bundle.attributes.map(({ name }) => name));
  const kept = (names) => names?.filter((name) => offered.has(name));
  const asked = asking({ ...how, with: kept(how.with), without: kept(how.without) });
  if (asked.with?.length !== how.with?.length || asked.without?.length !== how.without?.length)
    notice(`The link asks for what ${grid.title(bundle)} does not offer; faces are shown without that.`);
  return asked;
}

/** What a key does here. */
function shortcut(key) {
  const anywhere = { "?": showHelp, u: upload.open };
  const ofView = {
    gallery: { " ": grid.more, n: grid.more },
    face: {
      e: () => face.openTab("edits"),
      v: () => face.openTab("variations"),
      m: () => face.openTab("morph"),
      n: face.another,
      p: face.playMorph,
      d: face.download,
      c: face.copyLink,
      0: face.resetEdits,
      Escape: () => byId("back").click(),
    },
  };
  return anywhere[key] ?? ofView[view]?.[key];
}
