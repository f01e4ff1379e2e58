"""The bundle: a trained generator as a folder. Only this module knows its format:

bundle.json     the manifest, with the sha256 of the files below
prior.onnx      normal float32 N×latent_dim and, if it takes attributes, attributes float32 N×K (1, -1, or 0 for
                nothing) → latents float32 N×latent_dim. Without this file, latents are normal vectors
decoder.onnx    latents float32 N×latent_dim → images uint8 N×H×W×3
encoder.onnx    images uint8 N×H×W×3 → latents float32 N×latent_dim (optional)
attributes.npz  values int8 N×K: attributes of N training faces, 1, -1, or 0 where unknown (if the prior takes them)
directions.json named directions in latent space (optional)
preview.jpg     a few faces that the bundle drew
README.md       the card. It may be edited, so it has no checksum
"""

import atexit
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from face_generation.errors import UserError
from face_generation.files import scratch, writing
from face_generation.generator import hub
from face_generation.generator.hub import HUB_URI

FORMAT_VERSION = 2
MANIFEST = "bundle.json"
PRIOR = "prior.onnx"
DECODER = "decoder.onnx"
ENCODER = "encoder.onnx"
ATTRIBUTES = "attributes.npz"
DIRECTIONS = "directions.json"
PREVIEW = "preview.jpg"
CARD = "README.md"
SHIPPED = Path(__file__).parents[1] / "bundles"
MLFLOW_URI = re.compile(r"(models|runs|mlflow-artifacts):/")
MLFLOW_STORE = "sqlite:///mlflow.db"  # where training logs by default


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files have been verified.

    `load` opens a bundle, and `write` makes one.
    """

    folder: Path
    name: str
    latent_shape: Sequence[int]  # channels, height and width of the latents; one number if they are plain vectors
    image_size: int  # height and width in pixels
    truncation: float  # the default, which looks best
    # The attributes that the prior takes, in the order of its input: `name`, `offered` (whether people may ask for it)
    # and, if measured, `found` and `found_in_photos`: how often a classifier finds it in faces that were asked to have
    # it, and in photos that have it, each {value, low, high}.
    attributes: Sequence[Mapping[str, Any]]
    files: Mapping[str, str]  # sha256 by file name
    training: Mapping[str, Any]  # data, configuration, git commit, …
    metrics: Mapping[str, float]
    licence: str
    sampler: Mapping[str, Any] | None = None  # how the prior draws latents, for people to read
    # How good its faces are, if measured: `command`, `comparison` (what is compared, in words), `figures`, and the same
    # figures of real faces, `real`; each {metric: {value, low, high}}.
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def latent_dim(self) -> int:
        """The length of a latent."""
        return math.prod(self.latent_shape)

    @property
    def has_prior(self) -> bool:
        return PRIOR in self.files

    @property
    def has_encoder(self) -> bool:
        return ENCODER in self.files

    @property
    def version(self) -> str:
        """A version that changes whenever the same request may give another face."""
        files = [self.files.get(name) for name in (PRIOR, DECODER, ATTRIBUTES, DIRECTIONS)]
        content = json.dumps([*files, self.truncation, [each["name"] for each in self.attributes]])
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @classmethod
    def load(cls, where: str | Path) -> "Bundle":
        """Opens a bundle and verifies its files.

        Args:
            where: Name of a shipped bundle, a folder, an MLflow URI (`models:/<name>/<version>`,
                `models:/<name>@<alias>`, `runs:/<run>/<path>` or `mlflow-artifacts:/<path>`), or a repository on the
                Hugging Face Hub (`hf://<owner>/<name>` or `hf://<owner>/<name>@<revision>`).

        Raises:
            UserError: There is no such bundle, or it is damaged or of another format.
        """
        folder = _find(str(where))
        manifest = _read_manifest(folder)
        optional = {key: manifest[key] for key in ("sampler", "evaluation") if key in manifest}
        bundle = cls(folder=folder, **{key: manifest[key] for key in _KEYS}, **optional)
        if DECODER not in bundle.files:
            raise UserError(f"{folder / MANIFEST} lists no {DECODER}; export the bundle again")
        if bool(bundle.attributes) != (ATTRIBUTES in bundle.files):
            raise UserError(f"{folder / MANIFEST} lists attributes and {ATTRIBUTES} without each other; export again")
        for name, expected in bundle.files.items():
            path = folder / name
            if not path.is_file():
                raise UserError(f"the bundle {folder} has no {name}; fetch or export it again")
            if sha256(path) != expected:
                raise UserError(f"{path} does not match its sha256 in {MANIFEST}; fetch or export the bundle again")
        return bundle

    @classmethod
    def write(
        cls,
        folder: Path,
        *,
        name: str,
        latent_shape: Sequence[int],
        image_size: int,
        training: Mapping[str, Any],
        metrics: Mapping[str, float],
        licence: str,
        truncation: float = 1.0,
        attributes: Sequence[Mapping[str, Any]] = (),
        sampler: Mapping[str, Any] | None = None,
    ) -> "Bundle":
        """Turns a folder that has the other files into a bundle: hashes them and writes `bundle.json`.

        All arguments but `folder` must be JSON values.

        Raises:
            UserError: The manifest cannot be written.
        """
        names = (PRIOR, DECODER, ENCODER, ATTRIBUTES, DIRECTIONS, PREVIEW)
        files = {file: sha256(folder / file) for file in names if (folder / file).exists()}
        bundle = cls(
            folder=folder,
            name=name,
            latent_shape=list(latent_shape),
            image_size=image_size,
            truncation=truncation,
            attributes=list(attributes),
            files=files,
            training=training,
            metrics=metrics,
            licence=licence,
            sampler=sampler,
        )
        bundle._write_manifest()
        return bundle

    def record(self, evaluation: Mapping[str, Any]) -> "Bundle":
        """Writes an evaluation, which must be JSON, into the manifest in place of an older one.

        Raises:
            UserError: The manifest cannot be written.
        """
        bundle = replace(self, evaluation=evaluation)
        bundle._write_manifest()
        return bundle

    def offer(self, attributes: Sequence[Mapping[str, Any]]) -> "Bundle":
        """Writes into the manifest which attributes the prior takes, and which of them people may ask for.

        Raises:
            UserError: The manifest cannot be written.
        """
        bundle = replace(self, attributes=list(attributes))
        bundle._write_manifest()
        return bundle

    def add(self, name: str, text: str) -> "Bundle":
        """Writes a file into the bundle, in place of an older one, and its checksum into the manifest.

        Raises:
            UserError: The file cannot be written.
        """
        with writing(self.folder / name) as file:
            file.write(text.encode())
        bundle = replace(self, files={**self.files, name: sha256(self.folder / name)})
        bundle._write_manifest()
        return bundle

    def _write_manifest(self) -> None:
        manifest = {"format_version": FORMAT_VERSION, **asdict(self)}
        del manifest["folder"]
        if not self.evaluation:
            del manifest["evaluation"]
        with writing(self.folder / MANIFEST) as file:
            file.write((json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "latent_shape": list,
    "image_size": int,
    "truncation": (int, float),
    "attributes": list,
    "files": dict,
    "training": dict,
    "metrics": dict,
    "licence": str,
}


def shipped() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}"))


def is_remote(where: str) -> bool:
    """Whether `where` is an address that a bundle is fetched from, and not a name or folder."""
    return bool(MLFLOW_URI.match(where) or HUB_URI.match(where))


def sha256(path: Path) -> str:
    """The file's checksum in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find(where: str) -> Path:
    if where in shipped():
        return SHIPPED / where
    if MLFLOW_URI.match(where):
        return _download(where)
    if HUB_URI.match(where):
        return hub.fetch(where)
    folder = Path(where).expanduser()
    if (folder / MANIFEST).is_file():
        return folder
    if folder.is_dir():
        raise UserError(f"the folder {where} is not a bundle: it has no {MANIFEST}; export one there first")
    names = ", ".join(shipped()) or "none"
    raise UserError(f"no bundle {where!r}; give a shipped one ({names}), a folder, or an address: models:/… or hf://…")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); fetch or export the bundle again") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path} has no format_version; export the bundle again")
    if version != FORMAT_VERSION:
        remedy = "update the package" if version > FORMAT_VERSION else "export it again"
        raise UserError(
            f"{folder} is a bundle of format version {version}, and this package reads {FORMAT_VERSION}; {remedy}"
        )
    for key, kind in _KEYS.items():
        if not isinstance(manifest.get(key), kind):
            raise UserError(f"{path} has no valid {key!r}; export the bundle again")
    if not manifest["name"].isprintable():  # commands print it, and a terminal obeys control characters
        raise UserError(f"{path} has no valid 'name'; export the bundle again")
    if not all(isinstance(size, int) for size in manifest["latent_shape"]):
        raise UserError(f"{path} has no valid 'latent_shape'; export the bundle again")
    if not all(_is_attribute(each) for each in manifest["attributes"]):
        raise UserError(f"{path} has no valid 'attributes'; export the bundle again")
    return manifest


def _is_attribute(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("offered"), bool)


def _download(uri: str) -> Path:
    """Fetches a bundle from MLflow into a folder that is removed when the program ends."""
    try:
        import mlflow  # takes seconds, and serving does not need it
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise UserError(f"{uri} needs MLflow; pip install mlflow") from error
    if not mlflow.is_tracking_uri_set():
        if not Path(MLFLOW_STORE.removeprefix("sqlite:///")).exists():
            raise UserError(f"no MLflow store here ({MLFLOW_STORE}); train first, or set MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(MLFLOW_STORE)
    os.environ.setdefault(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"
    )  # 7, the default, take four minutes if no server answers
    until_the_end = ExitStack()
    folder = until_the_end.enter_context(scratch("bundle"))
    atexit.register(until_the_end.close)
    try:
        fetched = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise UserError(
            f"cannot fetch {uri} from {mlflow.get_tracking_uri()} ({str(error).splitlines()[0]}); "
            "check the URI and MLFLOW_TRACKING_URI"
        ) from error
    return next((path.parent for path in fetched.glob(f"**/{MANIFEST}")), fetched)  # a registered bundle is in data/
