"""Latents of packed splits: encoded once, by the encoder of a bundle, with the attributes of their faces."""

import shutil
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image

from face_generation.data.latents import LatentDataModule
from face_generation.data.packing import pack
from face_generation.data.splits import packed_attributes
from face_generation.errors import UserError
from face_generation.generator import Generator


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("latents")


@pytest.fixture(scope="module")
def module(tiny_bundle: Path, synthetic_splits: Path, cache: Path) -> LatentDataModule:
    data = LatentDataModule(str(tiny_bundle), str(cache), folder=str(synthetic_splits), batch_size=8)
    data.prepare_data()
    data.setup("fit")
    return data


def test_batches_are_encoded_images_and_mirror_images(
    module: LatentDataModule, tiny_bundle: Path, synthetic_splits: Path
) -> None:
    generator = Generator.load(tiny_bundle)
    images = np.load(synthetic_splits / "train.npy")[[3, 7]]
    latents, attributes = module.splits["train"].gather([3, 7])
    for side, view in enumerate((images, images[:, :, ::-1])):
        expected = generator.encode(np.ascontiguousarray(view))
        np.testing.assert_allclose(latents[:, side].numpy(), expected, rtol=2e-3, atol=2e-3)
    _, values = packed_attributes(synthetic_splits, "train")
    assert np.array_equal(attributes.numpy(), values[[3, 7]])


def test_shapes_come_from_the_bundle_and_moments_from_latents(module: LatentDataModule, tiny_bundle: Path) -> None:
    shapes = module.shapes
    bundle = Generator.load(tiny_bundle).bundle
    assert shapes["latent_shape"] == [*bundle.latent_shape, 1, 1]
    assert len(shapes["attributes"]) == 40
    assert "smiling" in shapes["attributes"]
    every = module.splits["train"].gather(list(range(len(module.splits["train"]))))[0]
    channels = every.unflatten(2, (bundle.latent_shape[0], -1)).double()
    np.testing.assert_allclose(shapes["latent_mean"], channels.mean((0, 1, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(shapes["latent_std"], channels.std((0, 1, 3), correction=0), rtol=1e-3, atol=1e-4)


def test_what_is_encoded_is_kept(module: LatentDataModule, cache: Path) -> None:
    (path,) = cache.glob("*/train.npy")
    before = path.stat().st_mtime_ns
    module.prepare_data()
    assert path.stat().st_mtime_ns == before


def test_validation_sees_no_mirror_images(module: LatentDataModule) -> None:
    batch = next(iter(module.val_dataloader()))
    latents, _ = module.on_after_batch_transfer(batch, 0)
    assert torch.equal(latents, batch[0][:, 0])


def test_the_newest_bundle_of_a_folder_is_taken(tiny_bundle: Path, synthetic_splits: Path, cache: Path) -> None:
    data = LatentDataModule(str(tiny_bundle.parent), str(cache), folder=str(synthetic_splits))
    assert Path(data.autoencoder) == tiny_bundle


@pytest.mark.parametrize(("bundle", "message"), [("nowhere", "no bundle 'nowhere'"), ("dcgan", "has no encoder")])
def test_what_cannot_encode_is_refused(bundle: str, message: str, synthetic_splits: Path, tmp_path: Path) -> None:
    data = LatentDataModule(bundle, str(tmp_path), folder=str(synthetic_splits))
    with pytest.raises(UserError, match=message):
        data.prepare_data()


def test_the_same_names_with_other_pixels_are_encoded_again(
    tiny_bundle: Path, synthetic_splits: Path, tmp_path: Path
) -> None:
    raw = Path(shutil.copytree(synthetic_splits.with_name("splits-raw"), tmp_path / "raw"))
    options = {"folder": str(tmp_path / "splits"), "batch_size": 8}
    for _ in range(2):
        pack(raw, tmp_path / "splits")
        LatentDataModule(str(tiny_bundle), str(tmp_path / "cache"), **options).prepare_data()
        shutil.rmtree(tmp_path / "splits")
        darken(raw / "img_align_celeba.zip")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def darken(archive: Path) -> None:
    with ZipFile(archive) as file:
        images = {name: Image.open(BytesIO(file.read(name))) for name in file.namelist()}
        for image in images.values():
            image.load()
    with ZipFile(archive, "w") as file:
        for name, image in images.items():
            with file.open(name, "w") as member:
                image.point(lambda value: value // 2).save(member, "JPEG")
