"""Directions: named moves in latent space that change one thing about a face.

`directions.json` in a bundle holds them: attributes such as smiling or eyeglasses, found from labelled faces, and
principal directions, which change faces most and have no name. `face_generation.editing` finds and measures them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator.bundle import DIRECTIONS, Bundle

MAX_STRENGTH = 10.0  # far beyond what decoders were trained on


@dataclass(frozen=True)
class Direction:
    """One direction.

    An attribute's vector is as long as the mean difference between faces with and without the attribute. A principal
    direction has length 1, a standard deviation of the latents.
    """

    name: str
    vector: NDArray[np.float32]  # latent_dim numbers
    figures: Mapping[str, Any]  # what was measured


class Directions(Mapping[str, Direction]):
    """The directions of a bundle by name: attributes first, then principal directions.

    Example:
        >>> directions = Directions.load(Bundle.load("vae"))
        >>> smiling = directions.move(latents, {"smiling": 2.0})
    """

    def __init__(self, attributes: list[Direction], principal: list[Direction]) -> None:
        self.attributes = attributes
        self.principal = principal
        self._by_name = {direction.name: direction for direction in (*attributes, *principal)}

    @classmethod
    def load(cls, bundle: Bundle) -> "Directions":
        """Opens a bundle's directions. They are empty if it has no `directions.json`.

        Raises:
            UserError: The file is malformed.
        """
        if DIRECTIONS not in bundle.files:
            return cls([], [])
        path = bundle.folder / DIRECTIONS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            attributes, principal = (
                [_direction(entry, bundle.latent_dim) for entry in content[kind]]
                for kind in ("attributes", "principal")
            )
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path} is not a file of directions ({error}); export the bundle again") from error
        return cls(attributes, principal)

    def __getitem__(self, name: str) -> Direction:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def move(self, latents: NDArray[np.floating], edits: Mapping[str, float]) -> NDArray[np.float32]:
        """Moves latents …×latent_dim by `edits`, which maps names of directions to strengths from -10 to 10.

        Raises:
            UserError: There is no such direction, or a strength is out of range or not a number.
        """
        moved = np.asarray(latents, dtype=np.float32)
        for name, strength in sorted(edits.items()):  # always in one order, so that sums are rounded in one way
            if name not in self:
                known = f"its directions are {', '.join(self)}" if self else "it has no directions"
                raise UserError(f"the bundle cannot edit {name!r}; {known}")
            if not isinstance(strength, Real) or isinstance(strength, bool) or not isfinite(strength):
                raise UserError(f"the strength of {name} must be a number, not {strength!r}")
            if abs(strength) > MAX_STRENGTH:
                raise UserError(f"the strength of {name} must be from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}")
            moved = moved + np.float32(strength) * self[name].vector
        return moved


def _direction(entry: Mapping[str, Any], latent_dim: int) -> Direction:
    name, vector = entry["name"], np.array(entry["vector"], dtype=np.float32)
    if not isinstance(name, str) or vector.shape != (latent_dim,) or not np.isfinite(vector).all():
        raise ValueError(f"{name!r} is not a direction of {latent_dim} numbers")
    return Direction(name, vector, dict(entry["figures"]))
