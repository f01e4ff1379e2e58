"""Builds the app: routes, middleware and workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from face_generation.generator.parallel import cores
from face_generation.serve import api, memory, openapi, operation, pages, problems, sharing
from face_generation.serve.api import Service
from face_generation.serve.browser import routes as browser
from face_generation.serve.catalogue import Catalogue
from face_generation.serve.middleware.guards import Admission, ApiKey, BodyLimits
from face_generation.serve.middleware.keys import Keys
from face_generation.serve.middleware.prefix import Prefix
from face_generation.serve.middleware.rates import Rates
from face_generation.serve.middleware.requests import Requests
from face_generation.serve.prometheus import Metrics
from face_generation.serve.settings import Settings
from face_generation.serve.workers import Workers

NUMBER_BYTES = 32  # bytes for one number of a latent in JSON, with room to spare
ELSE_BYTES = 100_000  # bytes for everything else in a JSON body
PHOTOS_THAT_WAIT = 16
# What pages of other hosts may send, and which headers of answers they may read.
METHODS = ("GET", "HEAD", "POST")
HEADERS = ("Authorization", "If-None-Match", "X-API-Key", "X-Request-ID")
EXPOSED = (
    "Content-Location",
    "ETag",
    "Retry-After",
    "X-Aligned",
    "X-Difference",
    "X-Face-Found",
    "X-Request-ID",
    "X-Seed",
)


def create_app(settings: Settings) -> FastAPI:
    """Builds an app that is ready to draw with the bundles in the settings. Each app has its own threads and metrics.

    Raises:
        UserError: A bundle cannot be served.
    """
    memory.give_back()
    catalogue = Catalogue.load(settings.bundles, settings.prefix)
    limits = settings.limits
    workers = Workers(settings.workers or cores(), limits.queue)
    photos = Workers(max(1, workers.threads // 2), PHOTOS_THAT_WAIT, "photos wait to be read")
    rates = Rates(limits.rate)
    metrics = Metrics(workers, photos)
    keys = Keys(settings.api_key.get_secret_value() if settings.api_key else None, settings.api_keys)
    service = Service(settings, catalogue, workers, photos, limits.room, rates, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    longest = max(served.generator.bundle.latent_dim for served in catalogue.values())
    json_bytes = ELSE_BYTES + limits.faces * longest * NUMBER_BYTES
    in_browser = settings.draw == "browser"
    middleware = [
        Middleware(Prefix, settings.prefix),
        Middleware(Requests, metrics, limits.timeout, in_browser=in_browser),
        Middleware(Admission, workers, photos, rates),
        Middleware(BodyLimits, json_bytes, limits.upload_bytes),
    ]
    if keys:
        middleware.insert(2, Middleware(ApiKey, keys))
    if settings.cors:  # outermost, so that pages of other hosts can read problems as well
        middleware.insert(1, Middleware(CORSMiddleware, settings.cors, METHODS, HEADERS, expose_headers=EXPOSED))
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=middleware,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.service = service
    app.state.openapi = None  # made on first use
    app.state.page = pages.start_page(pages.WEB["index.html"].body.decode())
    if in_browser:
        browser.install(app, catalogue, settings)
    problems.install(app)
    for part in (operation, pages, sharing, openapi, api):  # the API is last, because a bundle can have any other name
        app.include_router(part.router)
    return app
