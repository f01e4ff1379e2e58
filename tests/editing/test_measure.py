"""On faces that are one colour with noise: red ones smile, green ones are male, and the two mostly go together."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from face_generation.editing import measure
from face_generation.editing.finding import find_directions
from face_generation.errors import UserError
from face_generation.export.bundle import extend_bundle
from face_generation.generator import Bundle, Generator

LATENT_DIM = 8
NAMES = ["Smiling", "Male", "Young"]
CHANNEL = {"smiling": 0, "male": 1}
SPREAD = 40  # of a colour, levels
TOGETHER = 0.6  # correlation of red and green
TO_COLOUR = np.linalg.qr(np.random.RandomState(0).standard_normal((LATENT_DIM, 3)))[0].astype(np.float32)


def write_split(folder: Path, name: str, count: int) -> None:
    """Whether a face is young is a coin's toss, which nobody can see."""
    random = np.random.RandomState(len(name))
    covariance = np.eye(3) + TOGETHER * (np.diag([1, 0], 1) + np.diag([1, 0], -1))
    colours = 128 + SPREAD * random.multivariate_normal(np.zeros(3), covariance, count)
    noise = random.randint(-20, 21, (count, 150, 150, 3))
    np.save(folder / f"{name}.npy", (colours[:, None, None] + noise).clip(0, 255).astype(np.uint8))
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[red > 128, green > 128, random.rand() > 0.5] for red, green, _ in colours]
        writer = csv.writer(file)
        writer.writerow(["name", *NAMES])
        writer.writerows([f"{i:06}.jpg", *(1 if has else -1 for has in row)] for i, row in enumerate(rows))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    for name, count in {"train": 190, "val": 40, "test": 40}.items():
        write_split(folder, name, count)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def save(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, NDArray], encoder: bool) -> None:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 150, 150, 3])
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n", LATENT_DIM])
    ends = [images, latents] if encoder else [latents, images]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, ends[:1], ends[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def write_bundle(folder: Path, with_encoder: bool) -> Bundle:
    """A model that draws any colour, and an encoder that is exact."""
    folder.mkdir()
    node = helper.make_node
    numbers = {"spread": np.float32(SPREAD), "middle": np.float32(128)}
    drawing = [
        node("MatMul", ["latents", "weight"], ["colour"]),
        node("Mul", ["colour", "spread"], ["wide"]),
        node("Add", ["wide", "middle"], ["levels"]),
        node("Clip", ["levels", "black", "white"], ["clipped"]),
        node("Unsqueeze", ["clipped", "axes"], ["pixel"]),
        node("Expand", ["pixel", "shape"], ["picture"]),
        node("Cast", ["picture"], ["images"], to=TensorProto.UINT8),
    ]
    picture = {"axes": np.array([1, 2]), "shape": np.array([1, 150, 150, 3])}
    bounds = {"black": np.float32(0), "white": np.float32(255)}
    save(folder / "decoder.onnx", drawing, {"weight": TO_COLOUR, **numbers, **picture, **bounds}, encoder=False)
    if with_encoder:
        reading = [
            node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            node("ReduceMean", ["float", "axes"], ["levels"], keepdims=0),
            node("Sub", ["levels", "middle"], ["wide"]),
            node("Div", ["wide", "spread"], ["colour"]),
            node("MatMul", ["colour", "weight"], ["latents"]),
        ]
        weights = {"weight": np.linalg.pinv(TO_COLOUR), "axes": np.array([1, 2]), **numbers}
        save(folder / "encoder.onnx", reading, weights, encoder=True)
    about = {"training": {"model": "Colours", "data": "none"}, "licence": "MIT"}
    bundle = Bundle.write(
        folder, name="colours", latent_shape=[LATENT_DIM], image_size=150, metrics={"val/loss": 1.0}, **about
    )
    return bundle.record({"command": "none", "comparison": "None.", "figures": {}, "real": {}})


@pytest.fixture(scope="module", params=[True, False], ids=["encoder", "decoder only"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "colours", request.param)


@pytest.fixture(scope="module")
def content(bundle: Bundle, splits: Path, cache: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "COMPARED", 2)
        return find_directions(Generator(bundle), splits, cache=cache)


def test_an_edit_changes_what_it_names_and_nothing_else(content: dict[str, Any], bundle: Bundle, splits: Path) -> None:
    """By the pixels, which no classifier has a say in."""
    assert {attribute["name"] for attribute in content["attributes"]} == set(CHANNEL)
    latents = Generator(bundle).latents(50, seed=0)
    for attribute in content["attributes"]:
        named = CHANNEL[attribute["name"]]
        before, after = (
            Generator(bundle).decode(latents + strength * np.array(attribute["vector"], np.float32)).mean((0, 1, 2))
            for strength in (0, 1)
        )
        change = after - before
        assert change[named] > 30
        assert abs(change[1 - named]) < 0.2 * change[named]
        assert abs(change[2]) < 0.2 * change[named]

    # The mean difference between faces with the attribute and without would not have left it.
    colours = np.load(splits / "train.npy").mean((1, 2))
    difference = colours[colours[:, 0] > 128].mean(0) - colours[colours[:, 0] <= 128].mean(0)
    assert difference[1] > 0.4 * difference[0]


def test_what_an_edit_changes_is_measured(content: dict[str, Any], bundle: Bundle) -> None:
    assert content["left_out"] == ["young"]
    assert content["faces"]["edited"] == measure.FACES
    assert content["faces"]["held_out_from"] == "val and test"
    for attribute in content["attributes"]:
        figures = attribute["figures"]
        assert figures["auc"] > 0.95
        assert figures["classifier"]["auc"] > 0.95
        edit = figures["edit"]
        assert abs(edit["strength"]) in measure.STRENGTHS
        assert edit["after"] - edit["before"] == pytest.approx(np.sign(edit["strength"]) * 0.5, abs=0.3)
        assert edit["change"] * edit["strength"] > 0
        assert edit["others"] < 0.5 * abs(edit["change"])
        assert abs(edit["most_change"]) < abs(edit["change"])
        assert edit["most_changed"] != attribute["name"]
        assert edit["found"] == 0  # there is no face in a colour
        assert edit["identity"] >= 0


def test_without_measuring_an_encoder_still_gives_attributes(
    content: dict[str, Any], bundle: Bundle, splits: Path, tmp_path: Path
) -> None:
    unmeasured = find_directions(Generator(bundle), splits, measure=False, cache=tmp_path)["attributes"]
    assert list(tmp_path.iterdir()) == []  # no classifier was trained
    assert {attribute["name"] for attribute in unmeasured} == (set(CHANNEL) if bundle.has_encoder else set())
    assert not any("edit" in attribute["figures"] for attribute in unmeasured)


def test_a_bundle_is_extended_and_otherwise_left_as_it_was(
    content: dict[str, Any], bundle: Bundle, splits: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "dlib", None)  # Python's own way of saying that there is none
    shutil.copytree(cache, "outputs/attributes")
    shutil.copytree(bundle.folder, "copy")

    extended = extend_bundle("copy", splits)

    assert Bundle.load("copy") == extended
    assert {**extended.files, **bundle.files} == extended.files
    assert extended.evaluation == bundle.evaluation
    written = json.loads(Path("copy/directions.json").read_text())
    assert {each["name"] for each in written["attributes"]} == set(CHANNEL)
    assert list(Generator(extended).directions)[:2] == [each["name"] for each in written["attributes"]]
    assert str(splits) not in Path("copy/bundle.json").read_text()
    card = Path("copy/README.md").read_text()
    for text in ("## Edits", "| smiling | ", "measured on 100 drawn faces", "| – | – |", "Left out", "young."):
        assert text in card


@pytest.mark.parametrize(
    ("where", "splits_too", "message"),
    [("models:/vae/1", True, "not on this disk"), ("vae", False, "splits=…"), ("nowhere", True, "no bundle 'nowhere'")],
)
def test_what_cannot_be_extended(where: str, splits_too: bool, message: str, splits: Path) -> None:
    with pytest.raises(UserError, match=message):
        extend_bundle(where, splits if splits_too else None)
