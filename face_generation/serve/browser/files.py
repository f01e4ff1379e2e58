"""What a browser draws with: the page that is told to, the runtime, the detector of faces, and the bundles."""

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
    """The page, told to draw by itself."""
    text = OF_BROWSER.sub(r"\1", OF_SERVER.sub("", WEB["index.html"].body.decode()))
    return text.replace('<html lang="en">', '<html lang="en" data-draw="browser">')


def drawing_files(catalogue: Catalogue, limits: Limits, runtime: Path | None) -> dict[str, bytes]:
    """What the page fetches to draw with the bundles of a catalogue, by the path that it asks for.

    Args:
        runtime: The unpacked npm package of ONNX Runtime Web; without it, it is downloaded.

    Raises:
        UserError: The runtime does not come, or is another one.
    """
    detector = {path.name: path.read_bytes() for path in (yunet.NETWORK, yunet.NETWORK.with_name("LICENSE"))}
    content = under("runtime", bring_runtime(runtime)) | under("detector", detector)
    for served in catalogue.values():
        folder = served.generator.bundle.folder
        names = [MANIFEST, *served.generator.bundle.files, *([CARD] if served.card else [])]
        content |= under(f"bundles/{served.name}", {name: (folder / name).read_bytes() for name in names})
    return content | {CATALOGUE: _listed(catalogue, limits, content)}


def under(folder: str, content: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files as they are called where their folder lies in another one."""
    return {f"{folder}/{name}": file for name, file in content.items()}


def _listed(catalogue: Catalogue, limits: Limits, content: Mapping[str, bytes]) -> bytes:
    """What `/api/v1/bundles` tells the page where the server draws, and how each file must arrive."""
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
