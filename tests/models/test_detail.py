"""Matching detail and tones to photos': what it reaches, and what it leaves."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from face_generation.models import detail
from face_generation.models.detail import match_detail
from face_generation.networks import Decoder, Flow

SIZE = 32
SHAPE = (2, 8, 8)  # of the latents, two halvings below


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """One that draws some detail, and learns quickly."""
    monkeypatch.setattr(detail, "LEARNING_RATE", 1e-3)
    torch.manual_seed(0)
    decoder = Decoder(SHAPE[0], (8, 8), SIZE).eval()
    torch.nn.init.normal_(decoder.to_rgb.weight, std=0.1)
    return decoder


@pytest.fixture
def photos(decoder: Decoder) -> NDArray[np.uint8]:
    """What it draws, with half as much detail again."""
    images = draw(decoder, count=128)
    return rounded(images + 0.5 * (images - F.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)))


def rounded(images: Tensor) -> NDArray[np.uint8]:
    return images.clamp(-1, 1).add(1).mul(127.5).byte().permute(0, 2, 3, 1).numpy()


def match(decoder: Decoder, photos: NDArray[np.uint8]) -> dict[str, float]:
    prior = Flow(SHAPE, couplings=0, hidden=1).requires_grad_(False)
    return match_detail(decoder, prior, photos, epochs=20, batch_size=16, truncated=0.3, truncation=0.4)


def draw(decoder: Decoder, count: int = 16) -> Tensor:
    with torch.no_grad():
        return decoder(torch.randn(count, 2 * 8 * 8, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)


def test_detail_becomes_like_that_of_photos(decoder: Decoder, photos: NDArray[np.uint8]) -> None:
    figures = match(decoder, photos)

    assert figures["detail/before_db"] > 1
    assert figures["detail/after_db"] < 0.5 * figures["detail/before_db"]


def test_tones_become_like_those_of_photos(decoder: Decoder) -> None:
    figures = match(decoder, rounded(1.5 * draw(decoder, count=128) + 0.1))

    assert figures["detail/before_levels"] > 10
    assert figures["detail/after_levels"] < 0.3 * figures["detail/before_levels"]


def test_pictures_stay_what_they_are(decoder: Decoder, photos: NDArray[np.uint8]) -> None:
    before, statistics = draw(decoder), copy.deepcopy(dict(decoder.named_buffers()))
    match(decoder, photos)
    after = draw(decoder)

    assert (after - before).abs().mean() > 0.01  # something has changed
    coarse, change = (F.avg_pool2d(images, 8) for images in (before, after - before))
    assert change.std() < 0.2 * coarse.std()
    for name, buffer in decoder.named_buffers():
        assert torch.equal(buffer, statistics[name]), name
