"""Writes the page, its runtime and the bundles into a folder, which any static host can serve."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from face_generation.errors import UserError
from face_generation.files import replacing
from face_generation.serve.browser.files import CATALOGUE, drawing_files, page, under
from face_generation.serve.catalogue import Catalogue
from face_generation.serve.pages import WEB
from face_generation.serve.settings import Limits

WORKER = "service-worker.js"
AT_THE_TOP = ("manifest.webmanifest", "favicon.ico")  # where browsers look for them
LEFT_OUT = ("index.html", "robots.txt", *AT_THE_TOP)  # these do not go to static/
# The page may only ask its own host. It may compile WebAssembly, and run no other code than its own.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
OF_PAGE = {".html", ".js", ".mjs", ".css", ".svg", ".png", ".ico", ".webmanifest", ".md"}  # its suffixes


def write_site(out: Path, places: Sequence[str], runtime: Path | None = None) -> None:
    """Writes a site that draws with bundles. An older site in the folder is replaced.

    Args:
        out: The folder to write.
        places: Bundles as `Bundle.load` takes them. The page opens with the first.
        runtime: Folder with the unpacked npm package of ONNX Runtime Web. `None` downloads it.

    Raises:
        UserError: A bundle cannot be used, the runtime cannot be downloaded, or `out` holds something else or cannot be
            written.
    """
    if out.exists() and not (out / CATALOGUE).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists and is not a site; choose another folder, or move it away")
    content = _page() | drawing_files(Catalogue.load(places, prefix=""), Limits(), runtime)
    content[WORKER] = _worker(content)
    content[".nojekyll"] = b""  # otherwise GitHub Pages turns the cards into web pages

    try:
        with replacing(out.absolute()) as new:
            for path, file in tqdm(content.items(), desc=str(out), unit="file"):
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).write_bytes(file)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another folder") from error


def _page() -> dict[str, bytes]:
    """The page's files. A host of files cannot send a policy or register a service worker, so the page does both."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    text = page().replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}')
    text = text.replace('data-draw="browser"', f'data-draw="browser" data-keeper="{WORKER}"')
    top = {name: WEB[name].body for name in AT_THE_TOP}
    static = {name: file.body for name, file in WEB.items() if name not in LEFT_OUT}
    return {"index.html": text.encode()} | top | under("static", static)


def _worker(content: Mapping[str, bytes]) -> bytes:
    """The service worker, with the list of files that it keeps. The page itself keeps the others."""
    kept = [path for path in content if path == CATALOGUE or Path(path).suffix in OF_PAGE]
    sums = hashlib.sha256(b"".join(hashlib.sha256(content[path]).digest() for path in kept))
    site = json.dumps({"version": sums.hexdigest()[:12], "files": kept})
    return f"self.SITE = {site};\n".encode() + (Path(__file__).parent / WORKER).read_bytes()
