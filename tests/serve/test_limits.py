"""Fair shares: rates by client, keys that change, connections, and lines in the log."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from face_generation.errors import UserError
from face_generation.serve.logs import LINES, Rate, escape
from face_generation.serve.middleware.guards import BodyLimits
from face_generation.serve.middleware.keys import read_keys
from face_generation.serve.middleware.rates import BURST, Rates, client_of

TINY = "/api/v1/tiny"


def test_a_client_may_ask_for_so_many_faces_a_second() -> None:
    now = 100.0
    rates = Rates(2, lambda: now)
    rates.spend("a", int(2 * BURST))
    assert (rates.wait("a"), rates.wait("b")) == (0, 0)
    rates.spend("a", 5)
    assert rates.wait("a") == 3
    now += 3
    assert rates.wait("a") == 0
    rates.spend("b", 1000)
    assert rates.wait("b") == 500 - BURST
    assert Rates(None).wait("a") == 0


def test_who_a_client_is() -> None:
    def client(host: str, **state: str) -> str:
        return client_of({"client": (host, 1), "state": state})

    assert client("203.0.113.9") == "203.0.113.9"
    assert client("2001:db8:1:2:3::4") == client("2001:db8:1:2:9::5") != client("2001:db8:1:3::4")
    assert client("203.0.113.9", api_key="alice") == client("203.0.113.10", api_key="alice")
    assert client("nobody") == "nobody"


def test_too_many_faces_of_a_client_are_refused(serving: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tmp_path, f"bundles={tiny_bundle}", "limits.rate=2", "trusted_proxies=127.0.0.1") as server:
        others = {"X-Forwarded-For": "203.0.113.9"}
        assert server.http.post(f"{TINY}/faces", json={"faces": [{"seed": 0, "count": 60}]}).status_code == 200
        refused = server.http.get(f"{TINY}/faces/1.png")

        assert refused.status_code == 429
        assert 15 <= int(refused.headers["retry-after"]) <= 20
        assert refused.json()["detail"].startswith("a client may ask for 2 faces a second; ask again in ")
        unknown = {"If-None-Match": '"unknown"'}
        for path in ("faces/1.png", "faces/random.png", "latents/1.json"):
            assert server.http.get(f"{TINY}/{path}", headers=unknown).status_code == 429
        order = {"faces": [{"seed": 1}]}
        assert server.http.post(f"{TINY}/faces", json=order, headers=unknown).status_code == 429
        assert server.http.get(f"{TINY}/faces/1.png", headers={"If-None-Match": "*"}).status_code == 304
        assert server.http.get(f"{TINY}/faces/1.png", headers=others).status_code == 200
        assert server.http.get("/api/v1/bundles").status_code == 200


def test_keys_change_while_the_service_runs(serving: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# name key\nalice first\n\nbob second\n")

    def status(key: str) -> int:
        return server.http.get("/api/v1/bundles", headers={"X-API-Key": key}).status_code

    def wait_until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    with serving(tmp_path, f"bundles={tiny_bundle}", f"api_keys={keys}", FACE_GENERATION_API_KEY="fixed") as server:
        assert [status(key) for key in ("first", "second", "fixed", "third", "")] == [200, 200, 200, 401, 401]
        changed = tmp_path / "changed"
        changed.write_text("alice third\nbob second\n")
        os.replace(changed, keys)
        wait_until(lambda: status("third") == 200)
        assert [status(key) for key in ("first", "second", "fixed")] == [401, 200, 200]
        keys.write_text("nonsense\n")

        def is_told() -> bool:
            assert [status(key) for key in ("third", "second")] == [200, 200]  # a request has the service look
            return any("write them as: name key" in str(line.get("problem")) for line in server.log())

        wait_until(is_told)
        assert any(line.get("api_key") == "bob" for line in server.log())
        assert "second" not in server.log_file.read_text()


@pytest.mark.parametrize("text", ["alice", "alice a b", "alice a\nalice b", "alice ä"])
def test_a_file_that_is_none_of_keys(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(UserError, match="write them as: name key"):
        read_keys(tmp_path / "keys")
    with pytest.raises(UserError, match="cannot be read"):
        read_keys(tmp_path / "nothing")


def test_a_body_is_held_until_its_answer_begins() -> None:
    held: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await Request(scope, receive).body()).upper()
        held.append(limits.held)
        await Response(body)(scope, receive, send)

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_noting(message: Message) -> None:
            held.append(limits.held)
            await send(message)

        await limits(scope, receive, send_noting)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(noting), base_url="http://faces") as client:
            assert (await client.post("/", content=b"photo")).content == b"PHOTO"

    limits = BodyLimits(app, json_bytes=10, upload_bytes=10)
    asyncio.run(ask())
    assert held == [5, 0, 0]


def test_quiet_connections_make_room_for_others(serving: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tmp_path, f"bundles={tiny_bundle}", "limits.connections=20") as server:
        address = ("127.0.0.1", server.port)
        quiet = [socket.create_connection(address, timeout=5) for _ in range(100)]
        try:
            for _ in range(3):
                assert httpx.get(f"{server.url}/health").status_code == 200
            assert quiet[0].recv(1) == b""
            files = os.listdir(f"/proc/{server.process.pid}/fd")
            assert len(files) < 80
        finally:
            for connection in quiet:
                connection.close()
    assert server.log_file.stat().st_size < 10_000


def test_lines_of_the_log_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rate = Rate()
    assert [rate.left_out("other") for _ in range(LINES["other"] + 7)][-8:] == [0] + [None] * 7
    assert rate.left_out("request") == 0
    now = 6.0
    assert [rate.left_out("other") for _ in range(2)] == [7, 0]


def test_a_terminal_obeys_nothing_in_a_line() -> None:
    line = escape(None, "info", {"path": "/\x1b[2J\x9b\n/é", "status": 404})
    assert line == {"path": "/\\x1b[2J\\x9b\\n/é", "status": 404}
