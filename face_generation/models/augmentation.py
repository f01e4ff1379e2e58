"""Differentiable augmentation (Zhao et al. 2020), which lets a discriminator learn from few images."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from face_generation import randomness

SHIFT = 1 / 8  # largest shift, as a share of the image size
CUTOUT = 1 / 2  # side of the hole, as a share of the image size


def draw_augmentation(count: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Draws a random brightness, saturation, contrast, shift and hole for each of `count` images.

    The function that it returns can be applied to several batches N×3×H×W in [-1, 1]: image i always gets the same
    augmentation. Every step is differentiable. When photos and a generator's images are both augmented, the
    discriminator cannot learn the photos by heart, and the generator does not learn to draw the augmentation.
    """
    brightness, saturation, contrast = (randomness.uniform(count, 3, 1, 1, 1, device=device) - 0.5).unbind(1)
    amounts = brightness, 1 + 2 * saturation, 1 + contrast
    shift = randomness.uniform(count, 2, device=torch.device("cpu"))
    centre = randomness.uniform(count, 2, 1, 1, 1, device=device).unbind(1)

    def augment(images: Tensor) -> Tensor:
        return _cutout(_translate(_recolour(images, *amounts), shift), *centre)

    return augment


def _recolour(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Adds to the brightness of images N×3×H×W and multiplies their saturation and contrast, by N×1×1×1 values each."""
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * saturation + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean


def _translate(images: Tensor, shift: Tensor) -> Tensor:
    """Shifts each image by up to an eighth of its size. Zeros fill the gap."""
    _, _, height, width = images.shape
    furthest = round(height * SHIFT)
    padded = F.pad(images, (furthest,) * 4)
    corners = (shift * (2 * furthest + 1)).long().tolist()
    # Slices are used because the gradient of indexing with arrays is a slow scatter.
    shifted = [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, corners, strict=True)]
    return torch.stack(shifted).contiguous(memory_format=torch.channels_last)


def _cutout(images: Tensor, centre_y: Tensor, centre_x: Tensor) -> Tensor:
    """Zeroes a square of half the image size around a point of each image. It may reach over the border."""
    _, _, height, width = images.shape
    half = CUTOUT / 2
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1) / height
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1) / width
    hole = ((y - centre_y).abs() < half) & ((x - centre_x).abs() < half)
    return images * ~hole
