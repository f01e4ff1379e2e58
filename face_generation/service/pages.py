"""Pages for people: the one at /, and the documentation of the API. Nothing in them is on another host."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

HERE = Path(__file__).parent
WEB, DOCS = HERE / "web", HERE / "docs"
# Swagger UI's own files, which this package brings along so that browsers need not ask another host.
SWAGGER_UI = Path(str(files("fastapi_offline"))) / "static"
DOCS_FILES = {"swagger-ui.css": SWAGGER_UI, "swagger-ui-bundle.js": SWAGGER_UI, "start.js": DOCS}
STATIC = StaticFiles(directory=WEB)
FRESH = {"cache-control": "no-cache"}  # may be kept, and is asked for again: answered with 304 where unchanged

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    raw: bytes = request.scope.get("raw_path", b"/")
    if not raw.endswith(b"/"):  # the prefix: the page's addresses are relative to it
        return RedirectResponse(f"{request.scope['root_path']}/", 308)
    return FileResponse(WEB / "index.html", headers=FRESH)


@router.get("/api/v1/docs")
async def docs() -> Response:
    return FileResponse(DOCS / "index.html", headers=FRESH)


@router.get("/api/v1/docs/{name}")
async def docs_file(name: str) -> Response:
    if name not in DOCS_FILES:
        raise HTTPException(404)
    return FileResponse(DOCS_FILES[name] / name, headers=FRESH)


@router.get("/static/{path:path}")
async def static(request: Request, path: str) -> Response:
    response = await STATIC.get_response(path, request.scope)
    response.headers.update(FRESH)
    return response
