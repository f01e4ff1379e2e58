"""From a checkpoint to a bundle: the exported networks compute what the trained ones do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnxruntime import InferenceSession

from face_generation.data.datamodule import to_float
from face_generation.errors import UserError
from face_generation.generator import Generator
from face_generation.models import VAE, checkpoint
from face_generation.models.export import export_bundle, export_prior
from face_generation.networks.prior import FlowSampler, FlowTransformer

PROVENANCE = {"data": "none", "licence": "MIT", "config": {}, "git_commit": None, "metrics": {"val/loss": 1.0}}


@pytest.fixture(scope="module")
def vae() -> VAE:
    """A small VAE with weights, batch statistics and a prior that are none of their initial values."""
    torch.manual_seed(0)
    model = VAE(
        latent_channels=2, encoder_channels=(16,) * 5, decoder_channels=(16,) * 5, flow_couplings=2, flow_hidden=16
    )
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    model.decoder.to_rgb.weight.data.mul_(8)  # pictures with contrast
    model.train()
    for _ in range(20):
        model(torch.rand(8, 3, 150, 150) * 2 - 1)
    model.prior.whiten(torch.randn(model.latent_dim), torch.eye(model.latent_dim) + 0.2)
    return model.eval()


@pytest.fixture(scope="module")
def bundle(vae: VAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    checkpoint.save(folder / "final.ckpt", vae, PROVENANCE)
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
        faces = vae.sample(torch.from_numpy(latents)).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()

    ours = generator.decode(latents)
    assert np.abs(ours.astype(int) - faces.astype(int)).max() <= 2
    assert faces.std() > 10  # they are no flat pictures, on which anything agrees


def test_prior_and_torch_agree_whatever_the_number_of_rows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FlowTransformer((4, 4, 4), attributes=3, patch=2, width=32, depth=2, heads=2)
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    sampler = FlowSampler(network, torch.randn(4, 1, 1), torch.rand(4, 1, 1) + 0.5, steps=2, guidance=2.0)
    export_prior(sampler, 3, tmp_path)
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
        expected = vae.embed(to_float(torch.from_numpy(images))).numpy()

    np.testing.assert_allclose(Generator.load(bundle).encode(images), expected, atol=0.02)


def test_weights_are_stored_in_half_precision(vae: VAE, bundle: Path) -> None:
    parameters = sum(p.numel() for p in (*vae.decoder.parameters(), *vae.prior.parameters()))
    stored = onnx.load(bundle / "decoder.onnx").graph.initializer

    assert sum(np.prod(t.dims) for t in stored if t.data_type == TensorProto.FLOAT16) > 0.9 * parameters
    assert all(np.prod(t.dims) <= 1024 for t in stored if t.data_type == TensorProto.FLOAT)


def test_the_card_says_what_the_bundle_is(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()

    for text in ("# small", "VAE", "150×150", "| val/loss | 1 | negative ELBO", "MIT", "Not for identifying"):
        assert text in card


def test_a_bundle_is_replaced_and_other_files_are_not(vae: VAE, bundle: Path, tmp_path: Path) -> None:
    assert export_bundle(vae, bundle, "renamed", PROVENANCE).name == "renamed"
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds other files"):
        export_bundle(vae, tmp_path, "vae", PROVENANCE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


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
    with pytest.raises(UserError, match="not a whole checkpoint"):
        checkpoint.load(tmp_path / "some.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_with_a_hyperparameter_of_another_version(vae: VAE, tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    checkpoint.save(path, vae, PROVENANCE)
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["latent_dim"] = 128
    torch.save(content, path)

    with pytest.raises(UserError, match="old.ckpt is of another version"):
        checkpoint.load(path)
