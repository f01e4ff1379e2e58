"""YuNet (Wu, Peng & Yu 2023, doi:10.1007/s11633-023-1423-y): a small network that finds faces and their landmarks.

The network is the file beside this one. Its README.md has the source and the licence.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

NETWORK = Path(__file__).with_name("yunet_n.onnx")
STRIDES = (8, 16, 32)  # pixels between anchors, for each of the three sizes of faces
SAME = 0.5  # boxes whose intersection over union is above this belong to one face


@dataclass(frozen=True)
class Detection:
    """A face in an image. Points are x and y, in pixels from the upper left corner."""

    score: float  # from 0 to 1
    box: NDArray[np.float32]  # left, top, right, bottom
    landmarks: NDArray[np.float32]  # 5×2: the eyes, the nose, the corners of the mouth; each pair from left to right


def detect(image: NDArray[np.uint8], threshold: float) -> list[Detection]:
    """Finds the faces of an image, uint8 RGB H×W×3, that score at least `threshold`, the best first.

    Several anchors see each face. They are averaged, which is less noisy than taking the best. Faces that are 10 to 300
    pixels wide are found. It may be called from several threads.
    """
    height, width, _ = image.shape
    rows, columns = (-(-side // STRIDES[-1]) for side in (height, width))
    padded = np.zeros((1, 3, rows * STRIDES[-1], columns * STRIDES[-1]), dtype=np.float32)
    padded[0, :, :height, :width] = image[..., ::-1].transpose(2, 0, 1)  # the network was trained on BGR from 0 to 255
    session = _session()
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, {"input": padded}), strict=True))

    found = []
    for stride in STRIDES:
        scores = np.sqrt(np.clip(outputs[f"cls_{stride}"], 0, 1) * np.clip(outputs[f"obj_{stride}"], 0, 1))[0, :, 0]
        (chosen,) = np.nonzero(scores >= threshold)
        anchors = np.stack([chosen % (padded.shape[3] // stride), chosen // (padded.shape[3] // stride)], axis=1)
        boxes, landmarks = outputs[f"bbox_{stride}"][0, chosen], outputs[f"kps_{stride}"][0, chosen].reshape(-1, 5, 2)
        centres, halves = anchors + boxes[:, :2], np.exp(boxes[:, 2:]) / 2
        boxes = np.concatenate([centres - halves, centres + halves], axis=1)
        found.append((scores[chosen], boxes * stride, (landmarks + anchors[:, None]) * stride))
    return _merged(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _merged(scores: NDArray[np.float32], boxes: NDArray[np.float32], landmarks: NDArray[np.float32]) -> list[Detection]:
    """Merges the boxes of each face into one detection, with the best score and averages weighted by scores."""
    faces = []
    order = np.argsort(-scores, kind="stable")
    while len(order):
        same = _overlap(boxes[order[0]], boxes[order]) > SAME
        group = order[same]
        faces.append(
            Detection(
                float(scores[order[0]]),
                np.average(boxes[group], axis=0, weights=scores[group]),
                np.average(landmarks[group], axis=0, weights=scores[group]),
            )
        )
        order = order[~same]
    return faces


def _overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The intersection over union of a box and each of N×4 boxes."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    return shared / (np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared)


@cache
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # callers have threads of their own
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(NETWORK, options, providers=["CPUExecutionProvider"])
