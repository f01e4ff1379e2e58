// The random numbers of NumPy's `RandomState`. Its stream is frozen, so a seed gives the same face everywhere.

const LENGTH = 624; // words of the Mersenne Twister's state
const OFFSET = 397;

/** Those methods of NumPy's class that faces need. */
export class RandomState {
  /** @param {number} seed From 0 to 2³² - 1. */
  constructor(seed) {
    this.key = new Uint32Array(LENGTH);
    this.place = LENGTH;
    /** @type {number|undefined} The second number of a pair that the polar method has made. */
    this.second = undefined;
    let word = seed >>> 0;
    for (let i = 0; i < LENGTH; i++) {
      this.key[i] = word;
      word = (Math.imul(1812433253, word ^ (word >>> 30)) + i + 1) >>> 0;
    }
  }

  /** Numbers from a standard normal distribution, rounded to float32. @param {number} count */
  standardNormal(count) {
    return Float32Array.from({ length: count }, () => this.#gauss());
  }

  /** A whole number from 0 to `below` - 1. @param {number} below At most 2³². */
  randint(below) {
    const last = below - 1;
    if (last === 0) return 0;
    const mask = 0xffffffff >>> Math.clz32(last);
    for (;;) {
      const word = (this.#word() & mask) >>> 0;
      if (word <= last) return word;
    }
  }

  /** Marsaglia's polar method. */
  #gauss() {
    if (this.second !== undefined) {
      const value = this.second;
      this.second = undefined;
      return value;
    }
    for (;;) {
      const x = 2 * this.#double() - 1;
      const y = 2 * this.#double() - 1;
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * Math.log(square)) / square);
      this.second = factor * x;
      return factor * y;
    }
  }

  /** A number from 0 up to, but not including, 1, with 53 bits. */
  #double() {
    const high = this.#word() >>> 5;
    const low = this.#word() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** 32 bits. */
  #word() {
    if (this.place === LENGTH) this.#twist();
    let word = this.key[this.place++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #twist() {
    const { key } = this;
    for (let i = 0; i < LENGTH; i++) {
      const mixed = (key[i] & 0x80000000) | (key[(i + 1) % LENGTH] & 0x7fffffff);
      key[i] = key[(i + OFFSET) % LENGTH] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }
}
