"""The loss of grids: what it measures, and where it leads."""

import torch

from face_generation.models.grid import GridLoss

SIZE = 64
STRIPES = 0.2 * torch.tensor([1.0, 0.0, -1.0, 0.0]).repeat(SIZE // 4)  # 4 pixels apart


def noise(seed: int) -> torch.Tensor:
    return 0.2 * torch.randn(16, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def test_a_grid_stands_out_and_contrast_and_blur_do_not() -> None:
    photos = noise(0)
    blurred = (3 * photos + photos.roll(1, 2)) / 4
    grid, contrast, blur = (GridLoss(SIZE)(images, photos)[1] for images in (photos + STRIPES, 2 * photos, blurred))

    assert grid > 0.05
    assert contrast < 0.1 * grid
    assert blur < 0.5 * grid


def test_what_eight_bits_round_away_does_not_count() -> None:
    assert GridLoss(SIZE)((noise(0) + STRIPES) / 1e4, noise(0) / 1e4)[1] < 1e-2


def test_batches_are_averaged() -> None:
    loss = GridLoss(SIZE)
    for seed in range(100):
        _, peaks = loss(noise(seed), noise(1000 + seed))

    assert peaks < 0.5 * GridLoss(SIZE)(noise(0), noise(1000))[1]


def test_it_leads_away_from_a_grid_and_from_nothing_else() -> None:
    strength = torch.ones(2, requires_grad=True)  # of the stripes, and of a shift
    loss, _ = GridLoss(SIZE)(noise(1) + STRIPES * strength[0] + 0.2 * strength[1], noise(2))
    stripes, shift = torch.autograd.grad(loss, strength)[0]

    assert stripes > 0.01
    assert abs(shift) < 1e-4


def test_peaks_may_count_only_where_grids_show() -> None:
    def peaks(images: torch.Tensor) -> torch.Tensor:
        return GridLoss(SIZE, everywhere=False)(images, noise(3))[1]

    others = 0.2 * torch.cos(2 * torch.pi * 20 / SIZE * torch.arange(SIZE))  # 3.2 pixels apart

    assert peaks(noise(0) + STRIPES) > 5 * peaks(noise(0))
    assert peaks(noise(0) + others) < 2 * peaks(noise(0))
