// Lets people place a photo in the square that a model sees: they drag, pinch, scroll, press keys, or tap on each eye.
//
// The place of the photo is a similarity transform. `middle` is the pixel of the photo that is in the middle of the
// square. `scale` is the width of a pixel, as a share of the square. `turn` is an angle in radians, clockwise. Points
// of the square are from (0, 0) to (1, 1).

// Places of the eyes in the training faces, which CelebA has aligned. In its pictures of 178×218 pixels the eyes are 39
// pixels apart around (88.5, 111), and the models see the 178×178 pixels in the middle.
const EYES = [
  { x: (88.5 - 19.5 + 0.5) / 178, y: (111 - 20 + 0.5) / 178 },
  { x: (88.5 + 19.5 + 0.5) / 178, y: (111 - 20 + 0.5) / 178 },
];
const MOUTH = { x: 89 / 178, y: (154 - 20) / 178 };
const EYE_RADIUS = 0.055; // of the circles, as a share of the square
const TAP = 6; // CSS pixels; a pointer that moves further drags
const MIDDLE = { x: 0.5, y: 0.5 };
const SMALLEST = 48; // pixels of the photo that the square shows at least, because fewer show no face

/** @typedef {{x: number, y: number}} Point */

export class Alignment {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} onMove Is called when the photo has moved.
   */
  constructor(canvas, onMove) {
    this.canvas = canvas;
    this.onMove = onMove;
    /** @type {ImageBitmap|undefined} */
    this.photo = undefined;
    this.whole = 1; // the scale at which the photo fills the square exactly
    this.middle = MIDDLE;
    this.scale = 1;
    this.turn = 0;
    /** @type {Point|undefined} The eye that was tapped first, in the photo. */
    this.eye = undefined;
    /** @type {Point|undefined} Where on the screen a tap may have begun. */
    this.tapped = undefined;
    /** @type {Map<number, Point>} The place of each pointer in the square, by its id. */
    this.pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /**
   * Shows a photo, with its middle in the middle of the square.
   * @param {ImageBitmap} photo
   */
  open(photo) {
    this.photo = photo;
    this.whole = 1 / Math.min(photo.width, photo.height);
    this.middle = { x: photo.width / 2, y: photo.height / 2 };
    this.scale = this.whole;
    this.turn = 0;
    this.eye = undefined;
    this.#moved();
  }

  /** The largest `zoom`. */
  get mostZoom() {
    return Math.max(1, Math.log2(1 / (SMALLEST * this.whole)));
  }

  /** How far the photo is zoomed in: at 0 it fills the square exactly, at 1 it is twice as large. */
  get zoom() {
    return Math.log2(this.scale / this.whole);
  }

  set zoom(zoom) {
    this.#place(this.#inPhoto(MIDDLE), MIDDLE, this.whole * 2 ** zoom, this.turn);
  }

  /** How far the photo is turned, in degrees. */
  get degrees() {
    return (this.turn * 180) / Math.PI;
  }

  set degrees(degrees) {
    this.#place(this.#inPhoto(MIDDLE), MIDDLE, this.scale, (degrees * Math.PI) / 180);
  }

  /**
   * Cuts out the square, as a PNG.
   * @param {number} size Pixels of each side.
   * @returns {Promise<Blob>}
   */
  async cut(size) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    this.#paint(contextOf(canvas), size);
    const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!picture) throw new Error("this browser could not cut the photo");
    return picture;
  }

  draw() {
    if (!this.photo) return;
    const size = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (this.canvas.width !== size) this.canvas.width = this.canvas.height = size;
    const context = contextOf(this.canvas);
    this.#paint(context, size);
    this.#paintGuides(context, size);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} size
   */
  #paint(context, size) {
    const { photo, middle, scale, turn, whole } = this;
    if (!photo) return;
    context.imageSmoothingQuality = "high";
    // The photo is first drawn as it was, so that it leaves no empty corners when it is turned or moved.
    const [width, height] = [photo.width * whole * size, photo.height * whole * size];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(photo, (size - width) / 2, (size - height) / 2, width, height);
    context.translate(size / 2, size / 2);
    context.scale(scale * size, scale * size);
    context.rotate(turn);
    context.drawImage(photo, -middle.x, -middle.y);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} size
   */
  #paintGuides(context, size) {
    /** @type {[string, number][]} */
    const strokes = [
      ["rgb(0 0 0 / 55%)", 5],
      ["white", 2],
    ];
    for (const [colour, width] of strokes) {
      context.strokeStyle = colour;
      context.lineWidth = width * devicePixelRatio;
      context.lineCap = "round";
      for (const { x, y } of EYES) {
        context.beginPath();
        context.arc(x * size, y * size, EYE_RADIUS * size, 0, 2 * Math.PI);
        context.stroke();
      }
      context.beginPath();
      context.arc(MOUTH.x * size, (MOUTH.y - 0.1) * size, 0.12 * size, 0.3 * Math.PI, 0.7 * Math.PI);
      context.stroke();
      if (this.eye) {
        const { x, y } = this.#inSquare(this.eye);
        context.beginPath();
        context.arc(x * size, y * size, 3 * devicePixelRatio, 0, 2 * Math.PI);
        context.stroke();
      }
    }
  }

  /**
   * Puts a pixel of the photo at a point of the square.
   * @param {Point} pixel
   * @param {Point} point
   * @param {number} scale
   * @param {number} turn
   */
  #place(pixel, point, scale, turn) {
    if (!this.photo) return;
    const { whole } = this;
    this.scale = Math.min(whole * 2 ** this.mostZoom, Math.max(whole / 2, scale));
    this.turn = Math.atan2(Math.sin(turn), Math.cos(turn)); // from -180 to 180 degrees
    const away = rotate({ x: (point.x - 0.5) / this.scale, y: (point.y - 0.5) / this.scale }, -this.turn);
    this.middle = {
      x: Math.min(this.photo.width, Math.max(0, pixel.x - away.x)), // so that the photo cannot leave the square
      y: Math.min(this.photo.height, Math.max(0, pixel.y - away.y)),
    };
    this.#moved();
  }

  /** @param {Point} point */
  #inPhoto(point) {
    const away = rotate({ x: (point.x - 0.5) / this.scale, y: (point.y - 0.5) / this.scale }, -this.turn);
    return { x: this.middle.x + away.x, y: this.middle.y + away.y };
  }

  /** @param {Point} pixel */
  #inSquare(pixel) {
    const away = rotate({ x: pixel.x - this.middle.x, y: pixel.y - this.middle.y }, this.turn);
    return { x: 0.5 + away.x * this.scale, y: 0.5 + away.y * this.scale };
  }

  #moved() {
    this.draw();
    this.onMove();
  }

  /** @param {{clientX: number, clientY: number}} event */
  #point({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#point(event));
    this.tapped = this.pointers.size === 1 ? { x: event.clientX, y: event.clientY } : undefined;
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.tapped && Math.hypot(event.clientX - this.tapped.x, event.clientY - this.tapped.y) < TAP) return;
    this.tapped = undefined;
    const after = this.#point(event);
    this.pointers.set(event.pointerId, after);
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    if (others.length === 0) this.#place(this.#inPhoto(before), after, this.scale, this.turn);
    if (others.length === 1) this.#pinch(others[0][1], before, after);
  }

  /**
   * Moves, turns and zooms with two fingers, so that both stay on the pixels that they touch.
   * @param {Point} rest
   * @param {Point} before
   * @param {Point} after
   */
  #pinch(rest, before, after) {
    const [from, to] = [difference(before, rest), difference(after, rest)];
    const length = Math.hypot(from.x, from.y);
    if (length < 0.02) return;
    const turn = Math.atan2(to.y, to.x) - Math.atan2(from.y, from.x);
    this.#place(this.#inPhoto(rest), rest, (this.scale * Math.hypot(to.x, to.y)) / length, this.turn + turn);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    this.pointers.delete(event.pointerId);
    if (this.tapped) this.#tap(this.#point(event));
    this.tapped = undefined;
  }

  /**
   * Takes a tap on an eye. The second tap puts both eyes into their circles.
   * @param {Point} point
   */
  #tap(point) {
    const pixel = this.#inPhoto(point);
    if (!this.eye) {
      this.eye = pixel;
      this.#moved();
      return;
    }
    const [left, right] = [this.eye, pixel].sort((a, b) => this.#inSquare(a).x - this.#inSquare(b).x);
    this.eye = undefined;
    const between = difference(right, left);
    const distance = Math.hypot(between.x, between.y);
    if (distance * this.scale < 0.02) return this.#moved(); // the same eye twice
    const scale = (EYES[1].x - EYES[0].x) / distance;
    const middle = { x: (left.x + right.x) / 2, y: (left.y + right.y) / 2 };
    return this.#place(middle, { x: 0.5, y: EYES[0].y }, scale, -Math.atan2(between.y, between.x));
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const point = this.#point(event);
    this.#place(this.#inPhoto(point), point, this.scale * 2 ** (-event.deltaY / 400), this.turn);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = event.shiftKey ? 0.05 : 0.01;
    /** @type {Object<string, [number, number]>} */
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const move = moves[event.key];
    if (move) {
      const [x, y] = move;
      this.#place(this.#inPhoto(MIDDLE), { x: 0.5 + x, y: 0.5 + y }, this.scale, this.turn);
    } else if (event.key === "+" || event.key === "=") this.zoom += 0.05;
    else if (event.key === "-") this.zoom -= 0.05;
    else if (event.key === ",") this.degrees -= 1;
    else if (event.key === ".") this.degrees += 1;
    else return;
    event.preventDefault();
  }
}

/** @param {HTMLCanvasElement} canvas */
function contextOf(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas");
  return context;
}

/**
 * @param {Point} a
 * @param {Point} b
 */
const difference = (a, b) => ({ x: a.x - b.x, y: a.y - b.y });

/**
 * @param {Point} point
 * @param {number} angle
 */
function rotate({ x, y }, angle) {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return { x: x * cos - y * sin, y: x * sin + y * cos };
}
