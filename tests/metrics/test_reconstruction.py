from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray

from face_generation.metrics import Gap, reconstruction
from face_generation.metrics.reconstruction import BATCH, face_distance, lpips, psnr, ssim


@pytest.fixture(scope="module")
def originals() -> NDArray[np.uint8]:
    """Smooth pictures, all different. They are more than a batch."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48] / 48
    waves = random.uniform(1, 9, size=(BATCH + 5, 3, 2))
    pictures = [np.sin(wave[:, :1, np.newaxis] * x + wave[:, 1:, np.newaxis] * y) for wave in waves]
    return (127.5 + 80 * np.array(pictures)).astype(np.uint8).transpose(0, 2, 3, 1)


def shifted(images: NDArray[np.uint8], amount: int) -> NDArray[np.uint8]:
    return (images.astype(int) + amount).clip(0, 255).astype(np.uint8)


def noisy(images: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).normal(scale=deviation, size=images.shape)
    return (images + noise).clip(0, 255).round().astype(np.uint8)


def test_psnr_is_the_mean_over_images(originals: NDArray[np.uint8]) -> None:
    reconstructions = np.concatenate([shifted(originals[:30], 2), shifted(originals[30:], 8)])
    errors = np.array([2.0] * 30 + [8.0] * (len(originals) - 30))
    expected = (20 * np.log10(255 / errors)).mean()

    found = psnr(originals, reconstructions, seed=0)

    assert found.value == pytest.approx(expected, abs=1e-4)
    assert found.low < found.value < found.high


def test_psnr_of_the_original_itself_is_a_gap(originals: NDArray[np.uint8]) -> None:
    reconstructions = shifted(originals, 3)
    reconstructions[5] = originals[5]

    with pytest.raises(Gap, match="1 of 37 images have a value that is NaN or infinite"):
        psnr(originals, reconstructions, seed=0)


def test_ssim_of_the_original_is_one_and_falls_with_noise(originals: NDArray[np.uint8]) -> None:
    same, little, much = (ssim(originals, noisy(originals, deviation), seed=0).value for deviation in (0, 10, 40))

    assert same == pytest.approx(1, abs=1e-6)
    assert 0 < much < little < 0.99


def test_ssim_of_flat_pictures_is_its_luminance_term() -> None:
    flat = np.zeros((3, 32, 32, 3), dtype=np.uint8) + np.array([50, 100, 150], np.uint8)[:, None, None, None]
    a, b, c1 = flat[:, 0, 0, 0] / 255, (flat[:, 0, 0, 0] + 60) / 255, 0.01**2
    expected = ((2 * a * b + c1) / (a**2 + b**2 + c1)).mean()

    assert ssim(flat, shifted(flat, 60), seed=0).value == pytest.approx(expected, abs=1e-3)


def test_figures_read_memory_maps_and_depend_on_the_seed_alone(originals: NDArray[np.uint8], tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", originals)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    reconstructions = noisy(originals, 10)

    for metric in (psnr, ssim):
        assert metric(mapped, reconstructions, seed=1) == metric(originals, reconstructions, seed=1)
        assert metric(mapped, reconstructions, seed=1) != metric(originals, reconstructions, seed=2)


def test_face_distance_is_euclidean() -> None:
    originals = np.random.default_rng(0).normal(size=(20, 128)).astype(np.float32)
    step = np.zeros(128, dtype=np.float32)
    step[:2] = 3, 4

    found = face_distance(originals, originals + step, seed=0)

    assert (found.value, found.low, found.high) == pytest.approx((5, 5, 5), abs=1e-5)


def test_one_image_is_a_gap(originals: NDArray[np.uint8]) -> None:
    with pytest.raises(Gap, match="at least 2 images, and there are 1"):
        ssim(originals[:1], originals[:1], seed=0)


@pytest.mark.usefixtures("nothing_to_fetch")
def test_lpips_without_its_weights_is_a_gap(originals: NDArray[np.uint8], torch_home: Path) -> None:
    with pytest.raises(Gap, match=rf"AlexNet cannot be fetched \(.+\); put https://.*\.pth into {torch_home}/hub"):
        lpips(originals, originals, seed=0)


@pytest.fixture
def alexnet(nothing_to_fetch: None, torch_home: Path) -> None:
    """Random weights where the gap says."""
    torch.manual_seed(0)
    folder = torch_home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), folder / "alexnet-owt-7be5be79.pth")


@pytest.mark.slow
@pytest.mark.usefixtures("alexnet")
def test_lpips_with_weights_where_its_gap_says(originals: NDArray[np.uint8]) -> None:
    same, little, much = (lpips(originals, noisy(originals, deviation), seed=0) for deviation in (0, 10, 40))

    assert same.high < 1e-9
    assert 1e-6 < little.low < little.high < much.value


@pytest.mark.slow
@pytest.mark.usefixtures("alexnet")
def test_a_device_error_is_not_called_a_failed_fetch(
    originals: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "_device", lambda: "nowhere")

    with pytest.raises(RuntimeError, match="nowhere"):
        lpips(originals, originals, seed=0)
