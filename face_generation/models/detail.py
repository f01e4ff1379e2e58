"""The end of refining: detail becomes like that of photos, as far as simple statistics tell.

Discriminators leave detail that is weaker than in photos, in some places more than in others, and peaks in the
spectrum. For both no discriminator is needed: it is known of photos how the energy of each band of frequencies varies
from place to place, by which textures are matched as well (Heeger & Bergen 1995), and what their mean spectrum is. So
what the decoder draws is changed accordingly, and the decoder learns to draw that. It learns from nothing but its own
pictures, each from the same latents, so faces stay who they are.
"""

import copy
import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from face_generation.data.datamodule import to_float
from face_generation.hardware import best_precision
from face_generation.metrics.wasserstein import blur, enlarge
from face_generation.models.grid import ROUNDING, GridLoss
from face_generation.networks import Decoder, Flow

BANDS = 3  # of the Laplacian pyramid (Burt & Adelson 1983)
QUANTILES = 100
PLACES = 5  # every fifth pixel both ways is enough to know how energies are distributed
SAMPLES = 1000  # whose energies are measured before each pass, at most
FACTORS = math.log(0.3), math.log(1.6)  # by which detail is multiplied: none is made where there is nothing
LEARNING_RATE = 2e-5  # at its peak
WARM_UP = 0.05  # of the steps; a cosine to zero follows
GRID = 5e-4  # weight of the loss of grids
GRID_RATE = 0.01  # of its running means: over a hundred batches, for little else changes


def match_detail(
    decoder: Decoder,
    prior: Flow,
    photos: NDArray[np.uint8],
    epochs: int,
    batch_size: int,
    truncated: float,
    truncation: float,
) -> dict[str, float]:
    """Trains `decoder` in place, to draw its samples with as much detail as photos have, and without grids.

    `epochs` is as many steps as that many passes over the photos, N×H×W×3, would take. Before each of them the energy
    of detail in what the decoder draws by then is measured at each quantile of all places, and compared with photos'.
    The target is what it drew at first, with detail multiplied by the ratio, times those before, wherever its energy
    was at that quantile.

    Args:
        truncated: Share of a batch that is truncated.
        truncation: To how little, at most; at random between that and 1.

    Returns:
        How far the energies of samples are from those of photos, before and after, in decibels, averaged over
        quantiles.
    """
    device = decoder.notch.device
    generator = torch.Generator().manual_seed(0)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=best_precision() == "bf16-mixed")
    first = copy.deepcopy(decoder).requires_grad_(False)

    def some_photos() -> Tensor:
        rows = torch.randint(len(photos), (batch_size,), generator=generator).sort().values
        return to_float(torch.from_numpy(photos[rows.numpy()]).to(device))

    def some_latents(cut: int = 0) -> Tensor:
        normal = torch.randn(batch_size, prior.mean.numel(), generator=generator)
        normal[:cut] *= torch.empty(cut, 1).uniform_(truncation, 1, generator=generator)
        with torch.no_grad():
            return prior.inverse(normal.to(device))

    def draw(network: Decoder, latents: Tensor) -> Tensor:
        with precision:
            return network(latents).float().clamp(-1, 1)

    @torch.no_grad()
    def energies() -> Tensor:
        return _energies(_rounded(draw(decoder, some_latents())) for _ in range(batches))

    batches = math.ceil(min(SAMPLES, len(photos)) / batch_size)
    wanted = _energies(some_photos() for _ in range(batches))
    at_first = now = energies()
    factors = torch.zeros_like(now)  # logarithms of what detail is multiplied by, at each quantile
    grid = GridLoss(photos.shape[1], GRID_RATE, everywhere=False).to(device)
    steps = max(1, len(photos) // batch_size)
    optimizer = torch.optim.Adam([some for some in decoder.parameters() if some.requires_grad], fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, epochs * steps, pct_start=WARM_UP, cycle_momentum=False
    )
    cut = int(truncated * batch_size)
    with tqdm(total=epochs * steps, desc="Matching detail", unit="step") as progress:
        for _ in range(epochs):
            factors = (factors + (wanted - now) / 2).clamp(*FACTORS)
            for _ in range(steps):
                latents = some_latents(cut)
                with torch.no_grad():
                    target = _multiplied(draw(first, latents), at_first, factors).clamp(-1, 1)
                images = draw(decoder, latents)
                peaks, _ = grid(images[cut:], decoder.smooth(some_photos()))
                loss = F.mse_loss(images, target) + GRID * peaks
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                progress.update()
            now = energies()
            progress.set_postfix(db=f"{_decibels(wanted - now):.2f}")
    return {"detail/before_db": _decibels(wanted - at_first), "detail/after_db": _decibels(wanted - now)}


def _decibels(log_ratios: Tensor) -> float:
    return 10 / math.log(10) * log_ratios.abs().mean().item()


def _rounded(images: Tensor) -> Tensor:
    """Images in [-1, 1] as eight bits keep them."""
    return images.add(1).mul(127.5).round().div(127.5).sub(1)


def _pyramid(images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Images N×3×H×W → what each of BANDS halvings takes out, from the finest on, and what is left."""
    bands = []
    for _ in range(BANDS):
        halved = blur(images, stride=2)
        bands.append(images - enlarge(halved, images))
        images = halved
    return bands, images


def _energy(band: Tensor) -> Tensor:
    """A band N×3×h×w → the logarithm of its energy around each of its pixels, N×1×h×w."""
    return (blur(blur(band.square().mean(1, keepdim=True))) + ROUNDING).log()


def _energies(batches: Iterable[Tensor]) -> Tensor:
    """Batches of images N×3×H×W → quantiles of the log energies of each band over all places: BANDS×QUANTILES."""
    found = [[_energy(band)[..., ::PLACES, ::PLACES].flatten() for band in _pyramid(images)[0]] for images in batches]
    shares = (torch.arange(QUANTILES) + 0.5) / QUANTILES
    return torch.stack([_quantiles(torch.cat(band), shares) for band in zip(*found, strict=True)])


def _quantiles(values: Tensor, shares: Tensor) -> Tensor:
    return values.sort().values[(shares * len(values)).long().to(values.device)]


def _multiplied(images: Tensor, energies: Tensor, factors: Tensor) -> Tensor:
    """Images N×3×H×W with each band multiplied by the exponential of a factor, which is known for some log energies of
    its own around a pixel (both BANDS×QUANTILES, the energies ascending)."""
    bands, images = _pyramid(images)
    for band, knots, values in reversed(list(zip(bands, energies, factors, strict=True))):
        images = enlarge(images, band) + _interpolate(_energy(band), knots, values).exp() * band
    return images


def _interpolate(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """The values at x, linear between K ascending knots and constant beyond them."""
    right = torch.searchsorted(knots, x).clamp(1, len(knots) - 1)
    left = right - 1
    share = (x - knots[left]) / (knots[right] - knots[left]).clamp_min(1e-6)
    return values[left].lerp(values[right], share.clamp(0, 1))
