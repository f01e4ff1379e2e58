"""Differentiable augmentation: what it changes, what it keeps, and that gradients pass."""

import torch

from face_generation.models.augmentation import draw_augmentation


def faces(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 3, 150, 150, generator=torch.Generator().manual_seed(0)) * 2 - 1


def augmented_once(images: torch.Tensor) -> torch.Tensor:
    return draw_augmentation(len(images), images.device)(images)


def test_it_draws_from_the_seed() -> None:
    torch.manual_seed(0)
    first = augmented_once(faces())
    torch.manual_seed(0)
    assert torch.equal(augmented_once(faces()), first)
    assert not torch.equal(augmented_once(faces()), first)
    assert first.shape == (4, 3, 150, 150)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_equal_images_are_augmented_each_in_its_own_way() -> None:
    augmented = augmented_once(faces(1).repeat(8, 1, 1, 1))
    assert all(not torch.equal(augmented[0], other) for other in augmented[1:])


def test_several_batches_get_the_same_augmentation() -> None:
    augment = draw_augmentation(4, torch.device("cpu"))

    assert torch.equal(augment(faces()), augment(faces()))
    assert not torch.equal(augment(faces()), draw_augmentation(4, torch.device("cpu"))(faces()))


def test_shifts_are_an_eighth_and_holes_a_quarter_at_most() -> None:
    torch.manual_seed(1)
    zeros = (augmented_once(torch.ones(64, 3, 150, 150)) == 0).all(1).float().mean((1, 2))

    # A hole of 75×75, and two bands of at most 19 pixels.
    assert zeros.max() <= (75**2 + 2 * 19 * 150) / 150**2
    assert zeros.min() > 0
    assert zeros.std() > 0.01


def test_gradients_reach_every_pixel_that_is_left() -> None:
    images = faces().requires_grad_()
    augmented = augmented_once(images)
    augmented.sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    # Of what is neither shifted out nor cut out: at least (1 − 1/4)·(7/8)² of an image.
    assert (images.grad != 0).float().mean() > 0.5


def test_a_grey_image_stays_grey() -> None:
    augmented = augmented_once(torch.rand(4, 1, 150, 150).repeat(1, 3, 1, 1))
    assert torch.allclose(augmented[:, 0], augmented[:, 1], atol=1e-5)
