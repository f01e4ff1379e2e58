"""The service on a Ray cluster; deploy/ray.yaml says on how many machines, and at which address.

serve run face_generation.serve.ray:app
serve run face_generation.serve.ray:app bundles=[vae] limits.queue=64
serve run deploy/ray.yaml
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from omegaconf import DictConfig, OmegaConf
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from face_generation.command import configs_folder
from face_generation.errors import UserError
from face_generation.serve import logs
from face_generation.serve.app import create_app
from face_generation.serve.settings import Settings

try:
    from ray import serve
except ImportError as error:
    raise UserError("a cluster needs Ray; pip install 'ray[serve]'") from error


def app(options: dict[str, Any]) -> serve.Application:
    """The service for Ray Serve, which calls this with the arguments of `serve run` or of a Serve config file.

    Args:
        options: In place of those of `configs/serve.yaml`, as text ("limits.queue": "64") or values. Ray's own
            settings hold in place of `host` and `port`.

    Raises:
        UserError: One of them is not what it must be.
    """
    # Read here and sent to every replica, so that none is without the API key for want of an environment variable.
    settings = Settings.read(with_defaults(options))

    def build() -> FastAPI:
        logs.configure()
        replica = create_app(settings)
        replica.add_middleware(OneRequestId)
        return replica

    return serve.deployment(name="faces")(serve.ingress(build)(Faces)).bind()


class Faces:
    """A replica; `serve.ingress` adds the app."""

    app: FastAPI

    async def check_health(self) -> None:
        """Draws a face with each bundle; beside the queue, because a full one is no reason to restart a replica."""
        for served in self.app.state.service.catalogue.values():
            await asyncio.to_thread(served.generator.sample, 1)


class OneRequestId:
    """Leaves the header X-Request-ID to Ray's proxy, which adds it as well."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name, value) for name, value in message["headers"] if name != b"x-request-id"]
            await send(message)

        await self.app(scope, receive, send_without)


def with_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the service: those given, and for the others what `configs/serve.yaml` says."""
    config = OmegaConf.load(configs_folder() / "serve.yaml")
    assert isinstance(config, DictConfig)
    for block in ("defaults", "hydra"):  # for Hydra, which is not at work here
        del config[block]
    given = OmegaConf.from_dotlist(
        [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()]
    )
    return OmegaConf.to_container(OmegaConf.merge(config, given), resolve=True)  # type: ignore[return-value]
