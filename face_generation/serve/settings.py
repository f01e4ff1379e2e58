"""The settings of the service: `configs/serve.yaml`, and API keys from the environment and a file."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from face_generation.errors import UserError
from face_generation.generator.decoding import Room
from face_generation.serve.validation import sentence

API_KEY = "FACE_GENERATION_API_KEY"
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?")
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
# How the service's own paths begin.
OWN_PATHS = ("/api", "/static", "/share", "/health", "/ready", "/metrics", "/bundles", "/detector", "/runtime")


def _several(bundles: object) -> object:
    return [bundles] if isinstance(bundles, str) else bundles


class Limits(BaseModel):
    """Limits of one request, and of all requests together."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    faces: Annotated[int, Field(ge=1)] = 64  # faces in a request
    frames: Annotated[int, Field(ge=2)] = 120  # frames of an interpolation
    queue: Annotated[int, Field(ge=1)] = 128  # faces that may wait to be drawn
    upload_megabytes: Annotated[float, Field(gt=0)] = 10
    upload_megapixels: Annotated[float, Field(gt=0)] = 40
    photo_megabytes: Annotated[float, Field(ge=1)] = 320  # memory of all photos that are being read
    rate: Annotated[float, Field(gt=0)] | None = None  # faces a second that a client may ask for
    connections: Annotated[int, Field(ge=1)] = 1000
    timeout: Annotated[float, Field(gt=0)] = 30  # seconds

    @property
    def upload_bytes(self) -> int:
        return int(self.upload_megabytes * 1e6)

    @property
    def room(self) -> Room:
        """Room for photos."""
        return Room(int(self.photo_megabytes * 1e6), int(self.upload_megapixels * 1e6))

    @model_validator(mode="after")
    def _requests_fit_the_queue(self) -> Self:
        for name in ("faces", "frames"):
            if getattr(self, name) > self.queue:
                raise ValueError(f"limits.{name}={getattr(self, name)} never fit limits.queue={self.queue}; raise it")
        return self


class Settings(BaseModel):
    """The options of `configs/serve.yaml`, which explains them. Both files have the same defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    bundles: Annotated[list[str], BeforeValidator(_several), Field(min_length=1)] = ["vae", "dcgan"]
    draw: Literal["server", "browser"] = "server"
    runtime: str | None = None
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    prefix: str = ""
    trusted_proxies: str = "127.0.0.1"
    limits: Limits = Limits()
    shutdown_seconds: Annotated[float, Field(ge=0)] = 30
    cors: Annotated[list[str], BeforeValidator(_several)] = []
    api_keys: str | None = None
    api_key: SecretStr | None = None

    @property
    def guarded(self) -> bool:
        """Whether the API needs a key."""
        return self.api_key is not None or self.api_keys is not None

    @field_validator("cors")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"cors takes origins such as https://example.com, or *, not {origin!r}")
        return origins

    @model_validator(mode="after")
    def _prefix_is_a_path_of_its_own(self) -> Self:
        if not PREFIX.fullmatch(self.prefix):
            raise ValueError(f"prefix is a path such as /faces, without a slash at its end, not {self.prefix!r}")
        if self.prefix.startswith(OWN_PATHS):
            raise ValueError(f"prefix={self.prefix} begins like a path of the service; choose another")
        return self

    @classmethod
    def read(cls, options: Mapping[Any, Any]) -> "Settings":
        """Reads the settings from a command's options and the environment.

        Raises:
            UserError: An option is malformed.
        """
        key = os.environ.get(API_KEY)
        if key is not None and not key.strip():
            raise UserError(f"{API_KEY} is set and empty; give it a key, or unset it for a service without one")
        try:
            return cls(**{**options, "api_key": SecretStr(key.strip()) if key else None})
        except ValidationError as error:
            raise UserError(f"{sentence(error.errors())}; --help shows the options of serve") from error
