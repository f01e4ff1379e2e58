"""Attributes: what a new face can be asked to have or to lack.

The prior of a bundle may take attributes. The ones that nobody asked for come from a training face that has all those
that were asked for. `values` of `attributes.npz`, N×K, has the attributes of training faces: 1, -1, or 0 where unknown.
"""

import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator.bundle import ATTRIBUTES, Bundle

Asked = Mapping[str, int]  # by name: 1 or true to have the attribute, -1 or false to lack it
NOTHING: Asked = {}


class Attributes:
    """The K attributes that the prior of a bundle takes. There may be none.

    Example:
        >>> attributes = Attributes.load(Bundle.load("vae"))
        >>> attributes.said({"smiling": 1}, np.random.RandomState(0)).shape
        (40,)
    """

    def __init__(self, bundle: str, names: Sequence[str], offered: Sequence[str], faces: NDArray[np.int8]) -> None:
        self.bundle = bundle
        self.names = names  # in the order of the prior's input
        self.offered = offered  # the ones that people may ask for
        self._faces = faces
        self._places = {name: place for place, name in enumerate(names)}
        self._like = lru_cache(maxsize=64)(self._find_like)

    @classmethod
    def load(cls, bundle: Bundle) -> "Attributes":
        """Opens a bundle's attributes. They are empty if its prior takes none.

        Raises:
            UserError: The file of attributes is malformed.
        """
        names = [each["name"] for each in bundle.attributes]
        offered = [each["name"] for each in bundle.attributes if each["offered"]]
        faces = np.empty((0, 0), dtype=np.int8)
        if names:
            path = bundle.folder / ATTRIBUTES
            try:
                with np.load(path, allow_pickle=False) as content:
                    faces = content["values"]
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise UserError(f"{path} is not a file of attributes ({error}); export the bundle again") from error
            if faces.ndim != 2 or faces.dtype != np.int8 or faces.shape[1] != len(names) or not len(faces):
                raise UserError(f"{path} should have values of {len(names)} attributes; export the bundle again")
        return cls(bundle.name, names, offered, faces)

    def check(self, asked: Asked) -> tuple[tuple[str, int], ...]:
        """Checks what is asked for. Returns sorted pairs of a name and 1 or -1.

        Raises:
            UserError: The bundle does not offer an attribute, or a value is malformed.
        """
        for name, value in asked.items():
            if name not in self.offered:
                known = f"there are {', '.join(self.offered)}" if self.offered else "its model takes no attributes"
                raise UserError(f"the bundle {self.bundle} cannot be asked for {name!r}; {known}")
            if not isinstance(value, bool | int | np.integer) or (value is not False and value not in (1, -1)):
                raise UserError(f"{name} is 1 or true (with it), or -1 or false (without it), not {value!r}")
        return tuple(sorted((name, 1 if value > 0 else -1) for name, value in asked.items()))

    def said(self, asked: Asked, random: np.random.RandomState | None) -> NDArray[np.int8]:
        """What the prior is told of one face: K values 1, -1, or 0 for nothing.

        Attributes that are not in `asked` come from a training face, which `random` chooses among those that have all
        of `asked`. They stay 0 if there is no such face or `random` is None.

        Raises:
            UserError: One of the errors of `check`.
        """
        pairs = self.check(asked)
        like = self._like(pairs)
        said = np.zeros(len(self.names), dtype=np.int8)
        if random is not None and len(like):
            said[:] = self._faces[like[random.randint(len(like))]]
        for name, value in pairs:
            said[self._places[name]] = value
        return said

    def _find_like(self, pairs: tuple[tuple[str, int], ...]) -> NDArray[np.intp]:
        """The indices of the training faces that match all pairs."""
        columns = [self._places[name] for name, _ in pairs]
        return np.flatnonzero((self._faces[:, columns] == [value for _, value in pairs]).all(axis=1))
