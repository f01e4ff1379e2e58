// Brings the files that faces are drawn with. Each is checked, and kept by the browser where that is possible.

import { Problem } from "./backend.js";

/** @typedef {Object<string, {bytes: number, sha256: string}>} Files By their paths. */

export class Loader {
  /**
   * @param {string} root The address that paths begin at, with a slash at its end.
   * @param {Files} files All that there are.
   * @param {(loaded: number, total: number) => void} onProgress Told how many bytes have come of the files that are
   *   on their way; both are 0 when none is.
   */
  constructor(root, files, onProgress) {
    this.root = root;
    this.files = files;
    this.onProgress = onProgress;
    this.running = 0; // files that are on their way
    this.loaded = 0;
    this.total = 0;
    this.kept = this.#open();
  }

  /**
   * The content of a file.
   * @param {string} path
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {Problem} It does not come, or not as it should be.
   */
  async bring(path) {
    const listed = this.files[path];
    if (!listed) throw new Problem(500, `the site lists no ${path}; whoever runs it must build it again`);
    const kept = await this.kept;
    const address = this.address(path);
    const found = await kept?.match(address);
    if (found) return new Uint8Array(await found.arrayBuffer());
    // The browser's HTTP cache may have a damaged answer, so the second try passes it by.
    for (const cache of /** @type {RequestCache[]} */ (["default", "reload"])) {
      const content = await this.#fetch(path, address, listed.bytes, cache);
      if (!(await isRight(content, listed))) continue;
      await kept?.put(address, new Response(content)).catch(() => {}); // no room: it comes again next time
      return content;
    }
    throw new Problem(
      500,
      `the file ${path} is damaged or was cut off on its way; try again, or tell whoever runs this site`,
    );
  }

  /**
   * Whether the browser keeps a file since an earlier visit.
   * @param {string} path
   */
  async keeps(path) {
    return Boolean(await (await this.kept)?.match(this.address(path)));
  }

  /** @param {string} path */
  async text(path) {
    return new TextDecoder().decode(await this.bring(path));
  }

  /**
   * Another address whenever the content is another.
   * @param {string} path
   */
  address(path) {
    return `${this.root}${path}?${this.files[path].sha256.slice(0, 12)}`;
  }

  /** The browser's store, without what is no longer used; undefined where the page may have none. */
  async #open() {
    if (!globalThis.caches) return undefined; // without HTTPS
    try {
      const store = await caches.open(`models ${this.root}`);
      const used = new Set(Object.keys(this.files).map((path) => this.address(path)));
      for (const { url } of await store.keys()) if (!used.has(url)) await store.delete(url);
      return store;
    } catch {
      return undefined; // not in this browser's private windows
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
      throw new Problem(500, `the file ${path} did not come; check the connection and try again`);
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
  if (!globalThis.crypto?.subtle) return true; // without HTTPS browsers compute no checksums
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}
