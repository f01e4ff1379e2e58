import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from face_generation.errors import UserError
from face_generation.generator import Bundle, Generator
from face_generation.generator.bundle import shipped


@pytest.fixture(scope="module")
def generator(tiny_bundle: Path) -> Generator:
    return Generator.load(tiny_bundle)


def test_sample(generator: Generator) -> None:
    images = generator.sample(3)

    assert images.shape == (3, 150, 150, 3)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 3


def test_image_depends_on_its_own_seed_only(generator: Generator) -> None:
    images = generator.sample(7, seed=100)

    for i, image in enumerate(images):
        np.testing.assert_array_equal(generator.sample(1, seed=100 + i)[0], image)
    np.testing.assert_array_equal(np.stack(list(generator.stream(7, seed=100))), images)


def test_image_does_not_depend_on_threads(generator: Generator, tiny_bundle: Path) -> None:
    images = generator.sample(8, seed=3)

    with ThreadPoolExecutor(4) as pool:
        for others in pool.map(lambda _: generator.sample(8, seed=3), range(8)):
            np.testing.assert_array_equal(others, images)
    np.testing.assert_array_equal(Generator.load(tiny_bundle).sample(8, seed=3), images)


def test_latents_are_the_same_for_ever(generator: Generator) -> None:
    latents = generator.latents(3, seed=1)

    assert latents.dtype == np.float32
    assert latents.shape == (3, 8)
    assert latents[0, :3].tolist() == pytest.approx([1.62434536, -0.61175641, -0.52817175])
    digest = hashlib.sha256(latents.tobytes()).hexdigest()
    assert digest == "fb5a6310e2881ad5678114fcbc1d923b37097eaaf1b46db5fe3c61dc1db49771"


def test_latents_are_standard_normal(generator: Generator) -> None:
    latents = generator.latents(5000)

    assert latents.mean() == pytest.approx(0, abs=0.02)
    assert latents.std() == pytest.approx(1, abs=0.02)


def test_truncation_scales_latents(generator: Generator) -> None:
    np.testing.assert_array_equal(generator.latents(4, 9, 0.5), generator.latents(4, 9) / 2)
    average, again = generator.sample(2, 9, truncation=0)
    np.testing.assert_array_equal(average, again)


def test_truncation_is_the_bundle_s_where_none_is_given(told_bundle: Path) -> None:
    generator = Generator.load(told_bundle)

    np.testing.assert_array_equal(generator.latents(2, 9), generator.latents(2, 9, 0.8))
    assert (generator.latents(2, 9) != generator.latents(2, 9, 1.0)).any()


def test_last_seed(generator: Generator) -> None:
    assert generator.sample(1, seed=2**32 - 1).shape == (1, 150, 150, 3)
    with pytest.raises(UserError, match="past the last seed, 4294967295"):
        generator.latents(2, seed=2**32 - 1)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"n": 0}, "number of images must be a whole number from 1 on, not 0"),
        ({"n": -1}, "number of images"),
        ({"n": 1.5}, "number of images"),
        ({"n": "many"}, "number of images must be a whole number from 1 on, not 'many'"),
        ({"n": True}, "number of images"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, not -1"),
        ({"seed": 2**32}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"seed": None}, "seed"),
        ({"truncation": -0.1}, "truncation must be a number from 0 to 10, not -0.1"),
        ({"truncation": 10.1}, "truncation"),
        ({"truncation": float("nan")}, "truncation"),
        ({"truncation": float("inf")}, "truncation"),
        ({"truncation": "x"}, "truncation"),
    ],
)
@pytest.mark.parametrize("method", ["latents", "sample", "stream"])
def test_impossible_request(generator: Generator, method: str, request_: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        getattr(generator, method)(**({"n": 1} | request_))


def test_numpy_numbers_will_do(generator: Generator) -> None:
    assert generator.sample(np.int64(2), np.uint32(5), np.float32(0.5)).shape == (2, 150, 150, 3)


def test_stream_of_all_images_starts_at_once(generator: Generator) -> None:
    stream = generator.stream(2**32)

    np.testing.assert_array_equal(next(stream), generator.sample(1)[0])


def test_decode(generator: Generator) -> None:
    latents = generator.latents(2)

    np.testing.assert_array_equal(generator.decode(latents), generator.sample(2))
    np.testing.assert_array_equal(generator.decode(latents.astype(np.float64)), generator.sample(2))
    assert generator.decode(latents[:0]).shape == (0, 150, 150, 3)


@pytest.mark.parametrize("latents", [np.zeros(8), np.zeros((2, 7)), np.full((1, 8), np.nan), np.full((1, 8), np.inf)])
def test_decode_of_something_else(generator: Generator, latents: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"latents are finite numbers of shape \(n, 8\) for the bundle tiny"):
        generator.decode(latents)


def test_encode(generator: Generator) -> None:
    images = generator.sample(3)
    latents = generator.encode(images)

    assert latents.shape == (3, 8)
    assert latents.dtype == np.float32
    for image, latent in zip(images, latents, strict=True):
        np.testing.assert_array_equal(generator.encode(image[None])[0], latent)


@pytest.mark.parametrize(
    "images",
    [np.zeros((150, 150, 3), np.uint8), np.zeros((1, 128, 128, 3), np.uint8), np.zeros((1, 150, 150, 3), np.float32)],
)
def test_encode_of_something_else(generator: Generator, images: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"images are uint8 of shape \(n, 150, 150, 3\) for the bundle tiny"):
        generator.encode(images)


def test_bundle_without_encoder(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_bundle / "decoder.onnx", tmp_path)
    Bundle.write(tmp_path, name="half", latent_shape=[8], image_size=150, training={}, metrics={}, licence="MIT")
    half = Generator.load(tmp_path)

    with pytest.raises(UserError, match="bundle half has no encoder"):
        half.encode(half.sample(1))


@pytest.mark.parametrize("name", shipped())
def test_shipped_bundle_draws_faces(name: str) -> None:
    generator = Generator.load(name)
    images = generator.sample(4)

    assert images.shape == (4, 150, 150, 3)
    assert images.std(axis=(1, 2, 3)).min() > 20, "the images have contrast"
    assert np.abs(images[0].astype(float) - images[1]).mean() > 5, "seeds make different faces"
    if generator.bundle.has_encoder:
        again = generator.decode(generator.encode(images))
        assert np.abs(images.astype(float) - again).mean() < 15, "an encoded face decodes to a like face"


def test_imports_neither_torch_nor_mlflow() -> None:
    heavy = {"torch", "mlflow", "hydra", "pandas", "onnx"}
    script = f"import sys, face_generation.generator; print(*({heavy!r} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.split() == []


def test_drawing_leaves_no_trace_at_home_and_sends_no_reports(tmp_path: Path, tiny_bundle: Path) -> None:
    script = f"from face_generation.generator import Generator; Generator.load({str(tiny_bundle)!r}).sample(1)"
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}

    # ONNX Runtime reports about what it runs under a number that it keeps there, unless it is told not to.
    subprocess.run([sys.executable, "-c", script], env={**variables, "HOME": str(tmp_path)}, check=True)

    assert not list(tmp_path.iterdir())
