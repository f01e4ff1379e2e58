"""Writes networks as ONNX files: for any number of rows, in half precision, and without paths of this machine."""

import gc
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 20  # ONNX Runtime runs it on CPU and CUDA since 1.17
SMALL = 1024  # number of values; smaller weights stay in float32


def write_onnx(module: nn.Module, inputs: Mapping[str, Tensor], output: str, path: Path) -> None:
    """Writes a module as ONNX.

    Args:
        inputs: Example inputs by name, with two rows each.
        output: Name of the output.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    gc.freeze()  # the exporter makes many objects, and collecting all others with them takes a fifth of its time
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
    """Removes the exporter's notes for debugging, which are as large as a small model and full of paths."""
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
