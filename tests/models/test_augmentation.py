"""Differentiable augmentation: what it changes, what it keeps, and that gradients pass."""

import torch

from face_generation.models.augmentation import diff_augment, draw_augmentation


def faces(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 3, 150, 150, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_it_draws_from_the_seed() -> None:
    torch.manual_seed(0)
    first = diff_augment(faces())
    torch.manual_seed(0)
    assert torch.equal(diff_augment(faces()), first)
    assert not torch.equal(diff_augment(faces()), first)
    assert first.shape == (4, 3, 150, 150)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_alike_images_are_augmented_each_in_its_own_way() -> None:
    augmented = diff_augment(faces(1).repeat(8, 1, 1, 1))
    assert all(not torch.equal(augmented[0], other) for other in augmented[1:])


def test_batches_are_augmented_alike_where_asked_for() -> None:
    augment = draw_augmentation(4, torch.device("cpu"))

    assert torch.equal(augment(faces()), augment(faces()))
    assert not torch.equal(augment(faces()), draw_augmentation(4, torch.device("cpu"))(faces()))


def test_it_shifts_by_an_eighth_at_most_and_cuts_at_most_a_quarter_out() -> None:
    torch.manual_seed(1)
    zeros = (diff_augment(torch.ones(64, 3, 150, 150)) == 0).all(1).float().mean((1, 2))

    # A hole of 75×75, and two bands of at most 19 pixels.
    assert zeros.max() <= (75**2 + 2 * 19 * 150) / 150**2
    assert zeros.min() > 0
    assert zeros.std() > 0.01


def test_gradients_reach_every_pixel_that_is_left() -> None:
    images = faces().requires_grad_()
    augmented = diff_augment(images)
    augmented.sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    # Of what is neither shifted out nor cut out: at least (1 − 1/4)·(7/8)² of an image.
    assert (images.grad != 0).float().mean() > 0.5


def test_a_grey_image_stays_grey() -> None:
    augmented = diff_augment(torch.rand(4, 1, 150, 150).repeat(1, 3, 1, 1))
    assert torch.allclose(augmented[:, 0], augmented[:, 1], atol=1e-5)


def test_colours_may_stay() -> None:
    torch.manual_seed(1)
    ones = torch.ones(4, 3, 150, 150)
    unchanged = draw_augmentation(4, ones.device, colours=0)(ones)
    assert ((unchanged - 1).abs() < 1e-5).logical_or(unchanged == 0).all()
    assert ((draw_augmentation(4, ones.device, colours=0.1)(ones) - 1).abs() < 0.11).float().mean() > 0.4
