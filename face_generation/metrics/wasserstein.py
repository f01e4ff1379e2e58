"""The sliced Wasserstein distance between patches of a Laplacian pyramid, which compares texture and colour at each
scale."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from face_generation.generator.parallel import parallel_map
from face_generation.metrics import Estimate, Gap, Images, Metric
from face_generation.metrics.bootstrap import centred, equal_rows, halves

Floats = NDArray[np.floating]
Rows = NDArray[np.intp]
T = TypeVar("T")

PAPER = "Karras et al. 2018, Progressive Growing of GANs"
JUDGES = ("Laplacian pyramid",)
SWD = Metric(
    "swd",
    "SWD ×1000",
    "lower",
    "Sliced Wasserstein distance between small patches of samples and of real faces, times 1000: the mean of the four "
    "scales below. It sees texture and colour, but not whether the parts make a face.",
    PAPER,
    JUDGES,
)
LEVELS = tuple(
    Metric(f"swd_{key}", f"SWD ×1000, {title}", "lower", f"The same for {scale} alone.", PAPER, JUDGES)
    for key, title, scale in (
        ("full", "full size", "the finest details, such as hair and skin,"),
        ("half", "half size", "fine details"),
        ("quarter", "quarter size", "coarse details"),
        ("eighth", "eighth of the size", "the coarsest scale, the layout and colours,"),
    )
)
METRICS = (SWD, *LEVELS)
IMAGES = 4000  # most images of each set, whose patches take 300 MB
PATCH = 7  # height and width in pixels
PATCHES = 128  # patches of an image at each level
DIRECTIONS = 512
CHUNK = 16  # directions that a core projects onto at a time, at least
PROJECTIONS = 32_768  # products of patches and directions at a time, at least, because a thread pays for no fewer
BATCH = 64  # images whose pyramids are built at a time, which take 17 MB
# An interval takes hundreds of distances. Fewer patches and directions are enough for them.
INTERVAL_PATCHES = 32
INTERVAL_DIRECTIONS = 64
FLAT = 1e-3  # levels of 255; a smaller standard deviation is rounding error
BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


def sliced_wasserstein(images: Images, real: Images, seed: int) -> dict[str, Estimate]:
    """The sliced Wasserstein distance of Karras et al. 2018 (section 5 and their code), times 1000; lower is better.

    Patches of 7×7 pixels are drawn at random from each level of the images' Laplacian pyramids. Each colour channel of
    a level is scaled to zero mean and unit variance over the set. The distance between the two clouds of patches is the
    mean, over random directions, of the Wasserstein-1 distance between their projections. It grows as fewer images are
    used, so compare it only at equal numbers. A random part of the larger set is used, and at most 4,000 images of each
    set, because all patches of a level are in memory, 75 KB for each image.

    Args:
        images, real: Images N×H×W×3 and M×H×W×3 of one size.

    Returns:
        Figures by the keys of `METRICS`: `swd`, the mean of the levels, and the distances at full size, a half, a
        quarter and an eighth of it.

    Raises:
        Gap: A set has fewer than 4 images or no detail at some level, or the smallest level is smaller than a patch.
    """

    def measure(a: Floats, b: Floats, directions: Floats) -> tuple[float, list[float]]:
        few_a, few_b = a[:, :INTERVAL_PATCHES], b[:, :INTERVAL_PATCHES]
        few_directions = directions[:INTERVAL_DIRECTIONS]
        pairs = halves(len(a), len(b), seed)  # the same at each level, so that means over levels are of one half
        return _distance(a, b, directions), [_distance(few_a[i], few_b[j], few_directions) for i, j in pairs]

    values, resampled = zip(*_at_each_level(measure, images, real, seed), strict=True)
    mean = centred(float(np.mean(values)), np.mean(resampled, axis=0))
    levels = (centred(value, of_halves) for value, of_halves in zip(values, resampled, strict=True))
    return {metric.key: estimate for metric, estimate in zip(METRICS, (mean, *levels), strict=True)}


def mean_sliced_wasserstein(images: Images, real: Images, seed: int) -> float:
    """The value of `swd` without its interval, which is faster, to watch a model train."""
    return float(np.mean(_at_each_level(_distance, images, real, seed)))


def _at_each_level(measure: Callable[[Floats, Floats, Floats], T], images: Images, real: Images, seed: int) -> list[T]:
    """Calls `measure` for each level of the pyramids with equally many patches of both sets and directions D×3×PATCH².
    Only one level's patches are in memory at a time."""
    if min(len(images), len(real)) < 4:
        raise Gap(f"this metric needs at least 4 images, and there are {min(len(images), len(real))}; give more")
    rows, real_rows = equal_rows(len(images), len(real), seed)
    few, _ = equal_rows(len(rows), IMAGES, seed + 1)  # another seed makes this choice independent of the one before
    rows, real_rows = rows[few], real_rows[few]
    random = np.random.default_rng(seed)
    sizes = _sizes(images.shape[1])
    if sizes[-1] < PATCH:
        raise Gap(f"images of {sizes[0]} pixels are too small for this metric; give larger ones")

    def at(level: int) -> T:
        a = _patches(images, rows, level, sizes, random)
        b = _patches(real, real_rows, level, sizes, random)
        directions = random.standard_normal((DIRECTIONS, 3, PATCH**2), dtype=np.float32)
        directions /= np.linalg.norm(directions, axis=(1, 2), keepdims=True)
        return measure(a, b, directions)

    return [at(level) for level in range(len(sizes))]


def laplacian_level(images: Tensor, level: int, levels: int) -> Tensor:
    """One of the `levels` of the Laplacian pyramid (Burt & Adelson 1983) of images N×3×H×W: the images halved `level`
    times, minus the next smaller ones, enlarged. The last level is the smallest images themselves."""
    for _ in range(level):
        images = blur(images, stride=2)
    if level == levels - 1:
        return images
    return images - enlarge(blur(images, stride=2), images)


def blur(images: Tensor, stride: int = 1) -> Tensor:
    """Blurs images N×C×H×W with the 5×5 binomial kernel, mirrored at the edges. Stride 2 halves them, rounded up."""
    channels = images.shape[1]
    kernel = torch.outer(BINOMIAL, BINOMIAL).to(images.device).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, stride=stride, groups=channels)


def enlarge(images: Tensor, like: Tensor) -> Tensor:
    """Enlarges halved images N×C×⌈H/2⌉×⌈W/2⌉ to the size of `like`, N×C×H×W."""
    spread = torch.zeros_like(like)
    spread[:, :, ::2, ::2] = images
    return 4 * blur(spread)  # times 4, because three of four pixels are zero


def _patches(images: Images, rows: Rows, level: int, sizes: list[int], random: np.random.Generator) -> Floats:
    """Takes random patches at one level of the pyramids of the images `rows`: n×PATCHES×3×PATCH²."""
    patches = np.empty((len(rows), PATCHES, 3, PATCH**2), dtype=np.float32)
    y, x = random.integers(sizes[level] - PATCH + 1, size=(2, len(rows), PATCHES))
    title = f"Patches at {sizes[level]} pixels"
    for start in tqdm(range(0, len(rows), BATCH), desc=title, unit="batch", delay=1, leave=False):
        batch = slice(start, start + BATCH)
        pixels = torch.from_numpy(images[rows[batch]]).permute(0, 3, 1, 2).float().contiguous()
        planes = laplacian_level(pixels, level, len(sizes)).numpy()
        windows = np.lib.stride_tricks.sliding_window_view(planes, (PATCH, PATCH), axis=(2, 3))
        image = np.arange(len(planes))[:, np.newaxis]
        patches[batch] = windows[image, :, y[batch], x[batch]].reshape(len(planes), PATCHES, 3, PATCH**2)
    return patches


def _distance(a: Floats, b: Floats, directions: Floats) -> float:
    """The sliced Wasserstein distance, times 1000, between two equally large sets of patches n×p×3×PATCH², along unit
    vectors d×3×PATCH². Each channel is scaled to zero mean and unit variance over its set."""
    sets = [(patches, *_moments(patches)) for patches in (a, b)]

    def along(chunk: Floats) -> Floats:
        sorted_a, sorted_b = (_sorted_projections(*one, chunk) for one in sets)
        return np.abs(sorted_a - sorted_b).mean(axis=1)

    step = max(CHUNK, PROJECTIONS // (a.shape[0] * a.shape[1]))
    chunks = (directions[start : start + step] for start in range(0, len(directions), step))
    return 1000 * float(np.concatenate(list(parallel_map(along, chunks))).mean())


def _moments(patches: Floats) -> tuple[Floats, Floats]:
    """The mean and the standard deviation of each channel."""
    mean = patches.mean(axis=(0, 1, 3), dtype=np.float64)
    # This needs no float64 copy, unlike `std`. Squares of 255 levels lose nothing in float64 sums.
    squares = np.einsum("ijkl,ijkl->k", patches, patches, dtype=np.float64) / (patches.size / 3)
    variance = squares - np.square(mean)
    if variance.min() < FLAT**2:
        raise Gap("a set of images has no detail at some scale, and this metric is relative to it; look at the images")
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def _sorted_projections(patches: Floats, mean: Floats, std: Floats, directions: Floats) -> Floats:
    """Projects scaled patches onto each direction and sorts: d×np. The directions are scaled, because they are
    fewer."""
    scaled = directions / std[:, np.newaxis]
    projections = scaled.reshape(len(scaled), -1) @ patches.reshape(-1, scaled[0].size).T
    projections -= (scaled.sum(axis=2) @ mean)[:, np.newaxis]
    projections.sort(axis=1)
    return projections


def _sizes(size: int) -> list[int]:
    """The sizes of a pyramid's levels, each half of the one before, rounded up: 150 → [150, 75, 38, 19]."""
    return [-(-size // 2**level) for level in range(len(LEVELS))]
