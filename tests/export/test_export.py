"""From a checkpoint to a bundle: the exported networks compute what the trained ones do."""

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnxruntime import InferenceSession

from face_generation.data.datamodule import to_float
from face_generation.data.latents import LatentDataModule
from face_generation.data.splits import packed_attributes
from face_generation.errors import UserError
from face_generation.export.bundle import export_bundle
from face_generation.export.onnx import write_sampler
from face_generation.generator import Bundle, Generator, origin
from face_generation.models import VAE, Prior, checkpoint
from face_generation.networks.prior import FlowSampler, FlowTransformer

Provenance = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def described(provenance: Provenance) -> dict[str, Any]:
    """Where the VAE comes from, as its checkpoint says it."""
    options = ["model.encoder.channels=[16,16,16,16]", "model.decoder.channels=[16,16,16,16,16]"]
    return provenance("vae", *options) | {"metrics": {"val/loss": 1.0}}


@pytest.fixture(scope="module")
def vae(described: dict[str, Any]) -> VAE:
    """A small VAE with weights and batch statistics that are none of their initial values."""
    torch.manual_seed(0)
    model = checkpoint.build(described)
    assert isinstance(model, VAE)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    model.decoder.to_rgb.weight.data.mul_(8)  # pictures with contrast
    model.latent_mean.normal_()
    model.train()
    for _ in range(20):
        model.decoder(model.encoder(torch.rand(8, 3, 150, 150) * 2 - 1)[0])
    return model.eval()


@pytest.fixture(scope="module")
def bundle(vae: VAE, described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    checkpoint.save(folder / "final.ckpt", vae, described)
    done = subprocess.run(
        [sys.executable, "-m", "face_generation.export", f"ckpt={folder / 'final.ckpt'}", f"out={folder / 'small'}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"bundle={folder / 'small'}" in done.stdout
    return folder / "small"


def test_torch_and_onnx_runtime_agree_within_two_levels(vae: VAE, bundle: Path) -> None:
    generator = Generator.load(bundle)
    latents = generator.latents(256, seed=0)
    with torch.no_grad():
        faces = vae.decode(torch.from_numpy(latents)).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()

    ours = generator.decode(latents)
    assert np.abs(ours.astype(int) - faces.astype(int)).max() <= 2
    assert faces.std() > 10  # they are no flat pictures, on which anything agrees


def test_prior_and_torch_agree_whatever_the_number_of_rows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FlowTransformer((4, 4, 4), attributes=3, patch=2, width=32, depth=2, heads=2)
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    sampler = FlowSampler(network, torch.randn(4, 1, 1), torch.rand(4, 1, 1) + 0.5, steps=3, guidance=2.0)
    write_sampler(sampler.eval(), 3, tmp_path / "prior.onnx")
    session = InferenceSession(tmp_path / "prior.onnx", providers=["CPUExecutionProvider"])

    for rows in (1, 2, 5):
        normal, attributes = torch.randn(rows, 64), torch.randint(-1, 2, (rows, 3)).float()
        with torch.no_grad():
            expected = sampler(normal, attributes).numpy()
        (latents,) = session.run(["latents"], {"normal": normal.numpy(), "attributes": attributes.numpy()})
        np.testing.assert_allclose(latents, expected, atol=0.02)
        assert expected.std() > 0.3


def test_encoder_and_torch_agree(vae: VAE, bundle: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 150, 150, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = vae.encode(to_float(torch.from_numpy(images))).numpy()

    np.testing.assert_allclose(Generator.load(bundle).encode(images), expected, atol=0.02)


def test_weights_are_stored_in_half_precision(vae: VAE, bundle: Path) -> None:
    parameters = sum(p.numel() for p in vae.decoder.parameters())
    stored = onnx.load(bundle / "decoder.onnx").graph.initializer

    assert sum(np.prod(t.dims) for t in stored if t.data_type == TensorProto.FLOAT16) > 0.9 * parameters
    assert all(np.prod(t.dims) <= 1024 for t in stored if t.data_type == TensorProto.FLOAT)


def test_the_preview_says_that_a_network_drew_it(bundle: Path) -> None:
    assert origin.read((bundle / "preview.jpg").read_bytes()) == {"bundle": Bundle.load(bundle).name}


def test_the_card_says_what_the_bundle_is(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()

    for text in ("# small", "VAE", "150×150", "| val/loss | 1 |", "MIT", "must not be used to identify"):
        assert text in card


def test_a_manifest_names_no_place_of_the_machine(provenance: Provenance, tmp_path: Path) -> None:
    described = provenance("dcgan")  # which is exported fastest
    config = {
        **described["config"],
        "run_dir": "/home/ada/runs/7",
        "logger": {"mlflow": {"tracking_uri": "https://ada:key@host"}},
    }
    config["data"] = {"folder": "splits", "cache": "/home/ada/latents"}

    model = checkpoint.build(described)
    bundle = export_bundle(model, tmp_path / "bundle", "told", {**described, "config": config})

    shown = bundle.training["config"]
    assert shown["data"] == {"folder": "splits", "cache": "latents"}
    assert shown["model"] == described["config"]["model"]
    text = (bundle.folder / "bundle.json").read_text()
    assert "/home/ada" not in text
    assert "ada:key" not in text


def test_a_bundle_is_replaced_and_other_files_are_not(
    provenance: Provenance, tiny_bundle: Path, tmp_path: Path
) -> None:
    described = provenance("dcgan")
    model = checkpoint.build(described)
    older = Path(shutil.copytree(tiny_bundle, tmp_path / "older"))
    replaced = export_bundle(model, older, "renamed", described)
    assert (replaced.folder, replaced.name, replaced.has_encoder) == (older, "renamed", False)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds other files"):
        export_bundle(model, other, "dcgan", described)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None], ids=["empty", "text", "missing"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"some\.ckpt"):
        checkpoint.load(path)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"model": Trap()}, tmp_path / "some.ckpt")
    with pytest.raises(UserError, match="damaged, cut short, or not a checkpoint"):
        checkpoint.load(tmp_path / "some.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_of_another_version(vae: VAE, described: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    config = copy.deepcopy(described["config"])
    config["model"]["latent_dim"] = 128
    checkpoint.save(path, vae, described | {"config": config})

    with pytest.raises(UserError, match="old.ckpt is of another version"):
        checkpoint.load(path)


def test_a_checkpoint_calls_nothing_but_our_networks(vae: VAE, described: dict[str, Any], tmp_path: Path) -> None:
    config = copy.deepcopy(described["config"])
    config["model"]["encoder"] = {"_target_": "pathlib.Path.touch", "self": str(tmp_path / "sprung")}
    checkpoint.save(tmp_path / "some.ckpt", vae, described | {"config": config})

    with pytest.raises(UserError, match="made with pathlib.Path.touch"):
        checkpoint.load(tmp_path / "some.ckpt")
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def latents(synthetic_splits: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentDataModule:
    """Synthetic faces as the VAE encodes them."""
    cache = str(tmp_path_factory.mktemp("latents"))
    data = LatentDataModule(str(bundle), cache, folder=str(synthetic_splits), batch_size=8)
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def prior(provenance: Provenance, latents: LatentDataModule, synthetic_splits: Path, tmp_path_factory: Any) -> Path:
    """The bundle of a prior on the latents of the VAE, without directions."""
    described = provenance("prior", "model.steps=2", **latents.shapes)
    torch.manual_seed(0)
    model = checkpoint.build(described)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("prior") / "prior"
    export_bundle(model, folder, "prior", described, synthetic_splits, directions=False, truncation=0.8)
    return folder


def test_a_priors_bundle_has_its_autoencoders_networks(prior: Path, bundle: Path) -> None:
    ours, its = Bundle.load(prior), Bundle.load(bundle)
    for name in ("decoder.onnx", "encoder.onnx"):
        assert ours.files[name] == its.files[name]
    assert ours.training["model"] == "VAE"
    assert ours.training["autoencoder"] == its.training
    assert ours.sampler == {"method": "Heun", "steps": 2, "guidance": 2.0}
    assert ours.truncation == 0.8
    assert list(ours.latent_shape) == [2, 10, 10]


def test_a_priors_faces_have_the_attributes_of_training_faces(prior: Path, synthetic_splits: Path) -> None:
    generator = Generator.load(prior)
    names, values = packed_attributes(synthetic_splits, "train")
    assert generator.attributes.names == [name.lower() for name in names]
    said = generator.said(20, seed=0)
    assert all((row == values).all(1).any() for row in said)
    assert not np.array_equal(
        generator.sample(1, 0), generator.sample(1, 0, attributes={generator.attributes.names[0]: -said[0, 0]})
    )


def test_a_prior_needs_the_splits_that_it_was_trained_on(
    provenance: Provenance, latents: LatentDataModule, tmp_path: Path
) -> None:
    described = provenance("prior", **latents.shapes)
    with pytest.raises(UserError, match="splits="):
        export_bundle(checkpoint.build(described), tmp_path / "prior", "prior", described)
    assert not (tmp_path / "prior").exists()


def test_a_prior_that_can_be_told_nothing_draws(
    provenance: Provenance, latents: LatentDataModule, tmp_path: Path
) -> None:
    described = provenance("prior", **latents.shapes | {"attributes": []})
    model = checkpoint.build(described)
    assert isinstance(model, Prior)
    with torch.no_grad():
        previews = model.eval().preview(torch.randn(2, 200), (torch.empty(2, 200), torch.empty(2, 0)))
    assert previews["samples"].shape == (2, 3, 150, 150)
    bundle = export_bundle(model, tmp_path / "prior", "prior", described)
    assert Generator(bundle).sample(2, seed=0).shape == (2, 150, 150, 3)


def test_a_prior_keeps_to_the_encoder_that_it_was_trained_with(
    provenance: Provenance, latents: LatentDataModule, synthetic_splits: Path, tmp_path: Path
) -> None:
    described = provenance("prior", **latents.shapes | {"autoencoder": "vae"})
    with pytest.raises(UserError, match="another encoder"):
        export_bundle(checkpoint.build(described), tmp_path / "prior", "prior", described, synthetic_splits)


def test_a_prior_draws_with_a_decoder_that_learned_on(
    provenance: Provenance, described: dict[str, Any], latents: LatentDataModule, bundle: Path, vae: VAE, tmp_path: Path
) -> None:
    later = copy.deepcopy(vae)
    later.decoder.to_rgb.weight.data.mul_(2)
    its = export_bundle(later, tmp_path / "later", "later", described)
    its_prior = provenance("prior", **latents.shapes | {"attributes": []})
    model = checkpoint.build(its_prior)
    model.resample(autoencoder=str(its.folder))
    ours = export_bundle(model, tmp_path / "prior", "prior", its_prior)

    assert its.files["encoder.onnx"] == Bundle.load(bundle).files["encoder.onnx"]
    assert ours.files["decoder.onnx"] == its.files["decoder.onnx"] != Bundle.load(bundle).files["decoder.onnx"]


def test_only_a_prior_takes_another_autoencoder(vae: VAE) -> None:
    with pytest.raises(UserError, match="leave out autoencoder and steps"):
        vae.resample(autoencoder="vae", steps=2)


def test_a_priors_bundle_keeps_the_autoencoders_licence(
    provenance: Provenance, latents: LatentDataModule, synthetic_splits: Path, tmp_path: Path
) -> None:
    described = provenance("prior", **latents.shapes) | {"data": "My photos.", "licence": "mine"}
    model = checkpoint.build(described)
    bundle = export_bundle(model, tmp_path / "mine", "mine", described, synthetic_splits, directions=False)
    assert bundle.training["data"] == "Prior: My photos. Encoder and decoder: none"
    assert bundle.licence == "Prior: mine Encoder and decoder: MIT"
    assert bundle.training["losses"] == ["pixels", "likelihood", "EfficientNet-Lite0"]
