"""Writes networks as ONNX files: for any number of rows, in half precision, and without paths of this machine."""

import gc
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from face_generation.networks import FlowSampler

OPSET = 20  # ONNX Runtime runs it on CPU and CUDA since 1.17
SMALL = 1024  # number of values; smaller weights stay in float32


def write_onnx(module: nn.Module, inputs: Mapping[str, Tensor], output: str, path: Path) -> None:
    """Writes a module as ONNX.

    Args:
        inputs: Example inputs by name, with two rows each.
        output: Name of the output.
    """
    _save(_exported(module, inputs, [output]), path)


def write_sampler(sampler: FlowSampler, attributes: int, path: Path) -> None:
    """Writes a sampler as ONNX: `normal`, and `attributes` if it takes any → `latents`.

    The file has the network once, in a loop over its evaluations. A program would need several times as long to load a
    file that has it for each evaluation.
    """
    size = math.prod(sampler.network.latent_shape)
    # Each input has a tensor of its own, because the exporter would take the same tensor for the same input.
    inputs = {"x": torch.zeros(2, size), "velocity": torch.zeros(2, size), "row": torch.zeros(4)}
    if attributes:
        inputs["attributes"] = torch.zeros(2, attributes)
    model = _exported(_Evaluation(sampler), inputs, ["moved", "new"], fixed=("row",))
    body = model.graph
    mean, std = (part.expand(sampler.network.latent_shape).flatten() for part in (sampler.mean, sampler.std))
    constants = {"schedule": sampler.schedule(), "mean": mean, "std": std}
    weights = [numpy_helper.from_array(value.numpy(), name) for name, value in constants.items()]
    weights.append(numpy_helper.from_array(np.array(len(sampler.schedule())), "evaluations"))
    one_evaluation = helper.make_graph(
        [
            helper.make_node("Gather", ["schedule", "evaluation"], ["row"]),
            *body.node,
            helper.make_node("Identity", ["going"], ["going_on"]),
        ],
        "evaluation",
        [
            helper.make_tensor_value_info("evaluation", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            *(value for value in body.input if value.name in ("x", "velocity")),
        ],
        [helper.make_tensor_value_info("going_on", TensorProto.BOOL, []), *body.output],
    )
    whole = helper.make_graph(
        [
            helper.make_node("Sub", ["normal", "normal"], ["still"]),
            helper.make_node("Loop", ["evaluations", "", "normal", "still"], ["there", "last"], body=one_evaluation),
            helper.make_node("Mul", ["there", "std"], ["scaled"]),
            helper.make_node("Add", ["scaled", "mean"], ["latents"]),
        ],
        "sampler",
        [
            helper.make_tensor_value_info("normal", TensorProto.FLOAT, ["n", size]),
            *(value for value in body.input if value.name == "attributes"),
        ],
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n", size])],
        [*body.initializer, *weights],
    )
    _save(helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version), path)


class _Evaluation(nn.Module):
    """One evaluation of a sampler's network."""

    def __init__(self, sampler: FlowSampler) -> None:
        super().__init__()
        self.sampler = sampler

    def forward(
        self, x: Tensor, velocity: Tensor, row: Tensor, attributes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.sampler.evaluate(x, velocity, row, x[:, :0] if attributes is None else attributes)


def _exported(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], fixed: Sequence[str] = ()
) -> onnx.ModelProto:
    """Exports a module, without the exporter's notes. Inputs have any number of rows, except for `fixed` ones."""
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
                output_names=list(outputs),
                dynamic_shapes=(tuple({} if name in fixed else {0: torch.export.Dim("n")} for name in inputs)),
                verbose=False,
            )
    finally:
        gc.unfreeze()
    assert program is not None
    model = program.model_proto
    _strip(model)
    return model


def _save(model: onnx.ModelProto, path: Path) -> None:
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
