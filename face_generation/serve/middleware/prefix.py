"""The path under which a proxy shows the service."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Prefix:
    """Adds the prefix to paths from which a proxy has stripped it, so that all paths begin with the root path."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path == self.prefix:
                path = "/"
            whole = path if path.startswith(f"{self.prefix}/") else self.prefix + path
            scope = {**scope, "root_path": self.prefix, "path": whole}
        await self.app(scope, receive, send)
