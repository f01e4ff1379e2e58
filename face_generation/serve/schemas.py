"""The schemas of requests and answers."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from face_generation.generator.directions import MAX_STRENGTH
from face_generation.generator.generator import MAX_TRUNCATION, SEEDS

MAX_LATENT = 100.0  # a hundred standard deviations, far beyond what decoders were trained on

Picture = Literal["png", "webp", "jpg"]
Suffix = Literal["png", "webp", "jpg", "jpeg"]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Strength = Annotated[float, Field(ge=-MAX_STRENGTH, le=MAX_STRENGTH)]
Latents = Annotated[list[Annotated[float, Field(ge=-MAX_LATENT, le=MAX_LATENT)]], Field(min_length=1)]
Names = Annotated[list[str], Field(max_length=100)]
Edits = Annotated[dict[str, Strength], Field(max_length=100)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Face(Request):
    """A face of a seed or of latents, moved toward the face of another seed, then edited."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seed": 42, "truncation": 0.8}]})

    seed: Seed | None = Field(None, description="Instead of latents")
    truncation: float | None = Field(
        None,
        ge=0,
        le=MAX_TRUNCATION,
        description="Below 1 faces are more ordinary, above 1 stranger. 0 is one good face. Default: the bundle's own",
    )
    with_: Names = Field([], alias="with", description="Attributes that the face of a seed should have")
    without: Names = Field([], description="Attributes that the face of a seed should lack")
    latents: Latents | None = Field(None, description="latent_dim numbers, in place of seed and truncation")
    toward: Seed | None = Field(None, description="The seed of another face to go toward")
    amount: float = Field(0.25, ge=0, le=1, description="How far to go toward it; 1 is the other face")
    edits: Edits = Field({}, description="Strengths by name of a direction. The bundle lists its directions")

    @property
    def asked(self) -> dict[str, int]:
        """The attributes that the face is asked for, as `Generator.latents` takes them."""
        return dict.fromkeys(self.with_, 1) | dict.fromkeys(self.without, -1)

    @model_validator(mode="after")
    def _from_one_source(self) -> Self:
        if (self.seed is None) == (self.latents is None):
            raise ValueError("a face has either a seed or latents; give one of them")
        if self.latents is not None and "truncation" in self.model_fields_set:
            raise ValueError("truncation is for seeds; scale the latents instead")
        if self.latents is not None and self.toward is None and self.asked:
            raise ValueError("with and without are for the faces of seeds; edit latents instead")
        if both := set(self.with_) & set(self.without):
            raise ValueError(f"a face is asked to be with and without {', '.join(sorted(both))}; leave one out")
        return self


class Faces(Face):
    """One face, or those of consecutive seeds."""

    count: int = Field(1, ge=1, description="Number of faces, of the seeds from this one on")

    @model_validator(mode="after")
    def _seeds_exist(self) -> Self:
        if self.count > 1 and self.seed is None:
            raise ValueError("count is for seeds; name each face of latents by itself")
        if self.seed is not None and self.seed + self.count > SEEDS:
            raise ValueError(f"{self.count} faces from seed {self.seed} on go past the last seed, {SEEDS - 1}")
        return self

    def singles(self) -> Iterator[Face]:
        """Yields each of the faces by itself."""
        for i in range(self.count):
            yield self.model_copy(update={"seed": None if self.seed is None else self.seed + i, "count": 1})


class FacesRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"faces": [{"seed": 42, "count": 3, "truncation": 0.8}, {"seed": 7}]}]}
    )

    faces: list[Faces] = Field(min_length=1)
    format: Picture = "png"
    as_: SkipJsonSchema[Literal["json", "zip"]] = Field("json", alias="as")  # an older way to ask for faces.zip


class InterpolationRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": {"seed": 42}, "to": {"seed": 43}, "frames": 24}]}
    )

    from_: Face = Field(alias="from")
    to: Face
    frames: int = Field(25, ge=2, description="Number of faces on the way, with both ends")
    format: Picture = Field("png", description="Format of the faces in json and zip")
    as_: SkipJsonSchema[Literal["json", "zip", "webp", "gif"]] = Field("json", alias="as")  # as above
    seconds: float = Field(2.0, gt=0, le=60, description="Duration of an animation to the other end")
    there_and_back: bool = Field(True, description="Whether an animation comes back before it repeats")


class DrawnFace(BaseModel):
    seed: Seed | None = Field(None, description="Its seed, if it came from one")
    latents: list[float]
    image: str = Field(description="The picture as a data URL", examples=["data:image/png;base64,iVBORw0KGgo…"])


class FacesAnswer(BaseModel):
    bundle: str
    version: str
    faces: list[DrawnFace]


class LatentsAnswer(BaseModel):
    latents: list[float]


class ReconstructionAnswer(BaseModel):
    bundle: str
    version: str
    latents: list[float] = Field(description="The latents of the encoder, before edits")
    aligned: bool = Field(description="Whether a face was looked for (and found). Original then shows it aligned")
    found: bool = Field(description="Whether original shows a face")
    difference: float = Field(
        description="Mean absolute difference of reconstruction and original before edits, of 255"
    )
    original: str = Field(description="The square of the photo that the encoder saw, as a data URL")
    image: str = Field(description="The decoded latents after edits, as a data URL")


class DirectionAbout(BaseModel):
    name: str = Field(description="Its name in edits", examples=["smiling"])
    label: str = Field(description="Its name for people", examples=["Smiling"])
    figures: dict[str, Any] = Field(description="What was measured")


class DirectionsAbout(BaseModel):
    attributes: list[DirectionAbout] = Field(description="Directions with a name, the strongest first")
    principal: list[DirectionAbout] = Field(description="The strongest directions without a name")


class AttributeAbout(BaseModel):
    name: str = Field(description="Its name in `with` and `without`", examples=["smiling"])
    label: str = Field(description="Its name for people", examples=["Smiling"])
    figures: dict[str, Any] = Field(description="How often it is found in faces asked to have it, and in photos")


class BundleAbout(BaseModel):
    name: str
    model: str
    latent_dim: int
    image_size: int = Field(description="Height and width in pixels")
    has_encoder: bool = Field(description="Whether it can reconstruct photos")
    version: str = Field(description="Changes whenever the same request may give another face")
    data: str = Field(description="What it was trained on")
    licence: str
    figures: dict[str, Any] = Field(description="How good its faces are: values with intervals from low to high")
    truncation: float = Field(description="The default, which looks best")
    attributes: list[AttributeAbout] = Field(description="What a new face can be asked to have or to lack")
    directions: DirectionsAbout = Field(description="The directions of edits")
    card: str = Field(description="The address of its card")


class LimitsAbout(BaseModel):
    faces: int = Field(description="In a request")
    frames: int = Field(description="Of an interpolation")
    upload_bytes: int
    upload_side: int = Field(description="Pixels of a photo's longer side")
    upload_pixels: dict[str, int] = Field(
        description="Pixels that any photo may have, by format. A JPEG in one scan may have more"
    )
    max_strength: float = Field(description="Largest strength of an edit, either way")
    max_truncation: float = Field(description="Largest truncation of a new face")


class BundlesAnswer(BaseModel):
    bundles: list[BundleAbout]
    limits: LimitsAbout


class Health(BaseModel):
    status: str
