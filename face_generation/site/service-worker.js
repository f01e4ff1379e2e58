// Keeps the page in the browser, so that it opens without a network. It also isolates the page, so that it may draw in
// several threads. When a site is written, it gets a first line with the files and a version, which changes with them.

const { version, files } = self.SITE;
const OURS = `page ${self.registration.scope}`; // several sites may share one host
const STORE = `${OURS} ${version}`;
const ISOLATED = {
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(forget()));
self.addEventListener("fetch", (event) => {
  const { method, url, cache } = event.request;
  const ours = method === "GET" && url.startsWith(self.registration.scope);
  if (ours && cache !== "only-if-cached") event.respondWith(answer(event.request)); // such a request asks the browser's own cache
});

async function keep() {
  const store = await caches.open(STORE);
  await store.addAll(files.map((file) => new Request(file, { cache: "no-cache" })));
}

async function forget() {
  const old = (await caches.keys()).filter((name) => name.startsWith(`${OURS} `) && name !== STORE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

/** @param {Request} request */
async function answer(request) {
  const { scope } = self.registration;
  const address = request.url.split(/[?#]/)[0] === scope ? `${scope}index.html` : request.url;
  const store = await caches.open(STORE);
  const found = (await store.match(address)) ?? (await fetch(request));
  if (!found.status) return found; // an opaque answer, whose headers nobody may change
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
