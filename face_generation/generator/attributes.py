"""Attributes: what a face can be asked to have, or to be without, before it is drawn.

The prior of a bundle may take them. What is not asked for comes from a training face that has all that is: `values` of
`attributes.npz`, N×K, with 1 for what a face has, -1 for what it is without, and 0 where nobody knows.
"""

import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator.bundle import ATTRIBUTES, Bundle

Asked = Mapping[str, int]  # by name: 1 or true with the attribute, -1 or false without
NOTHING: Asked = {}


class Attributes:
    """What the prior of a bundle takes: K attributes, or none.

    Example:
        >>> attributes = Attributes.load(Bundle.load("vae"))
        >>> attributes.said({"smiling": 1}, np.random.RandomState(0)).shape
        (40,)
    """

    def __init__(self, bundle: str, names: Sequence[str], offered: Sequence[str], faces: NDArray[np.int8]) -> None:
        self.bundle = bundle
        self.names = names  # in the order of the prior's input
        self.offered = offered  # those that people may ask for
        self._faces = faces
        self._places = {name: place for place, name in enumerate(names)}
        self._like = lru_cache(maxsize=64)(self._find_like)

    @classmethod
    def load(cls, bundle: Bundle) -> "Attributes":
        """Opens a bundle's attributes. There are none where its prior takes none.

        Raises:
            UserError: Its file of attributes is not of the format.
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
        """What is asked for as sorted pairs of a name and 1 or -1, the same for all ways to say it.

        Raises:
            UserError: The bundle takes or offers no such attribute, or a value is something else.
        """
        for name, value in asked.items():
            if name not in self.offered:
                known = f"there are {', '.join(self.offered)}" if self.offered else "its model takes no attributes"
                raise UserError(f"the bundle {self.bundle} cannot be asked for {name!r}; {known}")
            if not isinstance(value, bool | int | np.integer) or (value is not False and value not in (1, -1)):
                raise UserError(f"{name} is 1 or true (with it), or -1 or false (without it), not {value!r}")
        return tuple(sorted((name, 1 if value > 0 else -1) for name, value in asked.items()))

    def said(self, asked: Asked, random: np.random.RandomState | None) -> NDArray[np.int8]:
        """What the prior is told of one face: K values 1, -1, or 0 where nothing is said.

        That is what `asked` says, and the rest of a training face that `random` draws among those that have all of it.
        Nothing more is said where there is no such face, or `random` is None.

        Raises:
            UserError: As `check`.
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
        """The numbers of the training faces that have all of it."""
        columns = [self._places[name] for name, _ in pairs]
        return np.flatnonzero((self._faces[:, columns] == [value for _, value in pairs]).all(axis=1))
