// Fetches the files that faces are drawn with. Each is checked, and the browser keeps it if it can.

import { Problem } from "./backend.js";

/** @typedef {Object<string, {bytes: number, sha256: string}>} Files By path. */

export class Loader {
  /**
   * @param {string} root The address that paths are relative to, with a slash at its end.
   * @param {Files} files All files of the site.
   * @param {(loaded: number, total: number) => void} onProgress Is told how many bytes of the files that are being
   *   fetched have arrived. Both numbers are 0 if none is being fetched.
   */
  constructor(root, files, onProgress) {
    this.root = root;
    this.files = files;
    this.onProgress = onProgress;
    this.running = 0; // files that are being fetched
    this.loaded = 0;
    this.total = 0;
    this.kept = this.#open();
  }

  /**
   * The content of a file.
   * @param {string} path
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {Problem} The file cannot be fetched, or is damaged.
   */
  async bring(path) {
    const listed = this.files[path];
    if (!listed) throw new Problem(500, `the site lists no ${path}; whoever runs it must build it again`);
    const kept = await this.kept;
    const address = this.address(path);
    const found = await kept?.match(address);
    if (found) return new Uint8Array(await found.arrayBuffer());
    // The browser's HTTP cache may have a damaged answer, so the second try bypasses it.
    for (const cache of /** @type {RequestCache[]} */ (["default", "reload"])) {
      const content = await this.#fetch(path, address, listed.bytes, cache);
      if (!(await isRight(content, listed))) continue;
      await kept?.put(address, new Response(content)).catch(() => {}); // without room, it is fetched again next time
      return content;
    }
    throw new Problem(
      500,
      `the file ${path} is damaged or was cut off on its way; try again, or tell whoever runs this site`,
    );
  }

  /** @param {string} path */
  async text(path) {
    return new TextDecoder().decode(await this.bring(path));
  }

  /**
   * The address of a file. It changes whenever the content changes.
   * @param {string} path
   */
  address(path) {
    return `${this.root}${path}?${this.files[path].sha256.slice(0, 12)}`;
  }

  /** The browser's store, without files that are no longer used; undefined if the page may have no store. */
  async #open() {
    if (!globalThis.caches) return undefined; // browsers have it with HTTPS only
    try {
      const store = await caches.open(`models ${this.root}`);
      const used = new Set(Object.keys(this.files).map((path) => this.address(path)));
      for (const { url } of await store.keys()) if (!used.has(url)) await store.delete(url);
      return store;
    } catch {
      return undefined; // some browsers have none in private windows
    }
  }

  /**
   * @param {string} path
   * @param {string} address
   * @param {number} bytes
   * @param {RequestCache} cache
   */
  async #fetch(path, address, bytes, cache) {
    let received = 0;
    this.running += 1;
    this.total += bytes;
    this.onProgress(this.loaded, this.total);
    try {
      const answer = await fetch(address, { cache });
      if (!answer.ok || !answer.body) throw new Error(`status ${answer.status}`);
      const content = new Uint8Array(bytes);
      for (const reader = answer.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (received < bytes) content.set(value.subarray(0, bytes - received), received);
        received += value.length;
        this.loaded += value.length;
        this.onProgress(this.loaded, this.total);
      }
      return received === bytes ? content : new Uint8Array();
    } catch (error) {
      console.info(path, error);
      throw new Problem(500, `the file ${path} could not be loaded; check the connection and try again`);
    } finally {
      this.running -= 1;
      if (!this.running) this.loaded = this.total = 0;
      this.onProgress(this.loaded, this.total);
    }
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} content
 * @param {{bytes: number, sha256: string}} listed
 */
async function isRight(content, { bytes, sha256 }) {
  if (content.length !== bytes) return false;
  if (!globalThis.crypto?.subtle) return true; // browsers compute checksums with HTTPS only
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}
