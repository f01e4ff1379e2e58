"""The loss of spectra: what it measures, and where it leads."""

import math

import torch

from face_generation.models.spectrum import SpectrumLoss

SIZE = 64


def noise(seed: int) -> torch.Tensor:
    return 0.2 * torch.randn(16, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def test_twice_the_contrast_is_four_times_the_power() -> None:
    loss = SpectrumLoss(SIZE)
    photos = noise(0)

    assert math.isclose(loss(2 * photos, photos)[1].item(), math.log(4), rel_tol=1e-3)
    assert math.isclose(SpectrumLoss(SIZE)(photos, photos)[1].item(), 0, abs_tol=1e-6)


def test_what_eight_bits_round_away_does_not_count() -> None:
    silent = noise(0) / 1e6

    assert SpectrumLoss(SIZE)(10 * silent, silent)[1] < 1e-3


def test_batches_are_averaged() -> None:
    loss = SpectrumLoss(SIZE)
    for seed in range(100):
        _, far = loss(noise(seed), noise(1000 + seed))

    assert far < 0.5 * SpectrumLoss(SIZE)(noise(0), noise(1000))[1]


def test_it_leads_away_from_a_grid_and_from_blur_and_not_from_detail_at_other_places() -> None:
    grid = 0.2 * torch.tensor([1.0, 0.0, -1.0, 0.0]).repeat(SIZE // 4)  # stripes of 4 pixels
    strength = torch.tensor([1.0, 0.5, 1.0], requires_grad=True)  # of the stripes, of all detail, of a shift
    loss, _ = SpectrumLoss(SIZE)(noise(1) * strength[1] + grid * strength[0] + 0.2 * strength[2], noise(2))
    stripes, detail, shift = torch.autograd.grad(loss, strength)[0]

    assert stripes > 0.01
    assert detail < -0.01
    assert abs(shift) < 1e-4
