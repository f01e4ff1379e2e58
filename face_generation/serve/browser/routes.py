"""Lets the service send its visitors a page that draws in the browser, and the files that it draws with."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response

from face_generation.serve.browser.files import drawing_files, page
from face_generation.serve.catalogue import Catalogue
from face_generation.serve.documents import FOR_EVER, FRESH, Document
from face_generation.serve.pages import document, start_page
from face_generation.serve.settings import Settings


def install(app: FastAPI, catalogue: Catalogue, settings: Settings) -> None:
    """Adds the files to an app, which sends them from memory, and replaces its page by one that draws in the browser.

    Raises:
        UserError: The runtime cannot be downloaded, or has another version.
    """
    router = APIRouter(include_in_schema=False)
    runtime = Path(settings.runtime).expanduser() if settings.runtime else None
    for path, body in drawing_files(catalogue, settings.limits, runtime).items():
        router.add_api_route(f"/{path}", _giving(document(path, body)))
    app.include_router(router)
    app.state.page = start_page(page())


def _giving(file: Document) -> Callable[[Request], Awaitable[Response]]:
    _ = file.compressed  # this takes a second for the runtime, so it is done now, and no request waits for it

    async def give(request: Request) -> Response:
        as_listed = request.url.query == file.tag[:12]  # loader.js asks in this way for files that the catalogue lists
        return file.answer(request, FOR_EVER if as_listed else FRESH)

    return give
