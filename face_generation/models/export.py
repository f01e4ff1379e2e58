"""Turns a trained model into a bundle: the one way from the training world into the serving world."""

import gc
import logging
import math
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from face_generation.data.datamodule import to_float
from face_generation.errors import UserError
from face_generation.generator import Generator, pictures
from face_generation.generator.bundle import DECODER, ENCODER, MLFLOW_URI, PREVIEW, PRIOR, Bundle
from face_generation.models.base import FaceModel
from face_generation.models.card import PREVIEW_FACES, write_card
from face_generation.models.directions import add_directions
from face_generation.networks.prior import FlowSampler

OPSET = 20  # ONNX Runtime runs it on CPU and CUDA since 1.17
SMALL = 1024  # values; smaller weights stay in float32


class _Decode(nn.Module):
    """Standard normal vectors → uint8 N×H×W×3."""

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        images = self.model.sample(latents)
        return images.clamp(-1, 1).add(1).mul(127.5).round().permute(0, 2, 3, 1).to(torch.uint8)


class _Encode(nn.Module):
    """uint8 N×H×W×3 → standard normal vectors."""

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.embed(to_float(images))  # type: ignore[operator]


def export_bundle(
    model: FaceModel,
    folder: Path,
    name: str,
    provenance: Mapping[str, Any],
    splits: Path | None = None,
    measure_edits: bool = True,
) -> Bundle:
    """Writes `model` as the bundle `name` into `folder`, which appears when it is whole; a bundle there is replaced.

    Args:
        provenance: `data` (what it was trained on, in words), `licence`, `config`, `git_commit` and `metrics`.
        splits: Packed splits to find directions of edits with; none for a bundle without directions.
        measure_edits: Whether to measure what the edits change; see `find_directions`.

    Raises:
        UserError: `folder` holds something that is not a bundle, or cannot be written; or as `find_directions`.
    """
    if folder.exists() and not (folder / "bundle.json").exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files; give an empty or a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            work = Path(temporary) / "bundle"
            work.mkdir()
            bundle = _write(model, work, name, provenance)
            if splits:
                bundle = add_directions(bundle, splits, measure_edits)
            write_card(bundle)
            if folder.exists():
                folder.rename(Path(temporary) / "old")
            work.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write the bundle to {folder} ({error.strerror}); choose another folder") from error
    return Bundle.load(folder)


def extend_bundle(where: str, splits: Path | None) -> Bundle:
    """Finds the directions of a bundle, by name or folder, and writes them into it and its card.

    Raises:
        UserError: It is no bundle on this disk, `splits` is None, or as `find_directions`.
    """
    if MLFLOW_URI.match(where):
        raise UserError(f"{where} is not on this disk, so nothing can be added; give the folder of a bundle")
    if splits is None:
        raise UserError("directions are found with packed splits; give their folder: splits=…")
    bundle = add_directions(Bundle.load(where), splits)
    write_card(bundle)
    return bundle


def _write(model: FaceModel, folder: Path, name: str, provenance: Mapping[str, Any]) -> Bundle:
    model = model.cpu().eval()
    latent_dim, image_size = model.latent_dim, model.hparams["image_size"]
    _to_onnx(_Decode(model), {"latents": torch.zeros(2, latent_dim)}, "images", folder / DECODER)
    if hasattr(model, "embed"):
        images = torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8)
        _to_onnx(_Encode(model), {"images": images}, "latents", folder / ENCODER)
    manifest = {
        "name": name,
        "latent_shape": [latent_dim],
        "image_size": image_size,
        "training": {
            "model": model.kind,
            "data": provenance["data"],
            "config": provenance["config"],
            "git_commit": provenance["git_commit"],
        },
        "metrics": provenance["metrics"],
        "licence": provenance["licence"],
    }
    Bundle.write(folder, **manifest)
    faces = Generator.load(folder).sample(PREVIEW_FACES, seed=0)
    with pictures.writing(folder / PREVIEW) as file:
        file.write(pictures.encode(pictures.grid(faces, PREVIEW_FACES), "jpg"))
    return Bundle.write(folder, **manifest)


def export_prior(sampler: FlowSampler, attributes: int, folder: Path) -> None:
    """Writes the `prior.onnx` of a bundle into its folder: normal vectors and `attributes` attributes → latents."""
    normal = torch.zeros(2, math.prod(sampler.network.latent_shape))
    inputs = {"normal": normal, "attributes": torch.zeros(2, attributes)}
    _to_onnx(sampler.cpu().eval(), inputs, "latents", folder / PRIOR)


def _to_onnx(module: nn.Module, inputs: Mapping[str, Tensor], output: str, path: Path) -> None:
    """Writes a module as ONNX, for any number of rows; `inputs` are examples by name, of two rows each."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    gc.freeze()  # the exporter makes so many objects that looking through all others, too, takes a fifth of its time
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=[output],
                dynamic_shapes=tuple({0: torch.export.Dim("n")} for _ in inputs),
                verbose=False,
            )
    finally:
        gc.unfreeze()
    assert program is not None
    model = program.model_proto
    _strip(model)
    _halve(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _strip(model: onnx.ModelProto) -> None:
    """Drops what the exporter notes for debugging: as large as a small model, and full of paths of this machine."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""


def _halve(model: onnx.ModelProto) -> None:
    """Stores weights in half precision, with a cast back to float32 that ONNX Runtime folds away when it loads."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) > SMALL:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
