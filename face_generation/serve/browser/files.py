"""Collects the files that a browser draws with: the page, the runtime, the face detector, and the bundles."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from face_generation.generator import yunet
from face_generation.generator.bundle import CARD, MANIFEST
from face_generation.generator.directions import MAX_STRENGTH
from face_generation.generator.generator import MAX_TRUNCATION
from face_generation.generator.origin import SOFTWARE
from face_generation.serve.browser.runtime import bring_runtime
from face_generation.serve.catalogue import Catalogue
from face_generation.serve.pages import WEB
from face_generation.serve.settings import Limits

CATALOGUE = "bundles/catalogue.json"
OF_SERVER = re.compile(r"<!-- server -->.*?<!-- /server -->", re.DOTALL)
OF_BROWSER = re.compile(r"<!-- browser: (.*?) -->", re.DOTALL)


def page() -> str:
    """The HTML of the page that draws in the browser."""
    text = OF_BROWSER.sub(r"\1", OF_SERVER.sub("", WEB["index.html"].body.decode()))
    return text.replace('<html lang="en">', '<html lang="en" data-draw="browser">')


def drawing_files(catalogue: Catalogue, limits: Limits, runtime: Path | None) -> dict[str, bytes]:
    """The files that the page fetches to draw with the bundles of a catalogue, by path.

    Args:
        catalogue: The bundles.
        limits: How much the page may ask for.
        runtime: Folder with the unpacked npm package of ONNX Runtime Web. `None` downloads it.

    Raises:
        UserError: The runtime cannot be downloaded, or has another version.
    """
    detector = {path.name: path.read_bytes() for path in (yunet.NETWORK, yunet.NETWORK.with_name("LICENSE"))}
    content = under("runtime", bring_runtime(runtime)) | under("detector", detector)
    for served in catalogue.values():
        folder = served.generator.bundle.folder
        names = [MANIFEST, *served.generator.bundle.files, *([CARD] if served.card else [])]
        content |= under(f"bundles/{served.name}", {name: (folder / name).read_bytes() for name in names})
    return content | {CATALOGUE: _listed(catalogue, limits, content)}


def under(folder: str, content: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files, with the name of a folder before their paths."""
    return {f"{folder}/{name}": file for name, file in content.items()}


def _listed(catalogue: Catalogue, limits: Limits, content: Mapping[str, bytes]) -> bytes:
    """The catalogue for a page that draws itself: what `/api/v1/bundles` says, and the size and hash of each file."""
    about: dict[str, Any] = {
        "software": SOFTWARE,
        "bundles": [served.about.model_dump(exclude={"card"}) for served in catalogue.values()],
        "limits": {
            "faces": limits.faces,
            "frames": limits.frames,
            "max_strength": MAX_STRENGTH,
            "max_truncation": MAX_TRUNCATION,
        },
        "files": {
            path: {"bytes": len(file), "sha256": hashlib.sha256(file).hexdigest()} for path, file in content.items()
        },
    }
    return json.dumps(about, ensure_ascii=False).encode()
