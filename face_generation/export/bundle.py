"""Turns a trained model into a bundle, and adds directions and figures of attributes to a bundle."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from face_generation.data.datamodule import to_float
from face_generation.data.splits import packed_attributes
from face_generation.editing.finding import CACHE, add_directions
from face_generation.errors import UserError
from face_generation.export.card import PREVIEW_FACES, write_card
from face_generation.export.onnx import write_onnx, write_sampler
from face_generation.files import replacing, sweep, writing
from face_generation.generator import Generator, pictures
from face_generation.generator.bundle import (
    ATTRIBUTES,
    DECODER,
    ENCODER,
    MANIFEST,
    PREVIEW,
    PRIOR,
    Bundle,
    is_remote,
)
from face_generation.metrics import Gap
from face_generation.metrics.attributes import LabelledFaces, asked, attribute_classifier
from face_generation.models import Prior
from face_generation.models.base import FaceModel, to_bytes

ASKED = 100  # faces that are drawn for each attribute, to measure how often it is found in them
ASKED_SEED = 3_500_000_000  # seed of the first of them
OFFERED = 0.9  # an attribute is offered if it is found at least this often, relative to photos that have it


class _ToLatents(nn.Module):
    """Normal vectors → latents."""

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, normal: Tensor) -> Tensor:
        return self.model.to_latents(normal)  # type: ignore[operator]


class _Decode(nn.Module):
    """Latents → uint8 N×H×W×3."""

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        return to_bytes(self.model.decode(latents))  # type: ignore[operator]


class _Encode(nn.Module):
    """uint8 N×H×W×3 → latents."""

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(to_float(images))  # type: ignore[operator]


def export_bundle(
    model: FaceModel,
    folder: Path,
    name: str,
    provenance: Mapping[str, Any],
    splits: Path | None = None,
    *,
    directions: bool = True,
    measure: bool = True,
    truncation: float = 1.0,
) -> Bundle:
    """Writes `model` as the bundle `name`. `folder` appears when the bundle is complete and replaces an older bundle.

    Args:
        provenance: `data` (what it was trained on, in words), `licence`, `config`, `shapes`, `version` (of this
            package), `git_commit` and `metrics`.
        splits: Packed splits that directions of edits are found with. `None` leaves directions out. A prior always
            needs splits, because a drawn face has the attributes of a training face.
        directions: Find directions.
        measure: Measure what edits change, and how often an attribute is found in faces that were asked to have it.
            It takes some minutes, because a classifier is trained.
        truncation: Default truncation of the bundle, the one that looks best.

    Raises:
        UserError: `folder` holds something that is not a bundle, or cannot be written; a prior has no splits, or its
            autoencoder is gone; or one of the errors of `find_directions`.
    """
    if folder.exists() and not (folder / MANIFEST).exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files; give an empty or a new folder")
    try:
        sweep(folder.parent)
        with replacing(folder) as work:
            bundle = _write(model, work, name, provenance, splits, truncation)
            if splits and directions:
                bundle = _measured(bundle, splits, measure)
            write_card(bundle)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return Bundle.load(folder)


def extend_bundle(where: str, splits: Path | None) -> Bundle:
    """Finds the directions of a bundle and measures how often attributes are found in faces that were asked to have
    them. Writes both into the bundle and its card.

    Args:
        where: Name or folder of the bundle.
        splits: Packed splits.

    Raises:
        UserError: There is no such bundle on this disk, `splits` is None, or one of the errors of `find_directions`.
    """
    if is_remote(where):
        raise UserError(f"{where} is not on this disk, so nothing can be added; give the folder of a bundle")
    if splits is None:
        raise UserError("directions are found with packed splits; give their folder: splits=…")
    bundle = Bundle.load(where)
    try:
        sweep(bundle.folder.parent)
        with replacing(bundle.folder) as work:
            shutil.copytree(bundle.folder, work, dirs_exist_ok=True)
            write_card(_measured(replace(bundle, folder=work), splits, measure=True))
    except OSError as error:
        raise _unwritable(bundle.folder, error) from error
    return Bundle.load(bundle.folder)


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"cannot write the bundle to {folder} ({error.strerror}); choose another folder")


def _write(
    model: FaceModel, folder: Path, name: str, provenance: Mapping[str, Any], splits: Path | None, truncation: float
) -> Bundle:
    """Writes the networks, the manifest and the preview."""
    model = model.cpu().eval()
    recorded = ("data", "config", "version", "git_commit", "changes")
    training = {key: provenance[key] for key in recorded if key in provenance}
    training |= {"model": type(model).__name__, "losses": list(model.losses)}
    training |= {key: published(training[key]) for key in ("config", "changes") if key in training}
    manifest: dict[str, Any] = {"metrics": provenance["metrics"], "licence": provenance["licence"]}
    latents = torch.zeros(2, math.prod(model.latent_shape))
    if isinstance(model, Prior):
        autoencoder = model.load_autoencoder()
        for file in (DECODER, ENCODER):
            shutil.copyfile(autoencoder.folder / file, folder / file)
        image_size = autoencoder.image_size
        training |= {key: autoencoder.training[key] for key in ("model", "losses") if key in autoencoder.training}
        training["autoencoder"] = autoencoder.training
        training["data"] = _both(training["data"], autoencoder.training.get("data"))
        manifest["licence"] = _both(manifest["licence"], autoencoder.licence)
        manifest["metrics"] = {**autoencoder.metrics, **manifest["metrics"]}
        manifest["attributes"] = _attributes(model, splits, folder)
        manifest["sampler"] = {"method": "Heun", "steps": model.to_latents.steps, "guidance": model.to_latents.guidance}
        write_sampler(model.to_latents, len(model.attributes), folder / PRIOR)
    else:
        image_size = provenance["shapes"]["image_size"]
        write_onnx(_Decode(model), {"latents": latents}, "images", folder / DECODER)
    if hasattr(model, "encode"):
        images = torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8)
        write_onnx(_Encode(model), {"images": images}, "latents", folder / ENCODER)
        write_onnx(_ToLatents(model), {"normal": latents}, "latents", folder / PRIOR)
    manifest |= {
        "name": name,
        "latent_shape": list(model.latent_shape),
        "image_size": image_size,
        "truncation": truncation,
        "training": training,
    }
    Bundle.write(folder, **manifest)
    faces = Generator.load(folder).sample(PREVIEW_FACES, seed=0)
    with writing(folder / PREVIEW) as preview:
        preview.write(pictures.encode(pictures.grid(faces, PREVIEW_FACES), "jpg", {"bundle": name}))
    return Bundle.write(folder, **manifest)


def published(value: Any) -> Any:
    """A configuration, or a part of one, as a manifest shows it to everybody.

    A logger is left out, because it shapes no weights and may name servers. An absolute path is cut to its last name,
    because the rest says where somebody works.
    """
    if isinstance(value, Mapping):
        return {key: published(each) for key, each in value.items() if key != "logger"}
    if isinstance(value, (list, tuple)):
        return [published(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _both(prior: str, autoencoder: str | None) -> str:
    """One sentence if prior and autoencoder have the same (training data, licence), and otherwise one for each."""
    return prior if autoencoder in (None, prior) else f"Prior: {prior} Encoder and decoder: {autoencoder}"


def _attributes(model: Prior, splits: Path | None, folder: Path) -> list[dict[str, Any]]:
    """Writes the attributes of the training faces, and returns the manifest's entries for them, not yet measured."""
    if not model.attributes:
        return []
    if splits is None:
        raise UserError("a prior's faces have the attributes of training faces; give the packed splits: splits=…")
    names, values = packed_attributes(splits, "train")
    if [name.lower() for name in names] != model.attributes:
        raise UserError(f"{splits} has other attributes than the prior was trained with; give the same splits")
    np.savez_compressed(folder / ATTRIBUTES, values=values)
    return [{"name": name, "offered": True} for name in model.attributes]


def _measured(bundle: Bundle, splits: Path, measure: bool) -> Bundle:
    """Adds directions to the bundle and, with `measure`, how often attributes are found when asked for."""
    bundle = add_directions(bundle, splits, measure)
    faces = LabelledFaces.load(splits)
    known = {each["name"] for each in bundle.attributes}
    names = [name for name in faces.names if name in known]
    if not (measure and names):
        return bundle
    everything = replace(bundle, attributes=[{**each, "offered": True} for each in bundle.attributes])
    generator = Generator(everything)
    bar = tqdm(names, desc="Drawing what is asked for", unit="attribute", delay=1)
    drawn = {name: generator.sample(ASKED, ASKED_SEED, 1.0, attributes={name: 1}) for name in bar}
    found = asked(attribute_classifier(faces, CACHE), drawn, faces.held_out)
    return bundle.offer([_offer(each, found) for each in everything.attributes])


def _offer(attribute: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Adds figures to an attribute. It is offered if it is found nearly as often as in photos that have it."""
    figures = found.get(attribute["name"])
    if figures is None or isinstance(figures, Gap):
        return {"name": attribute["name"], "offered": False}
    offered = figures.found.value >= OFFERED * figures.found_in_photos.value > 0
    return {"name": attribute["name"], "offered": offered, **asdict(figures)}
