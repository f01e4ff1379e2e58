"""A loss of grids: the peaks that upsampling leaves in the spectrum of images, and photos do not have."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face_generation.metrics.sharpness import LUMA
from face_generation.metrics.spectrum import NEAR, grid_places

RATE = 0.03  # of running means over the last 33 batches or so
ROUNDING = (2 / 255) ** 2 / 12  # the energy of what eight bits round away, in [-1, 1]
AROUND = 11  # frequencies both ways, over whose mean a peak stands


class GridLoss(nn.Module):
    """How far peaks stand out of the mean power spectrum of drawn images, and not of that of photos; gaps likewise.

    Upsampling leaves them, and a loss of spectra takes them away (Durall et al. 2020). Theirs compares the whole
    spectrum of each image, averaged over rings around the origin. This one is of the mean over images, so that each may
    have as much detail as it likes; and of peaks alone, for where there is too little detail noise would do as well. A
    batch has too few images for it: running means are compared, and the batch gets the gradient.

    Args:
        image_size: Height and width of the images, in pixels.
        rate: Of the running means.
        everywhere: Whether all frequencies count, or peaks alone, at those where `metrics.spectrum` looks for grids.
    """

    luma: Tensor
    window: Tensor
    counted: Tensor
    drawn: Tensor
    photos: Tensor

    def __init__(self, image_size: int, rate: float = RATE, everywhere: bool = True) -> None:
        super().__init__()
        self.rate = rate
        self.least = -math.inf if everywhere else 0.0
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)
        hann = torch.hann_window(image_size, periodic=False)  # the borders would be a cross
        self.register_buffer("window", torch.outer(hann, hann), persistent=False)
        self.floor = ROUNDING * self.window.square().sum().item()  # below it, eight bits round it away
        shape = image_size, image_size // 2 + 1
        counted = torch.ones(shape) if everywhere else _around(grid_places(image_size, image_size), image_size)
        self.register_buffer("counted", counted / counted.sum(), persistent=False)
        self.register_buffer("drawn", torch.zeros(shape))  # running means; zeros before the first batch
        self.register_buffer("photos", torch.zeros(shape))

    def forward(self, drawn: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Images N×3×H×W and photos M×3×H×W in [-1, 1] → a loss whose gradient lowers peaks and fills gaps, each by how
        far the logarithm of its power stands out; and the root mean square of that, in nats."""
        power = self._power(drawn)
        with torch.no_grad():
            for mean, batch in ((self.drawn, power), (self.photos, self._power(photos))):
                mean.lerp_(batch, torch.where(mean.any(), self.rate, 1.0))
            floored = self.drawn + self.floor
            log_ratio = (floored / (self.photos + self.floor)).log()
            peaks = (log_ratio - _mean_around(log_ratio, AROUND)).clamp_min(self.least)
        return (self.counted * peaks / floored * power).sum(), (self.counted * peaks.square()).sum().sqrt()

    def _power(self, images: Tensor) -> Tensor:
        """Images N×3×H×W → the mean power spectrum of their luma, over 3×3 frequencies each: H×(W/2 + 1)."""
        luma = (images.float() * self.luma).sum(1)
        luma = (luma - luma.mean((1, 2), keepdim=True)) * self.window
        power = torch.fft.rfft2(luma).abs().square().mean(0)
        return _mean_around(power, 3)


def _mean_around(x: Tensor, size: int) -> Tensor:
    """H×W → each value's mean with those around it, size×size; H×W."""
    return F.avg_pool2d(x[None, None], size, stride=1, padding=size // 2, count_include_pad=False)[0, 0]


def _around(places: list[tuple[int, int]], size: int) -> Tensor:
    """A half spectrum, size×(size/2 + 1), of ones at and next to some places of the whole one, and of zeros."""
    whole = torch.zeros(size, size)
    near = range(-NEAR, NEAR + 1)
    for y, x in places:
        for sign, dy, dx in itertools.product((-1, 1), near, near):  # both halves, which mirror each other
            whole[(sign * y + dy) % size, (sign * x + dx) % size] = 1
    return whole[:, : size // 2 + 1]
