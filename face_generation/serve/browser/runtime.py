"""Fetches ONNX Runtime Web, which draws in the visitor's browser. Every site has the same version."""

import hashlib
import os
import tarfile
from importlib.resources import files
from pathlib import Path

from face_generation.errors import UserError
from face_generation.serve.browser.download import Archive, download

VERSION = "1.30.0"
ARCHIVE = Archive(
    url=f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz",
    size=33_106_585,
    integrity="sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
)
# The files of the package that a site needs, with their SHA-256: WebAssembly with SIMD, in one thread or several.
NEEDED = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
REMEDY = (
    f"run `npm install onnxruntime-web@{VERSION}` where there is a network, copy node_modules/onnxruntime-web here, "
    "and say runtime=FOLDER"
)


def bring_runtime(folder: Path | None = None) -> dict[str, bytes]:
    """The runtime's files and its licence, by name.

    They are downloaded from the npm registry once, and then kept in the user's cache.

    Args:
        folder: Folder with the unpacked npm package, for people without a network. `None` downloads it.

    Raises:
        UserError: The package cannot be downloaded, or is not the version that this package needs.
    """
    content = _from_folder(folder) if folder else _from_registry()
    for name, expected in NEEDED.items():
        if hashlib.sha256(content[name]).hexdigest() != expected:
            raise UserError(f"{name} in {folder or ARCHIVE.name} is not that of onnxruntime-web {VERSION}; {REMEDY}")
    # The npm package has no licence file, but the Python package of the same project has one.
    licences = {name: (files("onnxruntime") / name).read_bytes() for name in ("LICENSE", "ThirdPartyNotices.txt")}
    return content | licences


def _from_folder(folder: Path) -> dict[str, bytes]:
    try:
        return {name: (folder / "dist" / name).read_bytes() for name in NEEDED}
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}; {REMEDY}") from error


def _from_registry() -> dict[str, bytes]:
    archive = download(ARCHIVE, _cache(), REMEDY)
    content = {}
    with tarfile.open(archive) as package:
        for name in NEEDED:
            file = package.extractfile(f"package/dist/{name}")
            assert file, "the checksum of the archive is right, so the file is in it"
            content[name] = file.read()
    return content


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "face-generation"
