"""Coloured noise stands for faces here: what colour it is decides its attributes, so the truth is known."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_generation.editing.finding import add_directions, find_directions
from face_generation.errors import UserError
from face_generation.generator import Bundle, Generator

NAMES = ["Smiling", "Male", "Young", "Bald"]
COUNTS = {"train": 240, "val": 40, "test": 40}


def write_split(folder: Path, name: str, count: int, labelled: bool) -> None:
    """Smiling is red, male is green, young is a coin's toss, and nobody is bald."""
    random = np.random.RandomState(len(name))
    colours = random.randint(60, 196, (count, 1, 1, 3))
    images = (colours + random.randint(-30, 30, (count, 150, 150, 3))).clip(0, 255).astype(np.uint8)
    np.save(folder / f"{name}.npy", images)
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *NAMES])
        for i, (red, green, _) in enumerate(colours[:, 0, 0]):
            values = [1 if red > 128 else -1, 1 if green > 128 else -1, random.choice([1, -1]), -1]
            writer.writerow([f"{i:06}.jpg", *(values if labelled else [0] * len(NAMES))])


def write_splits(folder: Path, labelled: bool) -> Path:
    folder.mkdir()
    for name, count in COUNTS.items():
        write_split(folder, name, count, labelled)
    return folder


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splits(tmp_path_factory.mktemp("noise") / "splits", labelled=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def content(tiny_bundle: Path, splits: Path, cache: Path) -> dict[str, Any]:
    return find_directions(Generator.load(tiny_bundle), splits, measure=False, cache=cache)


def test_attributes_that_the_latents_tell_and_no_others(content: dict[str, Any]) -> None:
    assert {attribute["name"] for attribute in content["attributes"]} == {"smiling", "male"}
    assert "young" in content["left_out"]
    for attribute in content["attributes"]:
        assert attribute["figures"]["accuracy"] > 0.9
        assert attribute["figures"]["auc"] > 0.95
        assert 0.4 < attribute["figures"]["majority"] < 0.7


def test_a_direction_changes_what_it_names_and_leaves_the_rest(
    content: dict[str, Any], tiny_bundle: Path, splits: Path
) -> None:
    """By a yardstick of its own: the colours that the encoder's linear map, undone, gives back."""
    generator = Generator.load(tiny_bundle)
    images = np.load(splits / "test.npy")
    latents, colours = generator.encode(images), images.mean((1, 2))
    undo = np.linalg.lstsq(latents, colours, rcond=None)[0]  # exact: latents are a linear map of mean colours
    assert latents @ undo == pytest.approx(colours, rel=1e-2)
    for attribute in content["attributes"]:
        red, green, _ = np.array(attribute["vector"]) @ undo  # blue is no attribute
        named, other = (red, green) if attribute["name"] == "smiling" else (green, red)
        assert 50 < named < 90  # the means of those with and without are 68 apart
        assert abs(other) < 0.3 * named


def test_principal_directions_are_orthogonal_unit_steps(content: dict[str, Any]) -> None:
    principal = np.array([direction["vector"] for direction in content["principal"]])
    attributes = np.array([attribute["vector"] for attribute in content["attributes"]])
    assert [direction["name"] for direction in content["principal"]] == [
        f"principal_{i + 1}" for i in range(len(principal))
    ]
    assert principal @ principal.T == pytest.approx(np.eye(len(principal)), abs=1e-3)
    assert principal @ attributes.T == pytest.approx(np.zeros((len(principal), len(attributes))), abs=1e-3)
    shares = [direction["figures"]["share"] for direction in content["principal"]]
    assert shares == sorted(shares, reverse=True)
    assert 0.2 < sum(shares) <= 1


def test_the_same_again(content: dict[str, Any], tiny_bundle: Path, splits: Path, cache: Path) -> None:
    assert find_directions(Generator.load(tiny_bundle), splits, measure=False, cache=cache) == content


def test_without_labels_there_are_principal_directions_only(tiny_bundle: Path, tmp_path: Path) -> None:
    unlabelled = write_splits(tmp_path / "splits", labelled=False)
    content = find_directions(Generator.load(tiny_bundle), unlabelled, cache=tmp_path / "cache")
    assert content["attributes"] == []
    assert 0 < len(content["principal"]) <= 3  # the encoder sees three mean colours, and has eight latents


def test_missing_splits(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.csv is missing"):
        find_directions(Generator.load(tiny_bundle), tmp_path)


def test_they_are_added_to_a_bundle(
    content: dict[str, Any], tiny_bundle: Path, splits: Path, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    before = Bundle.load(folder)
    add_directions(before, splits, measure=False, cache=cache)
    after = Bundle.load(folder)  # which checks the sums
    assert json.loads((folder / "directions.json").read_text()) == content
    assert {name: after.files[name] for name in ("decoder.onnx", "encoder.onnx")} == {
        name: before.files[name] for name in ("decoder.onnx", "encoder.onnx")
    }
    assert list(Generator(after).directions)[:2] == [attribute["name"] for attribute in content["attributes"]]
