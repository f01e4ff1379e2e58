import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_generation.errors import UserError
from face_generation.generator import Bundle, Generator
from face_generation.generator.bundle import sha256


def changed(tiny_bundle: Path, tmp_path: Path, directions: Any) -> Path:
    """A copy of the bundle with other directions, or none."""
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    path = folder / "directions.json"
    manifest = json.loads((folder / "bundle.json").read_text())
    if directions is None:
        path.unlink()
        del manifest["files"]["directions.json"]
    else:
        path.write_text(directions if isinstance(directions, str) else json.dumps(directions))
        manifest["files"]["directions.json"] = sha256(path)
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_attributes_come_first(tiny_bundle: Path) -> None:
    directions = Generator.load(tiny_bundle).directions
    assert list(directions) == ["smiling", "eyeglasses", "principal_1"]
    assert [direction.name for direction in directions.attributes] == ["smiling", "eyeglasses"]
    assert [direction.name for direction in directions.principal] == ["principal_1"]
    assert directions["smiling"].figures["auc"] == 0.95


def test_edits_add_up(tiny_bundle: Path) -> None:
    generator = Generator.load(tiny_bundle)
    directions = generator.directions
    latents = generator.latents(3, seed=5)
    moved = directions.move(latents, {"smiling": 1.5, "principal_1": -2})
    expected = latents + 1.5 * directions["smiling"].vector - 2 * directions["principal_1"].vector
    assert moved == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(directions.move(latents, {}), latents)
    assert np.array_equal(generator.latents(3, seed=5, edits={"smiling": 0}), latents)
    assert generator.latents(3, seed=5, edits={"smiling": 1.5, "principal_1": -2}) == pytest.approx(expected, abs=1e-5)


def test_an_edited_face_is_another_face_of_the_same_seed(tiny_bundle: Path) -> None:
    generator = Generator.load(tiny_bundle)
    edited = generator.sample(2, seed=3, edits={"smiling": 2})
    assert not np.array_equal(edited, generator.sample(2, seed=3))
    streamed = np.stack(list(generator.stream(2, seed=3, edits={"smiling": 2})))
    assert np.array_equal(edited, streamed)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"smilling": 1}, "cannot edit 'smilling'; its directions are smiling, eyeglasses, principal_1"),
        ({"smiling": float("nan")}, "must be a number, not nan"),
        ({"smiling": "2"}, "must be a number, not '2'"),
        ({"smiling": True}, "must be a number, not True"),
        ({"smiling": 11}, "from -10 to 10"),
    ],
    ids=["unknown", "nan", "text", "boolean", "far"],
)
def test_edits_that_cannot_be(tiny_bundle: Path, edits: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Generator.load(tiny_bundle).latents(1, edits=edits)


def test_a_bundle_may_have_no_directions(tiny_bundle: Path, tmp_path: Path) -> None:
    generator = Generator.load(changed(tiny_bundle, tmp_path, None))
    assert len(generator.directions) == 0
    with pytest.raises(UserError, match="it has no directions"):
        generator.sample(1, edits={"smiling": 1})


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        "[]",
        {"attributes": []},
        {"attributes": [], "principal": [{"name": "principal_1", "vector": [1.0], "figures": {}}]},
        {"attributes": [], "principal": [{"name": "principal_1", "vector": [None] * 8, "figures": {}}]},
        {"attributes": [], "principal": [{"name": 1, "vector": [0.0] * 8, "figures": {}}]},
    ],
    ids=["text", "list", "half", "short", "null", "nameless"],
)
def test_malformed_directions_are_refused(tiny_bundle: Path, tmp_path: Path, content: Any) -> None:
    folder = changed(tiny_bundle, tmp_path, content)
    with pytest.raises(UserError, match="is not a file of directions"):
        _ = Generator.load(folder).directions


def test_a_changed_file_of_directions_is_noticed(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    with (folder / "directions.json").open("a") as file:
        file.write(" ")
    with pytest.raises(UserError, match=r"directions\.json does not match"):
        Bundle.load(folder)
