"""The app: what is served, and what is around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from face_generation.generator.parallel import cores
from face_generation.service import api, openapi, operation, pages, problems, sharing
from face_generation.service.api import Service
from face_generation.service.catalogue import Catalogue
from face_generation.service.guards import Admission, ApiKey, BodyLimits
from face_generation.service.metrics import Metrics
from face_generation.service.prefix import Prefix
from face_generation.service.requests import Requests
from face_generation.service.settings import Settings
from face_generation.service.workers import Workers

NUMBER_BYTES = 32  # of a latent's number in JSON, with room to spare
ELSE_BYTES = 100_000  # of all else in a JSON body


def create_app(settings: Settings) -> FastAPI:
    """An app that serves the settings' bundles, ready to draw. Each has threads, limits and figures of its own.

    Raises:
        UserError: A bundle cannot be served.
    """
    catalogue = Catalogue.load(settings.bundles, settings.prefix)
    limits = settings.limits
    workers = Workers(settings.workers or cores(), limits.queue)
    metrics = Metrics(workers)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(workers.close)

    longest = max(entry.generator.bundle.latent_dim for entry in catalogue.values())
    json_bytes = ELSE_BYTES + limits.faces * longest * NUMBER_BYTES
    middleware = [
        Middleware(Prefix, settings.prefix),
        Middleware(Requests, metrics, limits.timeout),
        Middleware(Admission, workers),
        Middleware(BodyLimits, json_bytes, limits.upload_bytes),
    ]
    if settings.api_key is not None:
        middleware.insert(2, Middleware(ApiKey, settings.api_key.get_secret_value()))
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=middleware,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.service = Service(settings, catalogue, workers, metrics)
    problems.install(app)
    for part in (operation, pages, sharing, openapi, api):  # the API last, for a bundle's name can be any other word
        app.include_router(part.router)
    return app
