"""Errors as RFC 9457 has them: application/problem+json with a sentence that says what to do."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from face_generation.errors import UserError
from face_generation.service.sentences import sentence
from face_generation.service.workers import Refusal

MEDIA_TYPE = "application/problem+json"
STANDARD = {  # where FastAPI says little
    422: "the body cannot be read as JSON; send it anew",
    404: "there is nothing at this address; api/v1/docs lists what there is",
    405: "this address does not take that method; the header Allow says which it takes",
}
EXAMPLES = {
    401: "this service wants its API key; send it as Authorization: Bearer …, or as X-API-Key",
    404: "there is no bundle 'va'; there are vae, dcgan",
    409: "the bundle dcgan has no encoder; use vae",
    413: "the body has more than 10,000,000 bytes; send less",
    415: "send application/json, not text/plain",
    422: "truncation should be less than or equal to 10, not 11",
    503: "128 faces wait to be drawn, and 1 more do not fit; ask again a little later",
    504: "this took longer than 30 s; ask for less, or again later",
}
ID = "3d6edc650d2a121b"  # of a request, in examples


class Problem(HTTPException):
    """An answer other than the one asked for: raised anywhere in a request, it becomes its answer."""


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str = Field("about:blank", description="What kind of problem, where the status does not say it all")
    title: str = Field(description="The status in words")
    status: int
    detail: str = Field(description="What is wrong and what to do")
    instance: str = Field(description="The id of the request, which the log has too")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint that may answer with these problems."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        title = HTTPStatus(status).phrase
        example = {"type": "about:blank", "title": title, "status": status, "detail": EXAMPLES[status], "instance": ID}
        schema = {"$ref": "#/components/schemas/ProblemDetails"}
        answers[status] = {"description": title, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
        if status == 503:
            answers[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}
    return answers


def answer(request_id: str, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The response for a problem."""
    problem = ProblemDetails(
        type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail, instance=request_id
    )
    return Response(problem.model_dump_json(), status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def refused(request_id: str, error: Refusal) -> Response:
    """The response to work that there is no room for."""
    return answer(request_id, 503, str(error), {"Retry-After": str(error.retry_after)})


def install(app: FastAPI) -> None:
    """Makes problems of all that is raised in a request on purpose."""

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status, detail, headers = error.status_code, str(error.detail), dict(error.headers or {})
        if status == 405:  # HEAD comes in as GET; files' routes name no methods
            allowed = headers.get("Allow", "GET").split(", ")
            headers["Allow"] = ", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed)
        if not isinstance(error, Problem):
            status = 422 if status == 400 else status  # FastAPI's word for JSON that is too deep, and the like
            detail = STANDARD.get(status, detail)
        return answer(request.state.request_id, status, detail, headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        kind = request.headers.get("content-type", "a body without a type")
        if "json" not in kind and any(found["loc"] == ("body",) for found in error.errors()):
            return answer(request.state.request_id, 415, f"send application/json, not {kind}")
        return answer(request.state.request_id, 422, sentence(error.errors()))

    async def mistake(request: Request, error: Exception) -> Response:
        return answer(request.state.request_id, 422, str(error))

    async def refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return refused(request.state.request_id, error)

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(UserError, mistake)
    app.add_exception_handler(Refusal, refusal)
