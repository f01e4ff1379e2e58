"""ONNX Runtime Web, which draws in the visitor's browser: one version of it, the same on every site."""

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
# What a site needs of the package, with the SHA-256 of each: WebAssembly with SIMD, in one thread or several.
NEEDED = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
REMEDY = (
    f"where there is a network run `npm install onnxruntime-web@{VERSION}`, bring node_modules/onnxruntime-web here, "
    "and say runtime=FOLDER"
)


def bring_runtime(folder: Path | None = None) -> dict[str, bytes]:
    """The runtime's files and its licence, by name.

    They come from the npm registry, once: what was downloaded is kept in the user's cache.

    Args:
        folder: the unpacked npm package instead, for those without a network.

    Raises:
        UserError: the package does not come, or has other files than the version that this is made for.
    """
    content = _from_folder(folder) if folder else _from_registry()
    for name, expected in NEEDED.items():
        if hashlib.sha256(content[name]).hexdigest() != expected:
            raise UserError(f"{folder or ARCHIVE.name} has another {name} than onnxruntime-web {VERSION}; {REMEDY}")
    # The npm package has no licence file; the Python package of the same project has.
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
            assert file, "the archive's checksum was right"
            content[name] = file.read()
    return content


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "face-generation"
