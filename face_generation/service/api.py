"""The HTTP API: faces by seed, by latents, between two faces, and from photos."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from face_generation.generator import pictures
from face_generation.generator.decoding import SIDE, Room
from face_generation.generator.directions import MAX_STRENGTH
from face_generation.generator.generator import SEEDS
from face_generation.generator.photos import UPLOADS, read_photo
from face_generation.service import answers, bodies, faces, work
from face_generation.service.answers import MEDIA_TYPES, Drawn
from face_generation.service.catalogue import Catalogue, Entry
from face_generation.service.metrics import Metrics
from face_generation.service.problems import Problem, documented
from face_generation.service.rates import Rates
from face_generation.service.schemas import (
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
from face_generation.service.sentences import sentence
from face_generation.service.settings import Settings
from face_generation.service.workers import Workers

YEAR = 31_536_000  # seconds
ALIGNED = "X-Aligned"
BINARY = {"schema": {"type": "string", "format": "binary"}}
NAMES = ("with", "without")  # options of a query that are lists of attributes
FACE_OPTIONS = ("truncation", *NAMES, "toward", "amount", "version")  # all others are edits
EDITS: TypeAdapter[dict[str, float]] = TypeAdapter(Edits)

router = APIRouter(prefix="/api/v1")


@dataclass(frozen=True)
class Service:
    """What answers requests."""

    settings: Settings
    catalogue: Catalogue
    workers: Workers  # draw faces
    photos: Workers  # read photos, away from those who draw
    room: Room  # that they have for it
    rates: Rates
    metrics: Metrics

    def entry(self, name: str) -> Entry:
        """Raises a `Problem` where no such bundle is served."""
        if name not in self.catalogue:
            raise Problem(404, f"there is no bundle {name!r}; there are {', '.join(self.catalogue)}")
        return self.catalogue[name]

    @property
    def idle(self) -> bool:
        return self.workers.idle and self.photos.idle

    def stop(self) -> None:
        """Refuses all further work; what was let in is done."""
        self.photos.stop()
        self.workers.stop()

    def close(self) -> None:
        """Ends the threads. See `Workers.close`."""
        self.photos.close()
        self.workers.close()


BundleName = Annotated[str, Path(description="The name of a bundle")]
SeedPath = Annotated[int, Path(ge=0, lt=SEEDS, description="Always the same face", examples=[42])]


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def content(*suffixes: str) -> dict[str, Any]:
    """What an answer may be; FastAPI adds the schema of JSON."""
    return {MEDIA_TYPES[suffix]: {} if suffix == "json" else BINARY for suffix in suffixes}


@router.get("/bundles", summary="List the bundles", tags=["bundles"], responses=documented(401))
async def bundles(request: Request) -> BundlesAnswer:
    """What can draw faces here, what is known of it, and what a request may ask for."""
    service = service_of(request)
    limits = service.settings.limits
    return BundlesAnswer(
        bundles=[entry.about for entry in service.catalogue.values()],
        limits=LimitsAbout(
            faces=limits.faces,
            frames=limits.frames,
            upload_bytes=limits.upload_bytes,
            upload_side=SIDE,
            upload_pixels={format: limits.room.pixels_of(format) for format in UPLOADS},
            max_strength=MAX_STRENGTH,
        ),
    )


@router.get("/{bundle}", summary="Describe a bundle", tags=["bundles"], responses=documented(401, 404))
async def about(request: Request, bundle: BundleName) -> BundleAbout:
    """One bundle."""
    return service_of(request).entry(bundle).about


@router.get(
    "/{bundle}/card",
    summary="Show a bundle's card",
    tags=["bundles"],
    response_class=Response,
    responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}, **documented(401, 404)},
)
async def card(request: Request, bundle: BundleName) -> Response:
    """A bundle's card: what it was trained on, its licence, what it is for and not for, how good it is."""
    text = service_of(request).entry(bundle).card
    if text is None:
        raise Problem(404, f"the bundle {bundle} has no card")
    return Response(text, media_type="text/markdown")


@router.get(
    "/{bundle}/faces/{seed}.{suffix}",
    summary="Draw the face of a seed",
    tags=["faces"],
    response_class=Response,
    responses={
        200: {"description": "The picture", "content": content("png", "webp", "jpg")},
        304: {"description": "The picture is the one with the entity tag of If-None-Match"},
        **documented(401, 404, 422, 503, 504),
    },
)
async def face(request: Request, bundle: BundleName, seed: SeedPath, suffix: Suffix) -> Response:
    """The face of a seed as a picture that browsers and CDNs may keep."""
    service = service_of(request)
    entry = service.entry(bundle)
    wanted = asked_by_query(request, entry, seed)

    def draw() -> bytes:
        return faces.picture(entry.generator, faces.latent(entry.generator, wanted), suffix)

    headers = caching(service, entry, wanted, suffix)
    if is_current(request, headers["etag"]):
        return Response(status_code=304, headers=headers)
    (picture,) = await work.run(request, service.workers, [draw], list)
    service.metrics.images(bundle, "face", 1)
    return Response(picture, headers=headers, media_type=MEDIA_TYPES[suffix])


@router.get(
    "/{bundle}/latents/{seed}.{suffix}",
    summary="Give the latents of a seed",
    tags=["latents"],
    response_class=Response,
    responses={
        200: {
            "description": "The numbers that the decoder makes the face of",
            "model": LatentsAnswer,
            "content": content("json", "npy"),
        },
        304: {"description": "The latents are those with the entity tag of If-None-Match"},
        **documented(401, 404, 422, 503, 504),
    },
)
async def latents(request: Request, bundle: BundleName, seed: SeedPath, suffix: Literal["json", "npy"]) -> Response:
    """The latents of a seed, with the options of its face: as JSON, or as a NumPy file of shape (1, latent_dim)."""
    service = service_of(request)
    entry = service.entry(bundle)
    wanted = asked_by_query(request, entry, seed)
    headers = caching(service, entry, wanted, suffix)
    if is_current(request, headers["etag"]):
        return Response(status_code=304, headers=headers)
    (latent,) = await work.run(request, service.workers, [partial(faces.latent, entry.generator, wanted)], list)
    if suffix == "npy":
        return Response(answers.as_npy(latent[None]), headers=headers, media_type=MEDIA_TYPES["npy"])
    answer = LatentsAnswer(latents=latent.tolist()).model_dump_json()
    return Response(answer, headers=headers, media_type=MEDIA_TYPES["json"])


@router.post(
    "/{bundle}/faces",
    summary="Draw many faces",
    tags=["faces"],
    response_class=Response,
    responses={
        200: {"model": FacesAnswer, "content": content("json", "zip")},
        **documented(401, 404, 413, 415, 422, 503, 504),
    },
)
async def many_faces(request: Request, bundle: BundleName, order: FacesRequest) -> Response:
    """Many faces at once: of seeds, of consecutive seeds, of latents; each with edits of its own."""
    service = service_of(request)
    entry = service.entry(bundle)
    total, most = sum(face.count for face in order.faces), service.settings.limits.faces
    if total > most:
        raise Problem(422, f"a request has {most} faces at most, not {total}; send several")
    wanted = [single for several in order.faces for single in several.singles()]
    for single in wanted:
        faces.check(entry.generator, single)
    latents = [partial(faces.latent, entry.generator, single) for single in wanted]
    return await drawn(request, entry, [face.seed for face in wanted], latents, order.format, order.as_, "face")


@router.post(
    "/{bundle}/decode",
    summary="Draw the faces of latents",
    tags=["latents"],
    response_class=Response,
    responses={
        200: {"model": FacesAnswer, "content": content("json", "zip")},
        **documented(401, 404, 413, 415, 422, 503, 504),
    },
    openapi_extra={"requestBody": {"required": True, "content": {bodies.NPY: BINARY}}},
)
async def decode(
    request: Request,
    bundle: BundleName,
    format: Picture = "png",
    as_: Annotated[Literal["json", "zip"], Query(alias="as")] = "json",
) -> Response:
    """The faces of latents in a NumPy file: float32 or float64 of shape (n, latent_dim)."""
    service = service_of(request)
    entry = service.entry(bundle)
    rows = await bodies.read_latents(request, entry.generator.bundle.latent_dim, service.settings.limits.faces)
    latents = [partial(np.asarray, row) for row in rows]
    return await drawn(request, entry, [None] * len(rows), latents, format, as_, "decoded")


@router.post(
    "/{bundle}/interpolations",
    summary="Go from one face to another",
    tags=["faces"],
    response_class=Response,
    responses={
        200: {"model": FacesAnswer, "content": content("json", "zip", "webp", "gif")},
        **documented(401, 404, 413, 415, 422, 503, 504),
    },
)
async def interpolation(request: Request, bundle: BundleName, order: InterpolationRequest) -> Response:
    """The way from one face to another, in steps of equal angles: as faces, or as an animation that loops."""
    service = service_of(request)
    entry = service.entry(bundle)
    most = service.settings.limits.frames
    if order.frames > most:
        raise Problem(422, f"an interpolation has {most} frames at most, not {order.frames}")
    for end in (order.from_, order.to):
        faces.check(entry.generator, end)
    way = np.linspace(0, 1, order.frames)
    path = [partial(faces.between, entry.generator, order.from_, order.to, t) for t in way]
    if order.as_ == "json" or order.as_ == "zip":
        return await drawn(request, entry, [None] * order.frames, path, order.format, order.as_, "interpolation")

    def animate(frames: list[NDArray[np.uint8]]) -> bytes:
        shown = [*frames, *frames[-2:0:-1]] if order.there_and_back else frames
        return pictures.animate(shown, order.as_, order.seconds / (order.frames - 1))

    def frame(latent: Callable[[], NDArray[np.float32]]) -> NDArray[np.uint8]:
        return faces.image(entry.generator, latent())

    answer = await work.run(request, service.workers, [partial(frame, latent) for latent in path], animate)
    service.metrics.images(bundle, "interpolation", order.frames)
    return Response(answer, media_type=MEDIA_TYPES[order.as_])


@router.post(
    "/{bundle}/reconstructions",
    summary="Reconstruct a photo",
    tags=["photos"],
    response_class=Response,
    responses={
        200: {
            "model": ReconstructionAnswer,
            "content": content("json", "png", "webp", "jpg"),
            "headers": {ALIGNED: {"schema": {"enum": ["true", "false"]}, "description": "As `aligned` of the JSON"}},
        },
        **documented(401, 404, 409, 413, 415, 422, 503, 504),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                bodies.FORM: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "photo": {"type": "string", "format": "binary", "description": "PNG, JPEG or WebP"},
                            "edits": {"type": "string", "description": "Strengths by name as JSON", "example": "{}"},
                        },
                        "required": ["photo"],
                        "additionalProperties": False,
                    }
                }
            },
        }
    },
)
async def reconstruction(
    request: Request,
    bundle: BundleName,
    as_: Annotated[Literal["json"] | Picture, Query(alias="as")] = "json",
    align: Annotated[bool, Query(description="Find the face; false: take the square in the photo's middle")] = True,
) -> Response:
    """What the model makes of a photo's face, and its latents. The photo is in memory only, until it is answered.

    The largest face is turned, sized and placed like those that the model was trained on. A face that lies so already
    is taken as it is. A photo without a face is refused.
    """
    service = service_of(request)
    entry = service.entry(bundle)
    generator = entry.generator
    if not generator.bundle.has_encoder:
        able = [name for name, other in service.catalogue.items() if other.generator.bundle.has_encoder]
        raise Problem(409, f"the bundle {bundle} has no encoder; {'use ' + ' or '.join(able) if able else 'none has'}")
    photo, text = await bodies.read_form(request, "photo", "edits")
    try:
        edits = EDITS.validate_json(text or "{}", strict=True)
    except ValidationError as error:
        raise Problem(422, f"edits: {sentence(error.errors())}") from error
    generator.directions.move(np.zeros(generator.bundle.latent_dim), edits)  # says at once what it cannot edit

    size, room = generator.bundle.image_size, service.room
    read = partial(read_photo, photo, size, formats=UPLOADS, room=room, align=align)
    (square,) = await work.run(request, service.photos, [read], list)

    def reconstruct() -> bytes:
        latent = generator.encode(square[None])[0]
        suffix = "png" if as_ == "json" else as_
        picture = faces.picture(generator, generator.directions.move(latent, edits), suffix)
        if as_ != "json":
            return picture
        original = pictures.encode(square, suffix)
        return answers.reconstruction(entry, latent, align, original, picture, suffix)

    (answer,) = await work.run(request, service.workers, [reconstruct], list)
    service.metrics.images(bundle, "reconstruction", 1)
    return Response(answer, headers={ALIGNED: str(align).lower()}, media_type=MEDIA_TYPES[as_])


def asked_by_query(request: Request, entry: Entry, seed: int) -> Face:
    """The face of a seed with the options of a query; what it does not know of them are edits.

    Raises:
        Problem: An option is unknown, given twice, or out of range; or the model is another one than was asked for.
        UserError: As `faces.check`.
    """
    options: dict[str, Any] = {"seed": str(seed)}
    edits: dict[str, Any] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        known = options if name in FACE_OPTIONS else edits
        if name in known:
            raise Problem(422, f"{name} is given twice; give it once")
        if known is edits and name not in entry.generator.directions:
            names = ", ".join((*FACE_OPTIONS, *entry.generator.directions))
            raise Problem(422, f"there is no option {name!r}; there are {names}")
        known[name] = value.split(",") if name in NAMES else value
    version = options.pop("version", entry.version)
    if version != entry.version:
        raise Problem(404, f"the model has changed since version {version}; leave version away for today's face")
    try:
        face = Face.model_validate({**options, "edits": edits}, strict=False)  # all are text
    except ValidationError as error:
        raise Problem(422, sentence(error.errors())) from error
    faces.check(entry.generator, face)
    return face


def caching(service: Service, entry: Entry, face: Face, suffix: str) -> dict[str, str]:
    """Headers that let browsers, and CDNs unless there is an API key, keep an answer for ever."""
    scope = "private" if service.settings.guarded else "public"
    truncation = entry.generator.bundle.truncation if face.truncation is None else face.truncation
    said = entry.generator.attributes.check(face.asked)
    asked = (face.seed, truncation, said, face.toward, face.amount, sorted(face.edits.items()), suffix)
    return {"etag": entry.etag(*asked), "cache-control": f"{scope}, max-age={YEAR}, immutable"}


def is_current(request: Request, etag: str) -> bool:
    """Whether the client has the answer with this entity tag already."""
    tags = request.headers.get("if-none-match", "").split(",")
    return not {"*", etag}.isdisjoint(tag.strip().removeprefix("W/") for tag in tags)


async def drawn(
    request: Request,
    entry: Entry,
    seeds: Sequence[int | None],
    latents: Iterable[Callable[[], NDArray[np.float32]]],
    suffix: str,
    as_: Literal["json", "zip"],
    kind: str,
) -> Response:
    """Many faces as one answer; what gives the latents of each is done by a worker, too."""

    def draw(seed: int | None, latents: Callable[[], NDArray[np.float32]]) -> Drawn:
        latent = latents()
        return Drawn(seed, latent, faces.picture(entry.generator, latent, suffix), suffix)

    def finish(drawings: list[Drawn]) -> bytes:
        return answers.as_zip(drawings) if as_ == "zip" else answers.as_json(entry, drawings)

    service = service_of(request)
    jobs = [partial(draw, seed, latent) for seed, latent in zip(seeds, latents, strict=True)]
    answer = await work.run(request, service.workers, jobs, finish)
    service.metrics.images(entry.name, kind, len(jobs))
    return Response(answer, media_type=MEDIA_TYPES[as_])
