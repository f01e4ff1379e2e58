"""The end of refining: detail and tones become like those of photos, as far as simple statistics tell.

Discriminators leave detail that is weaker than in photos, in some places more than in others, peaks in the spectrum,
and, as the prior does, fewer dark and light tones. For none of it a discriminator is needed: it is known of photos how
strong each band of frequencies is from place to place, and how often each value of what is left, by which textures are
matched as well (Heeger & Bergen 1995), and what their mean spectrum is. So what the decoder draws is changed
accordingly, and the decoder learns to draw that. It learns from nothing but its own pictures, each from the same
latents, so faces stay who they are.
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

BANDS = 2  # of the Laplacian pyramid (Burt & Adelson 1983); what is left, at a quarter of the size, has the tones
COLOURS = 3
QUANTILES = 100
PLACES = slice(2, None, 5)  # every fifth pixel both ways is enough to know how the strength of a band is distributed
MEASURED = 8000  # samples before each pass, and photos, at most: of fewer, tones are known too badly
FACTORS = math.log(0.3), math.log(1.6)  # by which detail is multiplied: none is made where there is nothing
LEARNING_RATE = 2e-5  # at its peak
WARM_UP = 0.05  # of the steps; a cosine to zero follows
GRID = 1e-3  # weight of the loss of grids
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
    """Trains `decoder` in place, to draw its samples with as much detail as photos have, in as many dark and light
    tones, and without grids.

    `epochs` is as many steps as that many passes over the photos, N×H×W×3, would take. Before each of them what the
    decoder draws by then is measured: how strong detail is, and the values of each colour, at each quantile of all
    places. The target is what it drew at first, with detail multiplied by the ratio of photos' to that, times those
    before, wherever its strength was at that quantile; tones likewise, but by differences.

    Args:
        truncated: Share of a batch that is truncated.
        truncation: To how little, at most; at random between that and 1.

    Returns:
        How far samples are from photos, before and after, averaged over quantiles: the strength of detail in decibels,
        tones in levels of 255.
    """
    device = decoder.notch.device
    generator = torch.Generator().manual_seed(0)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=best_precision() == "bf16-mixed")
    first = copy.deepcopy(decoder).requires_grad_(False)

    def pick(rows: Tensor) -> Tensor:
        return to_float(torch.from_numpy(photos[rows.numpy()]).to(device))

    def some_latents(cut: int = 0) -> Tensor:
        normal = torch.randn(batch_size, prior.mean.numel(), generator=generator)
        normal[:cut] *= torch.empty(cut, 1).uniform_(truncation, 1, generator=generator)
        with torch.no_grad():
            return prior.inverse(normal.to(device))

    def draw(network: Decoder, latents: Tensor) -> Tensor:
        return network(latents).float().clamp(-1, 1)

    @torch.no_grad()
    def measured() -> Tensor:
        # Not in bf16, as faces are drawn in the end: its rounding would be detail.
        progress = tqdm(same, desc="Measuring detail", unit="batch", delay=1, leave=False)
        return _statistics(_rounded(draw(decoder, latents)) for latents in progress)

    rows = torch.randperm(len(photos), generator=generator)[:MEASURED].sort().values.split(batch_size)
    wanted = _statistics(pick(chosen) for chosen in rows)
    same = [some_latents() for _ in rows]
    at_first = now = measured()
    changes = torch.zeros_like(now)
    grid = GridLoss(photos.shape[1], GRID_RATE, everywhere=False).to(device)
    steps = max(1, len(photos) // batch_size)
    optimizer = torch.optim.Adam([some for some in decoder.parameters() if some.requires_grad], fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, epochs * steps, pct_start=WARM_UP, cycle_momentum=False
    )
    cut = int(truncated * batch_size)
    with tqdm(total=epochs * steps, desc="Matching detail", unit="step") as progress:
        for _ in range(epochs):
            changes = changes + wanted - now
            changes[:BANDS].clamp_(*FACTORS)
            for _ in range(steps):
                latents = some_latents(cut)
                with precision:
                    drawn, images = draw(first, latents), draw(decoder, latents)
                target = _changed(drawn, at_first, changes).clamp(-1, 1)
                some_photos = pick(torch.randint(len(photos), (batch_size,), generator=generator).sort().values)
                peaks, _ = grid(images[cut:], decoder.smooth(some_photos))
                loss = F.mse_loss(images, target) + GRID * peaks
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                progress.update()
            now = measured()
            progress.set_postfix(_distances(wanted - now))
    return {
        f"detail/{when}_{unit}": far
        for when, then in (("before", at_first), ("after", now))
        for unit, far in _distances(wanted - then).items()
    }


def _distances(differences: Tensor) -> dict[str, float]:
    """Of statistics, in the units that people know: decibels, and levels of 255."""
    strengths, tones = differences.abs().split([BANDS, COLOURS])
    return {"db": 20 / math.log(10) * strengths.mean().item(), "levels": 127.5 * tones.mean().item()}


def _rounded(images: Tensor) -> Tensor:
    """Images in [-1, 1] as eight bits keep them."""
    return images.add(1).mul(127.5).round().div(127.5).sub(1)


def _pyramid(images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Images N×3×H×W → what each of BANDS halvings takes out, from the finest on; and what is left."""
    bands = []
    for _ in range(BANDS):
        halved = blur(images, stride=2)
        bands.append(images - enlarge(halved, images))
        images = halved
    return bands, images


def _strength(band: Tensor) -> Tensor:
    """A band N×3×h×w → the logarithm of its root mean square around each of its pixels, N×1×h×w."""
    return (blur(blur(band.square().mean(1, keepdim=True))) + ROUNDING).log() / 2


def _statistics(batches: Iterable[Tensor]) -> Tensor:
    """Batches of images N×3×H×W → quantiles over all places: of the strength of each band, and of each colour of what
    is left. (BANDS + COLOURS)×QUANTILES."""
    found = []
    for images in batches:
        bands, rest = _pyramid(images)
        strengths = [_strength(band)[..., PLACES, PLACES] for band in bands]
        found.append([some.flatten() for some in (*strengths, *rest.split(1, dim=1))])
    shares = (torch.arange(QUANTILES) + 0.5) / QUANTILES
    return torch.stack([_quantiles(torch.cat(values), shares) for values in zip(*found, strict=True)])


def _quantiles(values: Tensor, shares: Tensor) -> Tensor:
    return values.sort().values[(shares * len(values)).long().to(values.device)]


def _changed(images: Tensor, statistics: Tensor, changes: Tensor) -> Tensor:
    """Images N×3×H×W with each band multiplied by the exponential of what is to be added to its strength, and with
    something added to each colour of what is left. How much, is known at each of some `statistics`."""
    strengths, tones = statistics.split([BANDS, COLOURS])
    factors, shifts = changes.split([BANDS, COLOURS])
    bands, rest = _pyramid(images)
    colours = zip(rest.split(1, dim=1), tones, shifts, strict=True)
    images = rest + torch.cat([_interpolate(*colour) for colour in colours], dim=1)
    for band, strength, factor in reversed(list(zip(bands, strengths, factors, strict=True))):
        images = enlarge(images, band) + _interpolate(_strength(band), strength, factor).exp() * band
    return images


def _interpolate(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """The values at x, linear between K ascending knots and constant beyond them."""
    right = torch.searchsorted(knots, x.contiguous()).clamp(1, len(knots) - 1)
    left = right - 1
    share = (x - knots[left]) / (knots[right] - knots[left]).clamp_min(1e-6)
    return values[left].lerp(values[right], share.clamp(0, 1))
