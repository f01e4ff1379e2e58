"""The bundles that are served, with what the API says about them."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import PIL
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator import Bundle, Generator
from face_generation.generator.alignment import TILE, find_faces
from face_generation.generator.bundle import CARD
from face_generation.generator.directions import Direction
from face_generation.generator.origin import SOFTWARE
from face_generation.serve.schemas import AttributeAbout, BundleAbout, DirectionAbout, DirectionsAbout

BLANK = Image.new("RGB", (TILE, TILE))  # the largest part of a photo that is searched at a time
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")
TAKEN = ("bundles", "docs", "openapi.json", "problems")  # paths of the API that no bundle may have as a name


@dataclass(frozen=True)
class ServedBundle:
    """A bundle that is served."""

    generator: Generator
    prefix: str  # path under which a proxy shows the service

    @property
    def name(self) -> str:
        return self.generator.bundle.name

    @cached_property
    def version(self) -> str:
        """As `Bundle.version`."""
        return self.generator.bundle.version

    @property
    def card(self) -> str | None:
        path = self.generator.bundle.folder / CARD
        return path.read_text(encoding="utf-8") if path.is_file() else None

    @cached_property
    def about(self) -> BundleAbout:
        bundle = self.generator.bundle
        directions = self.generator.directions
        return BundleAbout(
            name=bundle.name,
            model=str(bundle.training.get("model", bundle.name)),
            latent_dim=bundle.latent_dim,
            image_size=bundle.image_size,
            has_encoder=bundle.has_encoder,
            version=self.version,
            data=str(bundle.training.get("data", "")),
            licence=bundle.licence,
            figures=bundle.evaluation.get("figures", {}),
            truncation=bundle.truncation,
            attributes=[_attribute(each) for each in bundle.attributes if each["offered"]],
            directions=DirectionsAbout(
                attributes=[_direction(each) for each in directions.attributes],
                principal=[_direction(each) for each in directions.principal],
            ),
            card=f"{self.prefix}/api/v1/{bundle.name}/card",
        )

    def etag(self, *request: object) -> str:
        """A strong entity tag of a request, which changes with everything that may change the bytes of the answer."""
        content = json.dumps([self.version, SOFTWARE, PIL.__version__, *request])
        return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


class Catalogue(Mapping[str, ServedBundle]):
    """The bundles that are served, by name, in the order of the settings."""

    def __init__(self, bundles: Sequence[ServedBundle]) -> None:
        self._bundles = {served.name: served for served in bundles}

    @classmethod
    def load(cls, places: Sequence[str], prefix: str) -> "Catalogue":
        """Opens bundles (see `Bundle.load`) and draws a face with each, so that the first request does not wait.

        Raises:
            UserError: A bundle cannot be served.
        """
        bundles: dict[str, ServedBundle] = {}
        for place in places:
            served = ServedBundle(Generator(Bundle.load(place)), prefix)
            if served.name in bundles:
                raise UserError(f"two bundles are called {served.name}; export one of them with another name")
            if not NAME.fullmatch(served.name) or served.name in TAKEN:
                raise UserError(f"{served.name!r} cannot be part of an address; export {place} with another name")
            face = served.generator.sample(1)
            if served.generator.bundle.has_encoder:
                served.generator.encode(face)
                find_faces(BLANK)
            bundles[served.name] = served
        return cls(list(bundles.values()))

    def __getitem__(self, name: str) -> ServedBundle:
        return self._bundles[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bundles)

    def __len__(self) -> int:
        return len(self._bundles)


def _attribute(attribute: Mapping[str, Any]) -> AttributeAbout:
    figures = {key: value for key, value in attribute.items() if key not in ("name", "offered")}
    return AttributeAbout(name=attribute["name"], label=label(attribute["name"]), figures=figures)


def _direction(direction: Direction) -> DirectionAbout:
    return DirectionAbout(name=direction.name, label=label(direction.name), figures=dict(direction.figures))


def label(name: str) -> str:
    """A readable name of an attribute or a direction: "5_o_clock_shadow" becomes "5 o'clock shadow"."""
    words = name.replace("_o_clock_", " o'clock ").replace("principal_", "direction_").replace("_", " ")
    return words[0].upper() + words[1:]
