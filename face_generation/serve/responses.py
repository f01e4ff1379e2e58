"""Writes answers with many faces: JSON with data URLs, zip, npy."""

import json
import zipfile
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from face_generation.serve.catalogue import ServedBundle

DIGITS = 10  # digits of a seed in a file name
MEDIA_TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "json": "application/json",
    "zip": "application/zip",
    "npy": "application/x-npy",
}


@dataclass(frozen=True)
class Drawing:
    """A face that was drawn."""

    seed: int | None
    latent: NDArray[np.float32]
    picture: bytes
    suffix: str

    def json(self) -> bytes:
        origin = {} if self.seed is None else {"seed": self.seed}
        return _json({**origin, "latents": self.latent.tolist(), "image": data_url(self.picture, self.suffix)})


def as_json(served: ServedBundle, faces: Iterable[Drawing]) -> bytes:
    """A `FacesAnswer`."""
    head = _json({"bundle": served.name, "version": served.version}).removesuffix(b"}")
    return head + b',"faces":[' + b",".join(face.json() for face in faces) + b"]}"


@dataclass(frozen=True)
class Reconstructed:
    """The reconstruction of a photo."""

    latent: NDArray[np.float32]
    aligned: bool
    found: bool
    difference: float
    original: bytes
    picture: bytes
    suffix: str

    def json(self, served: ServedBundle) -> bytes:
        """A `ReconstructionAnswer`."""
        return _json(
            {
                "bundle": served.name,
                "version": served.version,
                "latents": self.latent.tolist(),
                "aligned": self.aligned,
                "found": self.found,
                "difference": round(self.difference, 2),
                "original": data_url(self.original, self.suffix),
                "image": data_url(self.picture, self.suffix),
            }
        )


def as_zip(faces: Sequence[Drawing]) -> bytes:
    """Makes an archive of pictures, named after their seeds, or numbered if seeds are missing or repeated."""
    seeds = [face.seed for face in faces]
    names = seeds if None not in seeds and len(set(seeds)) == len(seeds) else range(len(faces))
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # not compressed, because pictures do not get smaller
        for name, face in zip(names, faces, strict=True):
            archive.writestr(f"{name:0{DIGITS}}.{face.suffix}", face.picture)
    return buffer.getvalue()


def as_npy(latents: NDArray[np.float32]) -> bytes:
    buffer = BytesIO()
    np.save(buffer, latents, allow_pickle=False)
    return buffer.getvalue()


def data_url(picture: bytes, suffix: str) -> str:
    return f"data:{MEDIA_TYPES[suffix]};base64,{b64encode(picture).decode('ascii')}"


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
