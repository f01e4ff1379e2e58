// The back end that draws in the browser and sends nothing about a face to anyone. The worker has one task at a time. A
// picture that people wait for comes before small ones.

import { Problem } from "./backend.js";
import { recipeOf } from "./origin.js";

/**
 * @typedef {import("./backend.js").Backend} Backend
 * @typedef {import("./backend.js").Bundle} Bundle
 * @typedef {import("./backend.js").Catalogue} Catalogue
 * @typedef {import("./backend.js").Face} Face
 * @typedef {{name: string, args: any[], signal?: AbortSignal, resolve: (result: any) => void,
 *   reject: (error: unknown) => void}} Task
 */

const CATALOGUE = "bundles/catalogue.json";

/**
 * @param {(loaded: number, total: number) => void} onProgress Is told how many bytes of the model have arrived.
 * @returns {Backend}
 */
export function inBrowser(onProgress) {
  const { open, work } = working(onProgress);
  // A site has a service worker, which keeps the page for visits without a network. Browsers allow it only with HTTPS.
  const keeper = document.documentElement.dataset.keeper;
  if (keeper) navigator.serviceWorker?.register(keeper).catch((error) => console.info("the page is not kept:", error));

  let software = "";
  /** What a picture says about itself. @param {Bundle} bundle @param {Face} [face] */
  const origin = (bundle, face) => ({ software, recipe: recipeOf(bundle, face) });

  /** @param {Bundle} bundle @param {Face} face @param {{first?: boolean, signal?: AbortSignal}} options */
  const draw = (bundle, face, options) => work("draw", [bundle.name, face, origin(bundle, face)], options);

  return {
    catalogue: async () => {
      const answer = await fetch(CATALOGUE);
      if (!answer.ok) throw new Problem(answer.status, "the list of models could not be loaded; try again");
      const { files, ...catalogue } = await answer.json();
      software = catalogue.software;
      open(files);
      return catalogue;
    },
    card: async (bundle) => {
      const answer = await fetch(`bundles/${bundle.name}/README.md`).catch(() => undefined);
      if (answer?.ok) return answer.text();
      throw new Problem(answer?.status ?? 500, "the card could not be loaded; check the connection and try again");
    },
    draw: (bundle, face, { as, signal }) => draw(bundle, face, { first: as !== "tile", signal }),
    drawAll: (bundle, faces, { signal } = {}) => Promise.all(faces.map((face) => draw(bundle, face, { signal }))),
    latents: (bundle, face, { signal } = {}) => work("latents", [bundle.name, face], { first: true, signal }),
    animate: async (bundle, from, to, { as, frames, seconds }) => {
      const [start, end] = await Promise.all([from, to].map((face) => work("latents", [bundle.name, face])));
      const way = Array.from({ length: frames }, (_, i) => {
        const face = { latents: start, toward: end, amount: i / (frames - 1), edits: {} };
        return work("picture", [bundle.name, face]);
      });
      const there = await Promise.all(way);
      const thereAndBack = [...there, ...there.slice(1, -1).reverse()];
      const milliseconds = Math.max(20, Math.round((1000 * seconds) / (frames - 1)));
      return work("animate", [thereAndBack, as, milliseconds, origin(bundle)]);
    },
    reconstruct: (bundle, photo, { find }) => work("reconstruct", [bundle.name, photo, find], { first: true }),
    reads: () => false,
    recipes,
    preview: () => undefined,
  };
}

/** @type {Backend["recipes"]} */
function recipes(bundle, face) {
  if (face.seed === undefined || face.toward !== undefined) return [];
  const asked = [
    ...(face.with ?? []).map((name) => `${name}: 1`),
    ...(face.without ?? []).map((name) => `${name}: -1`),
  ];
  const edits = Object.entries(face.edits).map(([name, strength]) => `${name}: ${strength}`);
  const options = [
    `bundle=${bundle.name}`,
    `seed=${face.seed}`,
    ...(face.truncation === undefined ? [] : [`truncation=${face.truncation}`]),
    ...(asked.length ? [`'attributes={${asked.join(", ")}}'`] : []),
    ...(edits.length ? [`'edits={${edits.join(", ")}}'`] : []),
  ];
  return [{ title: "On a command line", text: `python -m face_generation.inference ${options.join(" ")}` }];
}

/**
 * @param {(loaded: number, total: number) => void} onProgress
 */
function working(onProgress) {
  /** @type {import("./loader.js").Files|undefined} */
  let files;
  /** @type {Task[]} */
  const waiting = [];
  /** @type {Task|undefined} */
  let now;
  let count = 0; // the number of the current task
  /** @type {Worker|undefined} */
  let worker = start(); // at once, so that it loads while the page loads

  function start() {
    const started = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    started.addEventListener("message", ({ data: { id, result, problem, loaded, total } }) => {
      if (id === undefined) onProgress(loaded, total);
      if (id !== count || !now) return;
      if (now.signal?.aborted) now.reject(now.signal.reason);
      else if (problem) now.reject(new Problem(problem.status, problem.sentence));
      else now.resolve(result);
      next();
    });
    started.addEventListener("error", () => {
      started.terminate();
      worker = undefined; // the next task starts another one
      onProgress(0, 0);
      const problem = new Problem(500, "this browser could not draw: it may be too old, or have too little memory");
      for (const task of [...(now ? [now] : []), ...waiting.splice(0)]) task.reject(problem);
      now = undefined;
    });
    if (files) letOpen(started, files);
    return started;
  }

  /** @param {Worker} started @param {import("./loader.js").Files} listed */
  function letOpen(started, listed) {
    started.postMessage({ id: 0, name: "open", args: [new URL(".", document.baseURI).href, listed] });
  }

  function next() {
    now = waiting.shift();
    if (!now) return;
    const { name, args, signal, reject } = now;
    if (signal?.aborted) {
      reject(signal.reason);
      next();
      return;
    }
    worker ??= start();
    worker.postMessage({ id: ++count, name, args });
  }

  return {
    /** @param {import("./loader.js").Files} listed The files that the worker may fetch. */
    open(listed) {
      files = listed;
      if (worker) letOpen(worker, listed);
    },

    /**
     * Has the worker do something.
     * @param {string} name
     * @param {any[]} args
     * @param {{first?: boolean, signal?: AbortSignal}} [options] With `first`, the task overtakes all that wait.
     * @returns {Promise<any>}
     */
    work: (name, args, { first = false, signal } = {}) =>
      new Promise((resolve, reject) => {
        const task = { name, args, signal, resolve, reject };
        if (first) waiting.unshift(task);
        else waiting.push(task);
        if (!now) next();
      }),
  };
}
