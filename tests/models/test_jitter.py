"""Slight changes to photos: that each is its own, slight, and drawn from the seed."""

import torch

from face_generation.models.jitter import jitter


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(n: int = 8) -> torch.Tensor:
    """The same smooth picture n times: dark above, light below, its left half redder."""
    y, x = torch.meshgrid(torch.linspace(-0.8, 0.8, 150), torch.linspace(-0.8, 0.8, 150), indexing="ij")
    return torch.stack([y - 0.2 * x.sign(), y, y]).expand(n, 3, 150, 150).contiguous()


def test_it_draws_from_the_generator() -> None:
    first = jitter(smooth(), True, generator())

    assert torch.equal(jitter(smooth(), True, generator()), first)
    assert not torch.equal(jitter(smooth(), True, generator(1)), first)


def test_each_image_is_changed_in_its_own_way_and_slightly() -> None:
    changed = jitter(smooth(), False, generator())

    assert changed.shape == (8, 3, 150, 150)
    assert changed.abs().max() <= 1
    assert all(not torch.allclose(changed[0], other, atol=1e-3) for other in changed[1:])
    distance = (changed - smooth()).abs().mean((1, 2, 3))
    assert (distance > 0).all()
    assert (distance < 0.25).all()


def test_half_are_mirrored_where_asked_for() -> None:
    def red_right(images: torch.Tensor) -> torch.Tensor:
        red = images[:, 0] - images[:, 1]
        return red[:, :, 100:].mean((1, 2)) > red[:, :, :50].mean((1, 2))

    assert not red_right(jitter(smooth(64), False, generator())).any()
    assert 16 < red_right(jitter(smooth(64), True, generator())).sum() < 48


def test_grey_stays_grey_and_nothing_comes_in_from_outside() -> None:
    light = jitter(torch.full((8, 3, 150, 150), 0.5), True, generator())

    torch.testing.assert_close(light[:, 0], light[:, 1])
    assert light.min() > 0.3
    torch.testing.assert_close(light, light.mean((2, 3), keepdim=True).expand_as(light))


def test_low_precision_moves_no_pixel() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        changed = jitter(smooth(), True, generator())

    torch.testing.assert_close(changed, jitter(smooth(), True, generator()))
