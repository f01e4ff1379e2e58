"""Differentiable augmentation (Zhao et al. 2020): what lets a discriminator learn from few images."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 1 / 8  # of the image size, at most
CUTOUT = 1 / 2  # side of the hole, of the image size


def draw_augmentation(count: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Draws a random brightness, saturation, contrast, shift and hole for each of `count` images in [-1, 1], to be
    applied to several batches N×3×H×W of so many: image i always gets the same.

    Every step is differentiable. Applied to photos and to a generator's images, it keeps the discriminator from
    learning the photos by heart without the generator learning to draw the augmentation.
    """
    brightness, saturation, contrast = torch.rand(3, count, 1, 1, 1, device=device) - 0.5
    amounts = brightness, 1 + 2 * saturation, 1 + contrast
    shift = torch.rand(count, 2)
    centre = torch.rand(2, count, 1, 1, 1, device=device)

    def augment(images: Tensor) -> Tensor:
        return _cutout(_translate(_recolour(images, *amounts), shift), *centre)

    return augment


def _recolour(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Images N×3×H×W, each with its own brightness added, and its saturation and contrast multiplied; N×1×1×1 each."""
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * saturation + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean


def _translate(images: Tensor, shift: Tensor) -> Tensor:
    """Shifts each image by up to an eighth of its size; zeros come in from outside."""
    _, _, height, width = images.shape
    furthest = round(height * SHIFT)
    padded = F.pad(images, (furthest,) * 4)
    corners = (shift * (2 * furthest + 1)).long().tolist()
    # Slices, because the gradient of an index with arrays is a slow scatter.
    shifted = [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, corners, strict=True)]
    return torch.stack(shifted).contiguous(memory_format=torch.channels_last)


def _cutout(images: Tensor, centre_y: Tensor, centre_x: Tensor) -> Tensor:
    """Zeroes a square of half the size, around its own place in each image, so it may hang over the border."""
    _, _, height, width = images.shape
    half = CUTOUT / 2
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1) / height
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1) / width
    hole = ((y - centre_y).abs() < half) & ((x - centre_x).abs() < half)
    return images * ~hole
