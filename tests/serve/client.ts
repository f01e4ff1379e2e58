/** Asks the service for everything once, through types that were generated from its OpenAPI document. */

import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { argv: string[] };

const client = createClient<paths>({
  baseUrl: process.argv[2],
  querySerializer: { object: { style: "form", explode: true } }, // edits are options of their own
});
const tiny = { params: { path: { bundle: "tiny" } } } as const;

function same<T>(found: T, wanted: T): void {
  if (found !== wanted) throw new Error(`${found} in place of ${wanted}`);
}

/** Whether an answer is a file that begins so, one character a byte. */
async function file(answer: Promise<{ data?: ArrayBuffer; response: Response }>, start: string): Promise<ArrayBuffer> {
  const { data, response } = await answer;
  same(response.status, 200);
  const bytes = data ?? new ArrayBuffer(0);
  same(String.fromCharCode(...new Uint8Array(bytes, 0, start.length)), start);
  return bytes;
}

/** What the generator has as a text, because JSON knows no bytes. */
function binary(bytes: ArrayBuffer): string {
  return new Blob([bytes]) as unknown as string;
}

const { data: all } = await client.GET("/api/v1/bundles");
same(all?.bundles[0].name, "tiny");
same((await client.GET("/api/v1/{bundle}", tiny)).data?.latent_dim, 8);
same((await client.GET("/api/v1/{bundle}/card", { ...tiny, parseAs: "text" })).error?.status, 404);

const face = await file(
  client.GET("/api/v1/{bundle}/faces/{seed}.{suffix}", {
    params: {
      path: { bundle: "told", seed: 42, suffix: "png" },
      query: { truncation: 0.5, with: ["smiling", "male"], edits: { smiling: 1 } },
    },
    parseAs: "arrayBuffer",
  }),
  "\x89PNG",
);
await file(
  client.GET("/api/v1/{bundle}/faces/random.{suffix}", {
    params: { path: { bundle: "told", suffix: "webp" } },
    parseAs: "arrayBuffer",
  }),
  "RIFF",
);

const order = { ...tiny, body: { faces: [{ seed: 1, count: 3 }, { latents: Array(8).fill(0) }] } };
same((await client.POST("/api/v1/{bundle}/faces", order)).data?.faces.length, 4);
await file(client.POST("/api/v1/{bundle}/faces.zip", { ...order, parseAs: "arrayBuffer" }), "PK");

const way = { from: { seed: 1 }, to: { seed: 2 }, frames: 3 };
same((await client.POST("/api/v1/{bundle}/interpolations", { ...tiny, body: way })).data?.faces.length, 3);
await file(
  client.POST("/api/v1/{bundle}/interpolations.{suffix}", {
    params: { path: { bundle: "tiny", suffix: "gif" } },
    body: way,
    parseAs: "arrayBuffer",
  }),
  "GIF8",
);

const seven = { params: { path: { bundle: "tiny", seed: 7 }, query: { truncation: 0.5 } } } as const;
same((await client.GET("/api/v1/{bundle}/latents/{seed}.json", seven)).data?.latents.length, 8);
const numbers = await file(
  client.GET("/api/v1/{bundle}/latents/{seed}.npy", { ...seven, parseAs: "arrayBuffer" }),
  "\x93NUMPY",
);
const npy = {
  ...tiny,
  headers: { "Content-Type": "application/x-npy" },
  body: binary(numbers),
  bodySerializer: (body: string) => body,
};
same((await client.POST("/api/v1/{bundle}/decode", npy)).data?.faces.length, 1);
await file(client.POST("/api/v1/{bundle}/decode.zip", { ...npy, parseAs: "arrayBuffer" }), "PK");

function form(fields: object): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
}
const photo = { body: { photo: binary(face), edits: "{}" }, bodySerializer: form };
const query = { align: false };
const { data: made } = await client.POST("/api/v1/{bundle}/reconstructions", {
  params: { path: { bundle: "tiny" }, query },
  ...photo,
});
same(made?.aligned, false);
await file(
  client.POST("/api/v1/{bundle}/reconstructions.{suffix}", {
    params: { path: { bundle: "tiny", suffix: "jpg" }, query },
    ...photo,
    parseAs: "arrayBuffer",
  }),
  "\xff\xd8",
);

same((await client.GET("/api/v1/problems/{kind}", { params: { path: { kind: "busy" } } })).data?.status, 503);
same(((await client.GET("/api/v1/problems")).data?.length ?? 0) > 10, true);
same((await client.GET("/health")).data?.status, "alive");
same((await client.GET("/ready")).data?.status, "ready");
same((await client.GET("/metrics", { parseAs: "text" })).data?.includes("face_generation_images_total"), true);
