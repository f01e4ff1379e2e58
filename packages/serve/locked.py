"""Prints the versions in poetry.lock as constraints for `pip install --constraint`."""

import tomllib
from pathlib import Path

LOCK = Path(__file__).parents[2] / "poetry.lock"

for package in tomllib.loads(LOCK.read_text(encoding="utf-8"))["package"]:
    markers = package.get("markers", "")
    if isinstance(markers, dict):  # each group of dependencies has its own
        markers = markers.get("main", "")
    print(f"{package['name']}=={package['version']}" + f"; {markers}" * bool(markers))
