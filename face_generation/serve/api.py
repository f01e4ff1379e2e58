"""The HTTP API: faces by seed, by latents, between two faces, and from photos."""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from face_generation.generator import pictures
from face_generation.generator.alignment import has_face
from face_generation.generator.decoding import SIDE, Room
from face_generation.generator.directions import MAX_STRENGTH
from face_generation.generator.generator import MAX_TRUNCATION, SEEDS
from face_generation.generator.photos import IN_WORDS, UPLOADS, read_photo
from face_generation.serve import cancellation, problems, rendering, request_bodies, responses
from face_generation.serve.catalogue import Catalogue, ServedBundle
from face_generation.serve.documents import MINUTE, YEAR, Document, is_current
from face_generation.serve.middleware.rates import Rates
from face_generation.serve.problems import KindAbout, Problem, documented
from face_generation.serve.prometheus import Metrics
from face_generation.serve.responses import MEDIA_TYPES, Drawing, Reconstructed
from face_generation.serve.schemas import (
    BundleAbout,
    BundlesAnswer,
    Edits,
    Face,
    FacesAnswer,
    FacesRequest,
    InterpolationRequest,
    LatentsAnswer,
    LimitsAbout,
    Picture,
    ReconstructionAnswer,
    Suffix,
)
from face_generation.serve.settings import Settings
from face_generation.serve.validation import finding, findings, sentence
from face_generation.serve.workers import Workers

UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "It has the entity tag of If-None-Match"}}
ALIGNED, FOUND, DIFFERENCE, SEED = "X-Aligned", "X-Face-Found", "X-Difference", "X-Seed"
BINARY = {"schema": {"type": "string", "format": "binary"}}
NAMES = ("with", "without")  # query options that are lists of attributes
FACE_OPTIONS = ("truncation", *NAMES, "toward", "amount", "version")  # all other query options are edits
EDITS: TypeAdapter[dict[str, float]] = TypeAdapter(Edits)

router = APIRouter(prefix="/api/v1")


@dataclass(frozen=True)
class Service:
    """What answers requests."""

    settings: Settings
    catalogue: Catalogue
    workers: Workers  # draw faces
    photos: Workers  # read photos, so that those who draw are not kept busy
    room: Room  # the memory that photos may take
    rates: Rates
    metrics: Metrics

    def served(self, name: str) -> ServedBundle:
        """The served bundle of this name. Raises a `Problem` if there is none."""
        if name not in self.catalogue:
            raise Problem(404, f"there is no bundle {name!r}; there are {', '.join(self.catalogue)}")
        return self.catalogue[name]

    @cached_property
    def overview(self) -> Document:
        """The list of bundles, and the limits of requests."""
        return Document(overview(self.settings, self.catalogue).model_dump_json().encode(), MEDIA_TYPES["json"])

    @property
    def shared(self) -> str:
        """The Cache-Control word that says who may keep answers. With API keys, shared caches may not."""
        return "private" if self.settings.guarded else "public"

    @property
    def a_while(self) -> str:
        """The Cache-Control of answers that a deployment may change."""
        return f"{self.shared}, max-age={MINUTE}"

    @property
    def idle(self) -> bool:
        return self.workers.idle and self.photos.idle

    def stop(self) -> None:
        """Refuses further work. Work that was accepted is finished."""
        self.photos.stop()
        self.workers.stop()

    def close(self) -> None:
        """Ends the threads (see `Workers.close`)."""
        self.photos.close()
        self.workers.close()


BundleName = Annotated[str, Path(description="The name of a bundle")]
SeedPath = Annotated[int, Path(ge=0, lt=SEEDS, description="Always the same face", examples=[42])]


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def content(*suffixes: str) -> dict[str, Any]:
    """The OpenAPI content of an answer with these suffixes. FastAPI adds the schema of JSON."""
    return {MEDIA_TYPES[suffix]: {} if suffix == "json" else BINARY for suffix in suffixes}


@router.get(
    "/bundles",
    summary="List the bundles",
    tags=["bundles"],
    response_model=BundlesAnswer,
    responses={**UNCHANGED, **documented(401)},
)
async def bundles(request: Request) -> Response:
    """Lists the bundles that can draw faces, with their figures, and the limits of requests."""
    service = service_of(request)
    return service.overview.answer(request, service.a_while)


@router.get(
    "/problems",
    summary="List the kinds of problems",
    tags=["problems"],
    response_model=list[KindAbout],
    responses=UNCHANGED,
)
async def kinds_of_problems(request: Request) -> Response:
    """Lists what can go wrong: the `type` of each problem, with its meaning."""
    kinds = [problems.about(name, request.scope["root_path"]).model_dump() for name in problems.KINDS]
    return open_document(request, kinds)


@router.get(
    "/problems/{kind}",
    summary="Describe a kind of problem",
    tags=["problems"],
    response_model=KindAbout,
    responses={**UNCHANGED, **documented(404)},
)
async def kind_of_problem(
    request: Request,
    kind: Annotated[
        str, Path(description="The end of a problem's `type`", json_schema_extra={"enum": list(problems.KINDS)})
    ],
) -> Response:
    """Says what the `type` of a problem means."""
    if kind not in problems.KINDS:
        raise Problem(404, f"there is no kind of problem {kind!r}; there are {', '.join(problems.KINDS)}")
    return open_document(request, problems.about(kind, request.scope["root_path"]).model_dump())


def open_document(request: Request, content: Any) -> Response:
    """Answers with JSON that is the same for everybody, with or without a key."""
    return Document(json.dumps(content).encode(), MEDIA_TYPES["json"]).answer(request, f"public, max-age={MINUTE}")


def overview(settings: Settings, catalogue: Catalogue) -> BundlesAnswer:
    """Makes the list of bundles and limits."""
    limits = settings.limits
    return BundlesAnswer(
        bundles=[served.about for served in catalogue.values()],
        limits=LimitsAbout(
            faces=limits.faces,
            frames=limits.frames,
            upload_bytes=limits.upload_bytes,
            upload_side=SIDE,
            upload_pixels={format: limits.room.pixels_of(format) for format in UPLOADS},
            max_strength=MAX_STRENGTH,
            max_truncation=MAX_TRUNCATION,
        ),
    )


@router.get(
    "/{bundle}",
    summary="Describe a bundle",
    tags=["bundles"],
    response_model=BundleAbout,
    responses={**UNCHANGED, **documented(401, 404)},
)
async def about(request: Request, bundle: BundleName) -> Response:
    """Describes one bundle."""
    service = service_of(request)
    document = Document(service.served(bundle).about.model_dump_json().encode(), MEDIA_TYPES["json"])
    return document.answer(request, service.a_while)


@router.get(
    "/{bundle}/card",
    summary="Show a bundle's card",
    tags=["bundles"],
    response_class=Response,
    responses={
        200: {"content": {"text/markdown": {"schema": {"type": "string"}}}},
        **UNCHANGED,
        **documented(401, 404),
    },
)
async def card(request: Request, bundle: BundleName) -> Response:
    """Gives a bundle's card: its training data, its licence, its intended use and its figures."""
    service = service_of(request)
    text = service.served(bundle).card
    if text is None:
        raise Problem(404, f"the bundle {bundle} has no card")
    return Document(text.encode(), "text/markdown").answer(request, service.a_while)


@router.get(
    "/{bundle}/faces/random.{suffix}",
    summary="Draw any face",
    tags=["faces"],
    response_class=Response,
    responses={
        200: {
            "description": "The picture",
            "content": content("png", "webp", "jpg"),
            "headers": {
                SEED: {"schema": {"type": "integer"}, "description": "The seed of the face"},
                "Content-Location": {"schema": {"type": "string"}, "description": "The permanent address of the face"},
            },
        },
        **documented(401, 404, 422, 429, 503, 504),
    },
)
async def random_face(request: Request, bundle: BundleName, suffix: Suffix) -> Response:
    """Draws the face of a random seed, another one each time. It takes the same options as the face of a seed."""
    service = service_of(request)
    served = service.served(bundle)
    wanted = asked_by_query(request, served, secrets.randbelow(SEEDS))
    picture = await one_face(request, served, wanted, suffix)
    query = request.url.query
    where = f"{wanted.seed}.{suffix}" + (f"?{query}" if query else "")
    headers = {SEED: str(wanted.seed), "content-location": where}
    return Response(picture, headers=headers, media_type=MEDIA_TYPES[suffix])


@router.get(
    "/{bundle}/faces/{seed}.{suffix}",
    summary="Draw the face of a seed",
    tags=["faces"],
    response_class=Response,
    responses={
        200: {"description": "The picture", "content": content("png", "webp", "jpg")},
        **UNCHANGED,
        **documented(401, 404, 422, 429, 503, 504),
    },
)
async def face(request: Request, bundle: BundleName, seed: SeedPath, suffix: Suffix) -> Response:
    """Draws the face of a seed as a picture that browsers and CDNs may keep."""
    service = service_of(request)
    served = service.served(bundle)
    wanted = asked_by_query(request, served, seed)
    headers = caching(service, served, wanted, suffix)
    if is_current(request, headers["etag"]):
        return Response(status_code=304, headers=headers)
    picture = await one_face(request, served, wanted, suffix)
    return Response(picture, headers=headers, media_type=MEDIA_TYPES[suffix])


@router.get(
    "/{bundle}/latents/{seed}.json",
    summary="Give the latents of a seed",
    tags=["latents"],
    response_class=Response,
    responses={
        200: {"description": "The numbers", "model": LatentsAnswer, "content": content("json")},
        **UNCHANGED,
        **documented(401, 404, 422, 429, 503, 504),
    },
)
async def latents(request: Request, bundle: BundleName, seed: SeedPath) -> Response:
    """Gives the numbers from which the decoder draws the face of a seed. It takes the same options as the face."""

    def as_json(latent: NDArray[np.float32]) -> bytes:
        return LatentsAnswer(latents=latent.tolist()).model_dump_json().encode()

    return await answer_with_latents(request, bundle, seed, "json", as_json)


@router.get(
    "/{bundle}/latents/{seed}.npy",
    summary="Give the latents of a seed, as a file",
    tags=["latents"],
    response_class=Response,
    responses={
        200: {"description": "The file", "content": content("npy")},
        **UNCHANGED,
        **documented(401, 404, 422, 429, 503, 504),
    },
)
async def latents_as_npy(request: Request, bundle: BundleName, seed: SeedPath) -> Response:
    """Gives the latents of a seed as a NumPy file of shape (1, latent_dim)."""
    return await answer_with_latents(request, bundle, seed, "npy", lambda latent: responses.as_npy(latent[None]))


async def answer_with_latents(
    request: Request, bundle: str, seed: int, suffix: str, write: Callable[[NDArray[np.float32]], bytes]
) -> Response:
    """Answers with the latents of a seed, latent_dim numbers, as `write` turns them into a file."""
    service = service_of(request)
    served = service.served(bundle)
    wanted = asked_by_query(request, served, seed)
    headers = caching(service, served, wanted, suffix)
    if is_current(request, headers["etag"]):
        return Response(status_code=304, headers=headers)
    (latent,) = await cancellation.run(
        request, service.workers, [partial(rendering.latent, served.generator, wanted)], list
    )
    return Response(write(latent), headers=headers, media_type=MEDIA_TYPES[suffix])


DRAW_MANY = documented(401, 404, 413, 415, 422, 429, 503, 504)
ZIP = {200: {"description": "The pictures", "content": content("zip")}, **DRAW_MANY}
# An older way to choose the kind of answer, before the end of the address did. It still works.
AsJsonOrZip = Annotated[Literal["json", "zip"], Query(alias="as", include_in_schema=False)]


@router.post(
    "/{bundle}/faces",
    summary="Draw many faces",
    tags=["faces"],
    response_class=Response,
    responses={200: {"model": FacesAnswer, "content": content("json")}, **DRAW_MANY},
)
async def many_faces(request: Request, bundle: BundleName, order: FacesRequest) -> Response:
    """Draws many faces at once, of seeds, consecutive seeds or latents, each with its own edits."""
    return await draw_faces(request, bundle, order, order.as_)


@router.post(
    "/{bundle}/faces.zip",
    summary="Draw many faces, as files",
    tags=["faces"],
    response_class=Response,
    responses=ZIP,
)
async def many_faces_as_zip(request: Request, bundle: BundleName, order: FacesRequest) -> Response:
    """Draws many faces at once as an archive of pictures. They are named after their seeds if these differ."""
    return await draw_faces(request, bundle, order, "zip")


async def draw_faces(request: Request, bundle: str, order: FacesRequest, as_: Literal["json", "zip"]) -> Response:
    """Answers with the faces that a request describes."""
    service = service_of(request)
    served = service.served(bundle)
    total, most = sum(face.count for face in order.faces), service.settings.limits.faces
    if total > most:
        raise wrong(f"a request has {most} faces at most, not {total}; send several", "body", "faces")
    for i, several in enumerate(order.faces):
        with pointing_to("body", "faces", i):
            rendering.check(served.generator, several)
    wanted = [single for several in order.faces for single in several.singles()]
    latents = [partial(rendering.latent, served.generator, single) for single in wanted]
    return await answer_with_faces(request, served, wanted, latents, order.format, as_, "face")


NPY_BODY = {"requestBody": {"required": True, "content": dict.fromkeys(request_bodies.NPY, BINARY)}}


@router.post(
    "/{bundle}/decode",
    summary="Draw the faces of latents",
    tags=["latents"],
    response_class=Response,
    responses={200: {"model": FacesAnswer, "content": content("json")}, **DRAW_MANY},
    openapi_extra=NPY_BODY,
)
async def decode(request: Request, bundle: BundleName, format: Picture = "png", as_: AsJsonOrZip = "json") -> Response:
    """Draws the faces of latents in a NumPy file, float32 or float64 of shape (n, latent_dim)."""
    return await draw_latents(request, bundle, format, as_)


@router.post(
    "/{bundle}/decode.zip",
    summary="Draw the faces of latents, as files",
    tags=["latents"],
    response_class=Response,
    responses=ZIP,
    openapi_extra=NPY_BODY,
)
async def decode_as_zip(request: Request, bundle: BundleName, format: Picture = "png") -> Response:
    """Draws the faces of latents in a NumPy file, as an archive of numbered pictures."""
    return await draw_latents(request, bundle, format, "zip")


async def draw_latents(request: Request, bundle: str, format: Picture, as_: Literal["json", "zip"]) -> Response:
    """Answers with the faces of the latents in a request's body."""
    service = service_of(request)
    served = service.served(bundle)
    rows = await request_bodies.read_latents(request, served.generator.bundle.latent_dim, service.settings.limits.faces)
    latents = [partial(np.asarray, row) for row in rows]
    return await answer_with_faces(request, served, [None] * len(rows), latents, format, as_, "decoded")


@router.post(
    "/{bundle}/interpolations",
    summary="Go from one face to another",
    tags=["faces"],
    response_class=Response,
    responses={200: {"model": FacesAnswer, "content": content("json")}, **DRAW_MANY},
)
async def interpolation(request: Request, bundle: BundleName, order: InterpolationRequest) -> Response:
    """Draws the way from one face to another, as faces in steps of equal angles."""
    return await interpolate(request, bundle, order, order.as_)


@router.post(
    "/{bundle}/interpolations.{suffix}",
    summary="Go from one face to another, as a file",
    tags=["faces"],
    response_class=Response,
    responses={200: {"description": "The file", "content": content("webp", "gif", "zip")}, **DRAW_MANY},
)
async def interpolation_as_file(
    request: Request, bundle: BundleName, suffix: Literal["webp", "gif", "zip"], order: InterpolationRequest
) -> Response:
    """Draws the way from one face to another as an animation that loops, or as an archive of numbered pictures."""
    return await interpolate(request, bundle, order, suffix)


async def interpolate(
    request: Request, bundle: str, order: InterpolationRequest, as_: Literal["json", "zip", "webp", "gif"]
) -> Response:
    """Answers with the faces on the way from one face to another, or with an animation of them."""
    service = service_of(request)
    served = service.served(bundle)
    most = service.settings.limits.frames
    if order.frames > most:
        raise wrong(f"an interpolation has {most} frames at most, not {order.frames}", "body", "frames")
    for name, end in (("from", order.from_), ("to", order.to)):
        with pointing_to("body", name):
            rendering.check(served.generator, end)
    way = np.linspace(0, 1, order.frames)
    path = [partial(rendering.between, served.generator, order.from_, order.to, t) for t in way]
    if as_ == "json" or as_ == "zip":
        return await answer_with_faces(request, served, [None] * order.frames, path, order.format, as_, "interpolation")

    def animate(frames: list[NDArray[np.uint8]]) -> bytes:
        shown = [*frames, *frames[-2:0:-1]] if order.there_and_back else frames
        return pictures.animate(shown, as_, order.seconds / (order.frames - 1), rendering.recipe(served.generator))

    def frame(latent: Callable[[], NDArray[np.float32]]) -> NDArray[np.uint8]:
        return rendering.image(served.generator, latent())

    answer = await cancellation.run(request, service.workers, [partial(frame, latent) for latent in path], animate)
    service.metrics.images(bundle, "interpolation", order.frames)
    return Response(answer, media_type=MEDIA_TYPES[as_])


PHOTO_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            request_bodies.FORM: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "photo": {"type": "string", "format": "binary", "description": IN_WORDS},
                        "edits": {"type": "string", "description": "Strengths by name, as JSON", "example": "{}"},
                    },
                    "required": ["photo"],
                    "additionalProperties": False,
                }
            }
        },
    }
}
RECONSTRUCTED = documented(401, 404, 409, 413, 415, 422, 429, 503, 504)
TOLD = {
    ALIGNED: {"schema": {"enum": ["true", "false"]}, "description": "Like `aligned` in the JSON"},
    FOUND: {"schema": {"enum": ["true", "false"]}, "description": "Like `found` in the JSON"},
    DIFFERENCE: {"schema": {"type": "number"}, "description": "Like `difference` in the JSON"},
}
Align = Annotated[bool, Query(description="Find the face. If false, take the square in the middle of the photo")]
PlacedEyes = Annotated[
    str | None,
    Query(
        pattern=r"^\d{1,6}(\.\d{1,6})?(,\d{1,6}(\.\d{1,6})?){3}$",
        description="Where the eyes are, if they are known: x and y of the eye on the photo's left, then of the "
        "other, in pixels from the upper left corner of the photo as it is shown",
        examples=["310,402,455,398"],
    ),
]


@router.post(
    "/{bundle}/reconstructions",
    summary="Reconstruct a photo",
    tags=["photos"],
    response_class=Response,
    responses={
        200: {"model": ReconstructionAnswer, "content": content("json"), "headers": TOLD},
        **RECONSTRUCTED,
    },
    openapi_extra=PHOTO_BODY,
)
async def reconstruction(
    request: Request,
    bundle: BundleName,
    as_: Annotated[Literal["json"] | Picture, Query(alias="as", include_in_schema=False)] = "json",
    align: Align = True,
    eyes: PlacedEyes = None,
) -> Response:
    """Reconstructs the face in a photo, and gives its latents. The photo is kept in memory only, until the answer is
    sent.

    The largest face is turned, scaled and placed like those that the model was trained on. A face that is already in
    place is taken as it is. A photo without a face is refused.
    """
    return await reconstruct_photo(request, bundle, as_, align, eyes)


@router.post(
    "/{bundle}/reconstructions.{suffix}",
    summary="Reconstruct a photo, as a picture",
    tags=["photos"],
    response_class=Response,
    responses={
        200: {"description": "The picture", "content": content("png", "webp", "jpg"), "headers": TOLD},
        **RECONSTRUCTED,
    },
    openapi_extra=PHOTO_BODY,
)
async def reconstruction_as_picture(
    request: Request, bundle: BundleName, suffix: Picture, align: Align = True, eyes: PlacedEyes = None
) -> Response:
    """Reconstructs the face in a photo, as a picture alone."""
    return await reconstruct_photo(request, bundle, suffix, align, eyes)


async def reconstruct_photo(
    request: Request, bundle: str, as_: Literal["json"] | Picture, align: bool, placed: str | None
) -> Response:
    """Answers with the reconstruction of the photo in a request's body. `placed` has the places of the eyes, if
    somebody gave them."""
    service = service_of(request)
    served = service.served(bundle)
    generator = served.generator
    if not generator.bundle.has_encoder:
        able = [name for name, other in service.catalogue.items() if other.generator.bundle.has_encoder]
        raise Problem(409, f"the bundle {bundle} has no encoder; {'use ' + ' or '.join(able) if able else 'none has'}")
    photo, text = await request_bodies.read_form(request, "photo", "edits")
    try:
        edits = EDITS.validate_json(text or "{}", strict=True)
    except ValidationError as error:
        mistakes = findings(error.errors(), "body", "edits")
        raise Problem(422, f"edits: {sentence(error.errors())}", errors=mistakes) from error
    with pointing_to("body"):
        rendering.check_edits(generator, edits)

    eyes = None
    if placed is not None:
        left_x, left_y, right_x, right_y = map(float, placed.split(","))
        eyes = (left_x, left_y, right_x, right_y)

    def read() -> tuple[NDArray[np.uint8], bool]:
        size = generator.bundle.image_size
        square = read_photo(photo, size, formats=UPLOADS, room=service.room, align=align, eyes=eyes)
        return square, (align and eyes is None) or has_face(square)

    def reconstruct() -> Reconstructed:
        latent = generator.encode(square[None])[0]
        plain = rendering.image(generator, latent)
        edited = rendering.image(generator, generator.directions.move(latent, edits)) if edits else plain
        difference = float(np.abs(plain.astype(np.int16) - square).mean())
        suffix = "png" if as_ == "json" else as_
        original = pictures.encode(square, suffix)
        picture = pictures.encode(edited, suffix, rendering.recipe(generator))
        return Reconstructed(latent, align and eyes is None, found, difference, original, picture, suffix)

    ((square, found),) = await cancellation.run(request, service.photos, [read], list)
    (made,) = await cancellation.run(request, service.workers, [reconstruct], list)
    service.metrics.images(bundle, "reconstruction", 1)
    figures = {ALIGNED: made.aligned, FOUND: made.found, DIFFERENCE: f"{made.difference:.2f}"}
    headers = {name: str(value).lower() for name, value in figures.items()}
    return Response(made.json(served) if as_ == "json" else made.picture, headers=headers, media_type=MEDIA_TYPES[as_])


def asked_by_query(request: Request, served: ServedBundle, seed: int) -> Face:
    """Reads the face of a seed from the options of a query. Options with other names are edits.

    Raises:
        Problem: An option is unknown, given twice or out of range, the bundle cannot draw the face, or the model has
            another version than asked for.
    """
    options: dict[str, Any] = {"seed": str(seed)}
    edits: dict[str, Any] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        known = options if name in FACE_OPTIONS else edits
        if name in known and name not in NAMES:
            raise wrong(f"{name} is given twice; give it once", "query", name)
        if known is edits and name not in served.generator.directions:
            names = ", ".join((*FACE_OPTIONS, *served.generator.directions))
            raise wrong(f"there is no option {name!r}; there are {names}", "query", name)
        # A list may have commas or be several options of one name, because generated clients write either.
        known[name] = [*known.get(name, ()), *value.split(",")] if name in NAMES else value
    version = options.pop("version", served.version)
    if version != served.version:
        detail = f"the model has changed since version {version}; leave version out for today's face"
        raise Problem(404, detail, errors=[finding(detail, "query", "version")])
    try:
        face = Face.model_validate({**options, "edits": edits}, strict=False)  # query options are text
    except ValidationError as error:
        raise Problem(422, sentence(error.errors()), errors=findings(error.errors(), "query")) from error
    with pointing_to("query"):
        rendering.check(served.generator, face)
    return face


def wrong(detail: str, *place: str) -> Problem:
    """Makes the problem of a request that has a mistake at a place (see `validation.finding`)."""
    return Problem(422, detail, errors=[finding(detail, *place)])


@contextmanager
def pointing_to(*place: str | int) -> Iterator[None]:
    """Turns a `Misfit` of the face at a place into a problem that says where in the request the mistake is."""
    try:
        yield
    except rendering.Misfit as error:
        found = finding(str(error), *map(str, (*place, *error.place)))
        raise Problem(422, str(error), errors=[found]) from error


async def one_face(
    request: Request, served: ServedBundle, face: Face, suffix: str, *, side: int | None = None
) -> bytes:
    """Draws the picture of a face that has been checked, with `side` pixels a side or as many as the bundle draws."""
    service = service_of(request)

    def draw() -> bytes:
        latent, recipe = rendering.latent(served.generator, face), rendering.recipe(served.generator, face)
        return rendering.picture(served.generator, latent, suffix, recipe, side)

    (picture,) = await cancellation.run(request, service.workers, [draw], list)
    service.metrics.images(served.name, "face", 1)
    return picture


def caching(service: Service, served: ServedBundle, face: Face, suffix: str) -> dict[str, str]:
    """Headers that let browsers keep an answer for ever, and CDNs as well unless there are API keys."""
    truncation = served.generator.bundle.truncation if face.truncation is None else face.truncation
    attributes = served.generator.attributes.check(face.asked)
    described = (face.seed, truncation, attributes, face.toward, face.amount, sorted(face.edits.items()), suffix)
    return {"etag": served.etag(*described), "cache-control": f"{service.shared}, max-age={YEAR}, immutable"}


async def answer_with_faces(
    request: Request,
    served: ServedBundle,
    origins: Sequence[Face | None],
    latents: Iterable[Callable[[], NDArray[np.float32]]],
    suffix: str,
    as_: Literal["json", "zip"],
    kind: str,
) -> Response:
    """Draws many faces as one answer.

    Args:
        origins: The description of each face in the request, from which its seed and recipe are taken. It is `None`
            if the face was given as latents.
        latents: Functions that compute the latents of each face, which workers call.
    """

    def draw(face: Face | None, latents: Callable[[], NDArray[np.float32]]) -> Drawing:
        latent = latents()
        picture = rendering.picture(served.generator, latent, suffix, rendering.recipe(served.generator, face))
        return Drawing(face.seed if face else None, latent, picture, suffix)

    def finish(drawings: list[Drawing]) -> bytes:
        return responses.as_zip(drawings) if as_ == "zip" else responses.as_json(served, drawings)

    service = service_of(request)
    jobs = [partial(draw, face, latent) for face, latent in zip(origins, latents, strict=True)]
    answer = await cancellation.run(request, service.workers, jobs, finish)
    service.metrics.images(served.name, kind, len(jobs))
    return Response(answer, media_type=MEDIA_TYPES[as_])
