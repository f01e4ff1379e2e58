"""Pages for people: the one at /, and the documentation of the API. They load nothing from other hosts.

The page's files have addresses that change with their content, so that browsers may keep them for ever.
"""

import hashlib
import mimetypes
import re
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from face_generation.serve.documents import FOR_EVER, FRESH, Document

HERE = Path(__file__).parent
# Swagger UI's files, which come with a package, so that browsers need not ask another host.
SWAGGER_UI = Path(str(files("fastapi_offline"))) / "static"
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".webmanifest": "application/manifest+json",
    ".ico": "image/x-icon",
}

IMPORTED = re.compile(rb'\bfrom "\./([\w-]+\.js)"')

router = APIRouter(include_in_schema=False)


def document(name: str, body: bytes) -> Document:
    """What a file with this name and content is to browsers."""
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Document(body, kind)


def read(path: Path) -> Document:
    """Reads a file as a document."""
    return document(path.name, path.read_bytes())


def read_folder(folder: Path) -> dict[str, Document]:
    """Reads the files in a folder and its subfolders, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): read(path) for path in paths}


def fingerprint(documents: dict[str, Document]) -> str:
    """A hash that changes whenever a file changes."""
    return hashlib.sha256(repr([(name, file.tag) for name, file in documents.items()]).encode()).hexdigest()[:12]


def modules(documents: dict[str, Document], entry: str) -> list[str]:
    """A module and all that it imports, directly or not."""
    known = [entry]
    for name in known:
        known += sorted({each.decode() for each in IMPORTED.findall(documents[name].body)}.difference(known))
    return known


def with_preloads(documents: dict[str, Document]) -> Document:
    """The page, which names all modules, so that browsers need not wait for one to learn which it imports."""
    links = "".join(f'<link rel="modulepreload" href="static/{name}">\n' for name in modules(documents, "main.js"))
    return document("index.html", documents["index.html"].body.replace(b"</head>", f"{links}</head>".encode()))


def start_page(text: str) -> Document:
    """The page at /. It loads its files from addresses that change with their content."""
    return Document(text.replace('"static/', f'"static/{VERSION}/').encode(), "text/html")


WEB = read_folder(HERE / "web")
WEB["index.html"] = with_preloads(WEB)
VERSION = fingerprint(WEB)
SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
DOCS = read_folder(HERE / "docs") | {name: read(SWAGGER_UI / name) for name in SWAGGER_FILES}
DOCS_VERSION = fingerprint(DOCS)
DOCS_PAGE = Document(DOCS["index.html"].body.replace(b'"docs/', f'"docs/{DOCS_VERSION}/'.encode()), "text/html")


def found(documents: dict[str, Document], name: str) -> Document:
    if name not in documents:
        raise HTTPException(404)
    return documents[name]


def versioned(request: Request, documents: dict[str, Document], version: str, path: str) -> Response:
    """Answers for a path of documents. If it begins with their version, the answer may be kept for ever."""
    given, _, name = path.partition("/")
    if given == version:
        return found(documents, name).answer(request, FOR_EVER)
    # This serves plain names, and pages of another version that come from before a deployment or from another replica.
    return found(documents, name if name in documents else path).answer(request, FRESH)


@router.get("/")
async def page(request: Request) -> Response:
    raw: bytes = request.scope.get("raw_path", b"/")
    if not raw.endswith(b"/"):  # the page's addresses are relative to the prefix
        return RedirectResponse(f"{request.scope['root_path']}/", 308)
    shown: Document = request.app.state.page
    return shown.answer(request, FRESH)


@router.get("/favicon.ico")
@router.get("/manifest.webmanifest")
@router.get("/robots.txt")
async def well_known(request: Request) -> Response:
    """Files that browsers and others look for at the root."""
    return found(WEB, request.url.path.rpartition("/")[2]).answer(request, FRESH)


@router.get("/api/v1/docs")
async def docs(request: Request) -> Response:
    return DOCS_PAGE.answer(request, FRESH)


@router.get("/api/v1/docs/{path:path}")
async def docs_file(request: Request, path: str) -> Response:
    return versioned(request, DOCS, DOCS_VERSION, path)


@router.get("/static/{path:path}")
async def static(request: Request, path: str) -> Response:
    return versioned(request, WEB, VERSION, path)
