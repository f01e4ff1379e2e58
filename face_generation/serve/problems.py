"""Errors as problem details (RFC 9457): application/problem+json with a sentence that says what to do."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from face_generation.errors import UserError
from face_generation.generator.alignment import WrongEyes
from face_generation.generator.photos import NoFace
from face_generation.serve.validation import Finding, finding, findings, sentence
from face_generation.serve.workers import Refusal

MEDIA_TYPE = "application/problem+json"
PATH = "/api/v1/problems"
STANDARD = {  # details for errors of FastAPI that say little
    422: "the body cannot be read as JSON; send it again",
    404: "there is nothing at this address; api/v1/docs lists what there is",
    405: "this address does not take that method; the header Allow says which it takes",
}
ID = "3d6edc650d2a121b"  # id of a request in examples


class Kind(NamedTuple):
    """A kind of problem, by which programs distinguish problems."""

    status: int
    meaning: str
    example: str  # an example of its `detail`


KINDS = {
    "no-key": Kind(401, "The API is for those with a key", "this service wants its API key; send it as X-API-Key"),
    "not-found": Kind(
        404, "There is no such bundle, model or address", "there is no bundle 'va'; there are vae, dcgan"
    ),
    "wrong-method": Kind(405, "The address takes other methods", STANDARD[405]),
    "no-encoder": Kind(409, "The bundle cannot look at photos", "the bundle dcgan has no encoder; use vae"),
    "too-large": Kind(413, "The body has too many bytes", "the body has more than 10,000,000 bytes; send less"),
    "wrong-type": Kind(415, "The body is of another type than wanted", "send application/json, not text/plain"),
    "invalid": Kind(
        422,
        "The request is wrong; `errors` names the places, if certain places are wrong",
        "truncation should be less than or equal to 10, not 11",
    ),
    "no-face": Kind(
        422, "No face was found in the photo", "no face was found in the photo; choose another, or send align=false"
    ),
    "too-many": Kind(
        429,
        "This client has asked for too much; ask again after Retry-After",
        "a client may ask for 10 faces a second; ask again in 3 s",
    ),
    "internal": Kind(500, "Something went wrong that should not", "this should not happen; the log says more about it"),
    "busy": Kind(
        503,
        "All clients together ask for too much; ask again after Retry-After",
        "128 faces wait to be drawn, and 1 more do not fit; ask again a little later",
    ),
    "stopping": Kind(503, "The service is about to stop; another one may answer", "the service is stopping; ask again"),
    "timeout": Kind(504, "It took too long", "this took longer than 30 s; ask for less, or again later"),
}
BY_STATUS = {kind.status: name for name, kind in reversed(KINDS.items())}  # the first of each


class Problem(HTTPException):
    """An error that becomes the answer of a request, wherever it is raised in it."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        kind: str | None = None,
        errors: Sequence[Finding] = (),
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.kind = kind
        self.errors = errors


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str = Field(description=f"The kind of problem, as the address of its description below {PATH}")
    title: str = Field(description="The status in words")
    status: int
    detail: str = Field(description="What is wrong and what to do")
    instance: str = Field(description="The id of the request, which is also in the log")
    errors: list[Finding] | None = Field(None, description="The places that are wrong, if there are any")


class KindAbout(BaseModel):
    """A kind of problem."""

    type: str = Field(description="The address of this description")
    status: int
    meaning: str
    example: str = Field(description="A `detail`")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI `responses` of an endpoint that may answer with these problems."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        title = HTTPStatus(status).phrase
        name = BY_STATUS[status]
        example = {
            "type": f"{PATH}/{name}",
            "title": title,
            "status": status,
            "detail": KINDS[name].example,
            "instance": ID,
        }
        schema = {"$ref": "#/components/schemas/ProblemDetails"}
        answers[status] = {"description": title, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
        if status in (429, 503):
            answers[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}
    return answers


def about(name: str, prefix: str) -> KindAbout:
    """Describes a kind of problem, for a service that is shown under a prefix."""
    return KindAbout(type=f"{prefix}{PATH}/{name}", **KINDS[name]._asdict())


def answer(
    scope: Scope,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    kind: str | None = None,
    errors: Sequence[Finding] = (),
) -> Response:
    """The response for a problem in the request of a scope. Without `kind`, it is the usual kind of the status."""
    name = kind or BY_STATUS.get(status)
    problem = ProblemDetails(
        type=f"{scope['root_path']}{PATH}/{name}" if name else "about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=scope["state"]["request_id"],
        errors=list(errors) or None,
    )
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, status, headers, MEDIA_TYPE)


def of(scope: Scope, error: Exception) -> Response | None:
    """The response to an error that is raised on purpose; `None` for all other errors."""
    if isinstance(error, Problem):
        found = error.errors
        return answer(scope, error.status_code, error.detail, error.headers, kind=error.kind, errors=found)
    if isinstance(error, Refusal):
        kind = "stopping" if error.stopping else "busy"
        return answer(scope, 503, str(error), {"Retry-After": str(error.retry_after)}, kind=kind)
    if isinstance(error, NoFace):
        return answer(scope, 422, str(error), kind="no-face")
    if isinstance(error, WrongEyes):
        return answer(scope, 422, str(error), errors=[finding(str(error), "query", "eyes")])
    if isinstance(error, UserError):
        return answer(scope, 422, str(error))
    return None


def install(app: FastAPI) -> None:
    """Turns errors that are raised on purpose into problems."""

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error, Problem):
            return await ours(request, error)
        status, headers = error.status_code, dict(error.headers or {})
        if status == 405:  # HEAD comes in as GET; files' routes name no methods
            allowed = headers.get("Allow", "GET").split(", ")
            headers["Allow"] = ", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed)
        status = 422 if status == 400 else status  # FastAPI uses 400 for JSON that is nested too deep, for example
        return answer(request.scope, status, STANDARD.get(status, str(error.detail)), headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        kind = request.headers.get("content-type", "a body without a type")
        if "json" not in kind and any(found["loc"] == ("body",) for found in error.errors()):
            return answer(request.scope, 415, f"send application/json, not {kind}")
        return answer(request.scope, 422, sentence(error.errors()), errors=findings(error.errors()))

    async def ours(request: Request, error: Exception) -> Response:
        response = of(request.scope, error)
        assert response is not None
        return response

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(UserError, ours)
    app.add_exception_handler(Refusal, ours)
