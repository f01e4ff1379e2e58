"""Endpoints for operators: health, readiness and metrics."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from face_generation.serve.problems import documented
from face_generation.serve.schemas import Health

router = APIRouter(tags=["operation"])


@router.get("/health", summary="Is it alive?")
async def health() -> Health:
    """The process is alive."""
    return Health(status="alive")


@router.get("/ready", summary="Is it ready?", responses=documented(503))
async def ready(request: Request) -> Health:
    """All bundles have drawn a face, and a request for another one would be accepted: the service is not stopping, and
    its queue has room."""
    workers = request.app.state.service.workers
    if not workers.free_places:
        raise workers.refusal(1)
    return Health(status="ready")


@router.get(
    "/metrics",
    summary="How is it doing?",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(request.app.state.service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
