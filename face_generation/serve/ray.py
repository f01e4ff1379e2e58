"""The service on a Ray cluster. deploy/ray.yaml sets the number of machines and the address.

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
    """Builds the service for Ray Serve, which passes the arguments of `serve run` or of a Serve config file.

    Args:
        options: Options that replace those of `configs/serve.yaml`, as text ("limits.queue": "64") or values. `host`
            and `port` have no effect, because Ray has its own settings for them.

    Raises:
        UserError: An option is malformed.
    """
    # Settings are read here and sent to every replica, so that the API key is only needed in one environment.
    settings = Settings.read(with_defaults(options))

    def build() -> FastAPI:
        logs.configure()
        replica = create_app(settings)
        replica.add_middleware(OneRequestId)
        return replica

    return serve.deployment(name="faces")(serve.ingress(build)(Replica)).bind()


class Replica:
    """One of the processes that Ray starts. `serve.ingress` adds the app."""

    app: FastAPI

    async def check_health(self) -> None:
        """Draws a face with each bundle. It does not use the queue, because a full queue is no reason for a restart."""
        for served in self.app.state.service.catalogue.values():
            await asyncio.to_thread(served.generator.sample, 1)


class OneRequestId:
    """Removes the header X-Request-ID, because Ray's proxy adds its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name, value) for name, value in message["headers"] if name != b"x-request-id"]
            await send(message)

        await self.app(scope, receive, send_without)


def with_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the options of `configs/serve.yaml` to those that are given."""
    config = OmegaConf.load(configs_folder() / "serve.yaml")
    assert isinstance(config, DictConfig)
    for block in ("defaults", "hydra"):  # these blocks are for Hydra, which is not used here
        del config[block]
    given = OmegaConf.from_dotlist(
        [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()]
    )
    return OmegaConf.to_container(OmegaConf.merge(config, given), resolve=True)  # type: ignore[return-value]
