"""Writes a bundle as an MLflow model, which needs neither this package nor torch to draw."""

import shutil
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Object, Property

from face_generation.generator import Bundle, Generator, pyfunc

PACKAGE = Path(__file__).parents[1]
CODE = ("errors.py", "files.py", "generator")  # the part of this package that draws
REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pillow")  # what that code needs
MAX_TAG = 500  # characters; MLflow's databases take more, but nobody reads them in a list
# A model carries only a part of the package. If the whole package is installed, the rest is imported from there.
INIT = "\nimport pkgutil\n\n__path__ = pkgutil.extend_path(__path__, __name__)\n"


def write_mlflow_model(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Writes a bundle as an MLflow model of the flavour `python_function` into a new folder.

    Nothing in the model is pickled: it holds the bundle itself and a copy of the code that draws with it.

    Returns:
        Tags that a list of models should show.
    """
    with TemporaryDirectory() as temporary:
        code = Path(temporary) / PACKAGE.name
        code.mkdir()
        (code / "__init__.py").write_text(
            (PACKAGE / "__init__.py").read_text(encoding="utf-8") + INIT, encoding="utf-8"
        )
        for name in CODE:
            if (PACKAGE / name).is_file():
                shutil.copy(PACKAGE / name, code)
            else:
                shutil.copytree(PACKAGE / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
        mlflow.pyfunc.save_model(
            folder,
            loader_module=pyfunc.__name__,
            data_path=str(bundle.folder),
            code_paths=[str(code)],
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            signature=signature(bundle),
            input_example={pyfunc.SEED: [0, 1]},
        )
    return {
        "model": str(bundle.training.get("model", "unknown")),
        "image_size": str(bundle.image_size),
        "truncation": f"{bundle.truncation:g}",
        "licence": bundle.licence[:MAX_TAG],
    }


def signature(bundle: Bundle) -> ModelSignature:
    """The signature of the model: seeds or latents with parameters in, faces out."""
    inputs = Schema(
        [
            ColSpec(DataType.long, pyfunc.SEED, required=False),
            # These are lists of numbers. If the signature said so, MLflow would take {"seed": [0, 1]} for one row.
            ColSpec(AnyType(), pyfunc.LATENTS, required=False),
        ]
    )
    faces = TensorSpec(np.dtype(np.uint8), (-1, bundle.image_size, bundle.image_size, 3))
    params = [ParamSpec("truncation", DataType.double, float(bundle.truncation))]
    generator = Generator(bundle)
    offered = [each["name"] for each in bundle.attributes if each["offered"]]
    for name, keys, kind in (("attributes", offered, DataType.long), ("edits", generator.directions, DataType.double)):
        properties = [Property(key, kind, required=False) for key in keys]
        if properties:
            params.append(ParamSpec(name, Object(properties), {}))
    return ModelSignature(inputs, Schema([faces]), ParamSchema(params))
