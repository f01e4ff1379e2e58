"""Slight changes to photos, which make more faces of few."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from face_generation.models.augmentation import recolour

TURN = math.radians(3)  # at most, either way, as the others
SHIFT = 0.03  # of the image size
SCALE = 0.05
COLOUR = 0.1  # of brightness, contrast and saturation


def jitter(images: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """Images N×3×H×W in [-1, 1], each slightly turned, shifted, scaled and recoloured in its own way, alike.

    The border is continued outwards. Half of them are mirrored if `flip`. The generator is one of the CPU.
    """

    def draw(most: float) -> Tensor:
        return (most * (2 * torch.rand(len(images), generator=generator) - 1)).to(images.device)

    angle, zoom = draw(TURN), 1 + draw(SCALE)
    mirror = draw(1).sign() if flip else torch.ones_like(zoom)
    shift = 2 * torch.stack([draw(SHIFT), draw(SHIFT)], 1)  # in a grid from -1 to 1
    turn = torch.stack([angle.cos() * mirror, -angle.sin(), angle.sin() * mirror, angle.cos()], 1).unflatten(1, (2, 2))
    placement = torch.cat([zoom.view(-1, 1, 1) * turn, shift.unsqueeze(2)], 2)
    with torch.autocast(images.device.type, enabled=False):  # bf16 would misplace pixels by half of one
        grid = F.affine_grid(placement, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    brightness, contrast, saturation = (draw(COLOUR).view(-1, 1, 1, 1) for _ in range(3))
    return recolour(moved, brightness, 1 + saturation, 1 + contrast).clamp(-1, 1)
