"""A bundle as an MLflow model: `mlflow.pyfunc.load_model("models:/vae/1").predict({"seed": [0, 1]})`.

MLflow imports this module by the name in the model's `MLmodel` file.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator.generator import Generator
from face_generation.generator.parallel import parallel_map

SEED, LATENTS = "seed", "latents"  # columns of the input; a call has one of them


class BundleModel:
    """A bundle with the interface that MLflow calls."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> NDArray[np.uint8]:
        """Draws a face for each row of a table, uint8 RGB N×H×W×3.

        Args:
            model_input: Data frame with the column `seed`, or the column `latents` with latent_dim numbers in each row.
            params: `truncation`, `attributes` and `edits`, as in `Generator.latents`. Only `edits` applies to latents.

        Raises:
            UserError: The table has neither column, or one of the errors of `Generator.latents` and `Generator.decode`.
        """
        params = dict(params or {})
        edits = _given(params.get("edits"))
        if LATENTS in model_input:
            latents = np.stack([np.asarray(row, dtype=np.float32) for row in model_input[LATENTS]])
            return self.generator.decode(self.generator.directions.move(latents, edits))
        if SEED not in model_input:
            raise UserError(f"the input has neither the column {SEED} nor {LATENTS}; give one of them")
        attributes = {name: int(value) for name, value in _given(params.get("attributes")).items()}
        truncation = params.get("truncation")

        def latents_of(seed: int) -> NDArray[np.float32]:
            return self.generator.latents(1, int(seed), truncation, edits, attributes)[0]

        return self.generator.decode(np.stack(list(parallel_map(latents_of, model_input[SEED]))))


def _given(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def _load_pyfunc(path: str) -> BundleModel:
    """Opens the bundle in the folder `path`."""
    return BundleModel(Generator.load(path))
