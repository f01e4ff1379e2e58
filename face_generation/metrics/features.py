"""Computes features of images with a network, a batch at a time."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from face_generation.hardware import device
from face_generation.metrics import Images

BATCH = 32  # images


@torch.inference_mode()
def extract(images: Images, measure: Callable[[Tensor], Tensor], dimensions: int, title: str) -> NDArray[np.float32]:
    """Images, uint8 N×H×W×3 → their features, float32 N×`dimensions`.

    Args:
        measure: Turns a batch, uint8 B×3×H×W on `hardware.device()`, into features B×`dimensions`.
        title: Title of the progress bar.
    """
    found = np.empty((len(images), dimensions), dtype=np.float32)
    with tqdm(total=len(images), desc=title, unit="image", delay=1) as bar:
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(np.array(images[start : start + BATCH])).to(device()).permute(0, 3, 1, 2)
            found[start : start + BATCH] = measure(batch).cpu().numpy()
            bar.update(len(batch))
    return found
