// Records pictures as a video, if the browser can do so.

import { marked } from "./marking.js";

const KINDS = [
  { type: "video/mp4;codecs=avc1.42E01E", suffix: "mp4", label: "MP4" },
  { type: "video/webm;codecs=vp9", suffix: "webm", label: "WebM" },
  { type: "video/webm", suffix: "webm", label: "WebM" },
];
const SIDE = 600; // pixels; larger than a face, because people watch videos larger
const BITS_PER_SECOND = 4_000_000;

/** The kind of video that the browser records; undefined if it records none. */
export const VIDEO = KINDS.find(({ type }) => globalThis.MediaRecorder?.isTypeSupported(type));

/**
 * Records a video. It takes as long as the video lasts.
 * @param {Blob[]} pictures
 * @param {number} seconds
 * @param {import("./origin.js").Origin} origin What the file says about its pictures.
 * @returns {Promise<Blob>}
 */
export async function record(pictures, seconds, origin) {
  const frames = await Promise.all(pictures.map((picture) => createImageBitmap(picture)));
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d");
  if (!context || !VIDEO) throw new Error("this browser cannot record videos");
  context.imageSmoothingQuality = "high";
  const recorder = new MediaRecorder(canvas.captureStream(), {
    mimeType: VIDEO.type,
    videoBitsPerSecond: BITS_PER_SECOND,
  });
  /** @type {Blob[]} */
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const stopped = new Promise((resolve, reject) => {
    recorder.addEventListener("stop", resolve, { once: true });
    recorder.addEventListener("error", () => reject(new Error("the browser could not record the video")), {
      once: true,
    });
  });
  context.drawImage(frames[0], 0, 0, SIDE, SIDE);
  recorder.start();
  const began = performance.now();
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      const share = (performance.now() - began) / (1000 * seconds);
      context.drawImage(frames[Math.min(frames.length - 1, Math.floor(share * frames.length))], 0, 0, SIDE, SIDE);
      if (share < 1) return;
      clearInterval(timer);
      resolve(undefined);
    }, 1000 / 30);
  });
  recorder.stop();
  await stopped;
  return marked(new Blob(parts, { type: VIDEO.type }), origin);
}
