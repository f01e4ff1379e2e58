"""The OpenAPI document: FastAPI's, with what depends on the bundles that are served."""

import json
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

import face_generation
from face_generation.generator.directions import MAX_STRENGTH
from face_generation.serve.documents import MINUTE, Document
from face_generation.serve.problems import ProblemDetails, documented
from face_generation.serve.schemas import Face

TITLE = "Faces"
DESCRIPTION = """Faces of people who do not exist, drawn by the models of this service.

The same request always gives the same face: here, on [the page](../../) and in `python -m face_generation.inference`.

Errors are [problem details](https://www.rfc-editor.org/rfc/rfc9457) with a sentence that says what to do, and a `type`
that `/api/v1/problems` describes. If a certain place is wrong, `errors` has a pointer to it. Each answer has an
`X-Request-ID`, which is also in the service's log. If you send one, it is kept. Every GET has a HEAD.
"""
TAGS = {
    "faces": "Pictures of seeds, and of the ways between them",
    "photos": "Reconstructions of photos, by bundles with an encoder",
    "latents": "The numbers behind a face, in and out",
    "bundles": "The models that draw faces",
    "problems": "What can go wrong",
    "operation": "For those who run the service",
}
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
OF_A_SEED = ("face", "random_face", "latents", "latents_as_npy")  # these take a face's options from the query

router = APIRouter(include_in_schema=False)


@router.get("/api/v1/openapi.json")
async def document(request: Request) -> Response:
    app: FastAPI = request.app
    if app.state.openapi is None:
        app.state.openapi = Document(json.dumps(_document(app)).encode(), "application/json")
    answer: Response = app.state.openapi.answer(request, f"public, max-age={MINUTE}")
    return answer


def operation_id(route: APIRoute) -> str:
    return route.name


def _document(app: FastAPI) -> dict[str, Any]:
    service = app.state.service
    catalogue, settings = service.catalogue, service.settings
    content = get_openapi(
        title=TITLE,
        version=face_generation.__version__,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        servers=[{"url": settings.prefix or "/"}],
    )
    schemas = content["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):  # our errors are problems
        schemas.pop(unused, None)
    details = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= details.pop("$defs") | {"ProblemDetails": details}

    schemas["BundleName"] = {"type": "string", "enum": list(catalogue)}
    edits = {name for served in catalogue.values() for name in served.generator.directions}
    attributes = {name for served in catalogue.values() for name in served.generator.attributes.offered}
    # These schemas have names, so that generated clients have one type for each.
    if attributes:
        schemas["AttributeName"] = {"type": "string", "enum": sorted(attributes)}
    strength = {"type": "number", "minimum": -MAX_STRENGTH, "maximum": MAX_STRENGTH}
    strengths = {name: strength for name in sorted(edits)}
    schemas["Strengths"] = {"type": "object", "properties": strengths, "additionalProperties": False}
    for path, operations in content["paths"].items():
        for operation in operations.values():
            if "422" in operation["responses"]:
                operation["responses"] |= {"422": documented(422)[422]}
            if path.startswith("/api/") and settings.guarded:
                operation["security"] = [{name: []} for name in KEYS]
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "bundle":
                    parameter["schema"] = {"$ref": "#/components/schemas/BundleName"}
                if parameter["name"] == "seed":
                    parameter["example"] = 42
            if operation["operationId"] in OF_A_SEED:
                operation["parameters"] += _face_parameters(sorted(edits), sorted(attributes))
    if settings.guarded:
        content["components"]["securitySchemes"] = KEYS
    return content


def _face_parameters(edits: list[str], attributes: list[str]) -> list[dict[str, Any]]:
    face = Face.model_json_schema()["properties"]
    options = {
        "truncation": face["truncation"]["anyOf"][0],
        "toward": face["toward"]["anyOf"][0],
        "amount": face["amount"],
        "version": {"type": "string"},
    }
    described = {
        "truncation": face["truncation"]["description"],
        "toward": face["toward"]["description"],
        "amount": face["amount"]["description"],
        "version": "Version of the bundle. If it has changed, the answer is 404 instead of another face",
    }
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": described[name]}
        for name, schema in options.items()
    ]
    for name in ("with", "without") if attributes else ():
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": False,
                "style": "form",
                "explode": False,
                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/AttributeName"}, "minItems": 1},
                "description": f"{face[name]['description']}: `{name}=smiling,male`. The bundle lists what it offers",
            }
        )
    parameters.append(
        {
            "name": "edits",
            "in": "query",
            "required": False,
            "style": "form",
            "explode": True,
            "schema": {"$ref": "#/components/schemas/Strengths"},
            "example": {name: 1.5 for name in edits if name == "smiling"},
            "description": "Strengths by name of a direction, each as an option: `&smiling=1.5&eyeglasses=-1`. "
            "The bundle lists its directions",
        }
    )
    return parameters
