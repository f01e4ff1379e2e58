"""What holds for the repository as a whole."""

import ast
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf
from packaging.requirements import Requirement

import face_generation
from face_generation.generator import Bundle
from face_generation.metrics.registry import METRICS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported_modules(folder: Path) -> set[str]:
    """Full names of the modules that the Python files under `folder` import, anywhere in them."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module)
    return names


def targets(node: Any) -> Iterator[dict[str, Any]]:
    """The blocks of a configuration that name something of this package to call."""
    if isinstance(node, dict):
        if str(node.get("_target_")).startswith("face_generation."):
            yield node
        for child in node.values():
            yield from targets(child)


def test_package_and_project_have_one_version() -> None:
    assert face_generation.__version__ == PROJECT["version"]


@pytest.mark.parametrize("folder", ["face_generation", "scripts"])
def test_every_imported_package_is_a_declared_dependency(folder: str) -> None:
    extras = PROJECT["optional-dependencies"]
    requirements = PROJECT["dependencies"] + extras["evaluate"] + extras["hub"] + extras["parquet"] + extras["ray"]
    provided = {
        file.parts[0].partition(".")[0]
        for requirement in requirements
        for file in files(Requirement(requirement).name) or ()
    }
    imported = {name.partition(".")[0] for name in imported_modules(ROOT / folder)}

    assert imported - set(sys.stdlib_module_names) - {"face_generation"} <= provided


@pytest.mark.parametrize(
    ("room", "below"),
    [
        ("data", {"generator"}),
        ("generator", set()),
        ("networks", set()),
        ("losses", {"networks", "randomness"}),
        ("models", {"data", "generator", "hardware", "losses", "metrics", "networks", "randomness"}),
        ("editing", {"data", "generator", "metrics"}),
        ("export", {"command", "data", "editing", "generator", "metrics", "models", "networks"}),
        ("train", {"command", "data", "export", "hardware", "models", "networks", "push", "tracking"}),
        ("evaluate", {"command", "data", "export", "generator", "hardware", "metrics", "models", "tracking"}),
        ("inference", {"command", "data", "generator"}),
        ("push", {"command", "generator", "metrics"}),
        ("serve", {"command", "generator"}),
        ("site", {"command", "generator", "serve"}),
    ],
)
def test_dependencies_point_one_way(room: str, below: set[str]) -> None:
    names = [name.split(".") for name in imported_modules(ROOT / "face_generation" / room)]
    ours = {parts[1] for parts in names if parts[0] == "face_generation" and len(parts) > 1}

    assert ours <= {room, "errors", "files"} | below


def test_defaults_in_code_are_those_of_the_configuration() -> None:
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        for block in targets(OmegaConf.to_container(OmegaConf.load(path))):
            for name, parameter in inspect.signature(get_object(block["_target_"])).parameters.items():
                value = block.get(name, parameter.default)
                if parameter.default is not parameter.empty and "${" not in str(value):
                    assert value == parameter.default, f"{path.name}: {block['_target_']}, {name}"


def test_names_of_tests_are_short() -> None:
    nodes = [node for path in ROOT.glob("tests/**/*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    names = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]

    assert [name for name in names if len(name) >= 60] == []


def test_no_merge_was_left_half_done() -> None:
    found = subprocess.run(["git", "grep", "-lE", "^(<{7}|>{7}) "], cwd=ROOT, capture_output=True, text=True)

    assert found.stdout.split() == []
    assert found.returncode == 1, found.stderr  # git looked, and there was nothing


def test_the_readme_has_the_figures_of_the_shipped_bundles() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    vae, dcgan = (Bundle.load(name).evaluation for name in ("vae", "dcgan"))
    columns = (vae["figures"], dcgan["figures"], vae["real"])
    keys = {metric.title: key for key, metric in METRICS.items()}
    table = [line.strip("| ").split(" | ") for line in readme.splitlines() if line.startswith("| ")]
    shown = {keys[title]: cells for title, *cells in table if title in keys}

    assert vae["real"] == dcgan["real"]
    assert vae["command"] in readme
    assert len(shown) > 8
    for key, (_, *cells) in shown.items():
        assert cells == [f"{column[key]['value']:.3g}" if key in column else "–" for column in columns], key
