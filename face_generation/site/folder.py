"""Writes the page, what it draws with and the bundles into a folder that any static host serves."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from face_generation.errors import UserError
from face_generation.files import replacing
from face_generation.generator import yunet
from face_generation.generator.bundle import CARD, MANIFEST
from face_generation.generator.directions import MAX_STRENGTH
from face_generation.generator.generator import MAX_TRUNCATION
from face_generation.serve.catalogue import Catalogue
from face_generation.serve.pages import WEB
from face_generation.serve.settings import Limits
from face_generation.site.runtime import bring_runtime

CATALOGUE = "bundles/catalogue.json"
WORKER = "service-worker.js"
AT_THE_TOP = ("manifest.webmanifest", "favicon.ico")  # where browsers look for them
LEFT_OUT = ("index.html", "robots.txt", *AT_THE_TOP)  # of the static files
# What the page may do: ask its own host only. WebAssembly is compiled, and nothing else is code.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
OF_PAGE = {".html", ".js", ".mjs", ".css", ".svg", ".png", ".ico", ".webmanifest", ".md"}  # suffixes
OF_SERVER = re.compile(r"<!-- server -->.*?<!-- /server -->", re.DOTALL)
OF_BROWSER = re.compile(r"<!-- browser: (.*?) -->", re.DOTALL)


def write_site(out: Path, places: Sequence[str], runtime: Path | None = None) -> None:
    """Writes a site that draws with bundles, in place of an older one.

    Args:
        places: Bundles as `Bundle.load` takes them. The page opens with the first.
        runtime: The unpacked npm package of ONNX Runtime Web; without it, it is downloaded.

    Raises:
        UserError: A bundle cannot be drawn with, the runtime does not come, or `out` holds something else.
    """
    if out.exists() and not (out / CATALOGUE).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} is there already and is no site; choose another folder, or move it away")
    catalogue = Catalogue.load(places, prefix="")
    detector = {path.name: path.read_bytes() for path in (yunet.NETWORK, yunet.NETWORK.with_name("LICENSE"))}
    content = _page() | _under("runtime", bring_runtime(runtime)) | _under("detector", detector)
    for served in catalogue.values():
        folder = served.generator.bundle.folder
        names = [MANIFEST, *served.generator.bundle.files, *([CARD] if served.card else [])]
        content |= _under(f"bundles/{served.name}", {name: (folder / name).read_bytes() for name in names})
    content[CATALOGUE] = _catalogue(catalogue, content)
    content[WORKER] = _worker(content)
    content[".nojekyll"] = b""  # else GitHub Pages has cards as web pages

    try:
        with replacing(out.absolute()) as new:
            for path, file in tqdm(content.items(), desc=str(out), unit="file"):
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).write_bytes(file)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another folder") from error


def _page() -> dict[str, bytes]:
    """The service's page, told to draw by itself."""
    page = WEB["index.html"].body.decode()
    page = OF_BROWSER.sub(r"\1", OF_SERVER.sub("", page))
    page = page.replace('<html lang="en">', '<html lang="en" data-draw="browser">')
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    page = page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}')
    top = {name: WEB[name].body for name in AT_THE_TOP}
    static = {name: file.body for name, file in WEB.items() if name not in LEFT_OUT}
    return {"index.html": page.encode()} | top | _under("static", static)


def _catalogue(catalogue: Catalogue, content: Mapping[str, bytes]) -> bytes:
    """What the service tells at `/api/v1/bundles`, and the files that are checked when they arrive."""
    limits = Limits()
    about: dict[str, Any] = {
        "bundles": [served.about.model_dump(exclude={"card"}) for served in catalogue.values()],
        "limits": {
            "faces": limits.faces,
            "frames": limits.frames,
            "max_strength": MAX_STRENGTH,
            "max_truncation": MAX_TRUNCATION,
        },
        "files": {
            path: {"bytes": len(file), "sha256": hashlib.sha256(file).hexdigest()}
            for path, file in content.items()
            if path.startswith(("bundles/", "detector/", "runtime/"))
        },
    }
    return json.dumps(about, ensure_ascii=False).encode()


def _worker(content: Mapping[str, bytes]) -> bytes:
    """The service worker, told which files it keeps: those that the page does not keep itself."""
    kept = [path for path in content if path == CATALOGUE or Path(path).suffix in OF_PAGE]
    sums = hashlib.sha256(b"".join(hashlib.sha256(content[path]).digest() for path in kept))
    site = json.dumps({"version": sums.hexdigest()[:12], "files": kept})
    return f"self.SITE = {site};\n".encode() + (Path(__file__).parent / WORKER).read_bytes()


def _under(folder: str, content: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": file for name, file in content.items()}
