"""What those who run the service count on: limits under load, a graceful stop, metrics, logs, the key, proxies."""

import json
import re
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import face_generation
from face_generation.generator import Bundle

VAE = "/api/v1/vae"  # a face takes it some 10 ms: long enough for queues to be seen
TINY = "/api/v1/tiny"
KEY = "a secret of mine"
SECONDS = 60  # until what is waited for must be there, on a machine that is busy with other things as well


@pytest.fixture(scope="module")
def small(serving: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with one worker and room for one batch beside the one that is drawn."""
    options = ["bundles=[vae]", "workers=1", "limits.faces=100", "limits.frames=100", "limits.queue=120"]
    with serving(tmp_path_factory.mktemp("small"), *options) as server:
        yield server


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def queued(server: Any) -> float:
    return server.metric("face_generation_queue_length") + server.metric("face_generation_jobs_running")


def done(server: Any) -> float:
    """Number of jobs that were begun and ended, whether somebody still wanted their faces or not."""
    return server.metric("face_generation_job_duration_seconds_count", queue="faces")


def test_too_much_at_once_is_refused_and_the_rest_answered(small: Any) -> None:
    def ask(seed: int) -> httpx.Response:
        return httpx.post(f"{small.url}{VAE}/faces", json={"faces": [{"seed": seed, "count": 50}]}, timeout=SECONDS)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {200, 503}
    assert statuses[200] >= 2
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"] == "application/problem+json"
            assert "wait to be drawn" in answer.json()["detail"]
    wait_until(lambda: queued(small) == 0)
    assert ask(0).status_code == 200


def test_a_full_queue_still_answers_what_needs_no_drawing(serving: Callable[..., Any], tmp_path: Path) -> None:
    options = ["bundles=[vae]", "workers=1", "limits.faces=4", "limits.frames=4", "limits.queue=4"]
    with serving(tmp_path, *options) as server:
        face = f"{VAE}/faces/1.png"
        known = {"If-None-Match": server.http.get(face).headers["etag"]}
        done = threading.Event()

        def keep_busy() -> None:
            with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
                while not done.is_set():
                    client.get(face)

        with ThreadPoolExecutor(10) as pool:
            busy = [pool.submit(keep_busy) for _ in range(10)]
            try:
                wait_until(lambda: server.http.get(face).status_code == 503)
                for _ in range(10):
                    assert server.http.get(face, headers=known).status_code == 304
                    assert server.http.get("/health").status_code == 200
                full: list[httpx.Response] = []
                wait_until(lambda: (full.append(server.http.get("/ready")) or full[-1].status_code) == 503)
                assert full[-1].json()["type"].endswith("/problems/busy")
                assert int(full[-1].headers["retry-after"]) >= 1
            finally:
                done.set()
        for client in busy:
            client.result()
        wait_until(lambda: server.http.get("/ready").status_code == 200)


def test_what_takes_too_long_is_given_up(serving: Callable[..., Any], tmp_path: Path) -> None:
    options = ["bundles=[vae]", "workers=1", "limits.faces=250", "limits.queue=250", "limits.timeout=0.5"]
    with serving(tmp_path, *options) as server:
        answer = server.http.post(f"{VAE}/faces", json={"faces": [{"seed": 0, "count": 250}]})

        assert answer.status_code == 504
        assert answer.json()["detail"] == "this took longer than 0.5 s; ask for less, or again later"
        wait_until(lambda: queued(server) == 0)
        assert server.metric("face_generation_images_total") == 0
        assert done(server) < 250
        wait_until(lambda: server.http.get(f"{VAE}/faces/1.png").status_code == 200)


def test_who_goes_away_takes_the_work_along(small: Any) -> None:
    drawn, before = small.metric("face_generation_images_total"), done(small)
    body = json.dumps({"faces": [{"seed": 0, "count": 100}]}).encode()
    head = f"POST {VAE}/faces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection(("127.0.0.1", small.port)) as client:
        client.sendall(head.encode() + b"\r\n\r\n" + body)
        wait_until(lambda: queued(small) > 0)
    wait_until(lambda: queued(small) == 0)

    assert small.metric("face_generation_images_total") == drawn
    assert done(small) - before < 100
    wait_until(lambda: any(line.get("status") == 499 for line in small.log()))


def test_who_goes_away_in_the_midst_of_an_upload(small: Any) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x"):
        head = f"POST {VAE}/reconstructions HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n"
        with socket.create_connection(("127.0.0.1", small.port)) as client:
            client.sendall(f"{head}X-Request-ID: half-{kind[:9]}\r\n\r\n--x\r\n".encode())
        wait_until(lambda kind=kind: any(line.get("request_id") == f"half-{kind[:9]}" for line in small.log()))

    lines = [line for line in small.log() if line.get("request_id", "").startswith("half-")]
    assert [(line["event"], line.get("status")) for line in lines] == [("request", 415), ("request", 499)]


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_graceful_stop(serving: Callable[..., Any], tmp_path: Path, name: signal.Signals) -> None:
    """What is under way is finished, and what comes in the meantime is told so."""
    with serving(tmp_path, "bundles=[vae]", "workers=1", "limits.faces=40", "limits.queue=200") as server:
        with ThreadPoolExecutor(1) as pool:
            order = {"faces": [{"seed": 0, "count": 40}], "as": "zip"}
            running = pool.submit(httpx.post, f"{server.url}{VAE}/faces", json=order, timeout=SECONDS)
            wait_until(lambda: queued(server) > 20)
            server.process.send_signal(name)
            wait_until(lambda: server.http.get("/ready").status_code == 503)
            more = server.http.get(f"{VAE}/faces/1.png")
            health = server.http.get("/health")
            assert running.result().status_code == 200
        assert server.process.wait(SECONDS) == 0

    assert (more.status_code, more.headers["retry-after"], health.status_code) == (503, "1", 200)
    assert "the service is stopping" in more.json()["detail"]


def test_stop_has_an_end(serving: Callable[..., Any], tmp_path: Path) -> None:
    options = ["bundles=[vae]", "workers=1", "limits.faces=250", "limits.queue=250", "shutdown_seconds=0.1"]
    with serving(tmp_path, *options) as server, ThreadPoolExecutor(1) as pool:
        order = {"faces": [{"seed": 0, "count": 250}], "as": "zip"}
        running = pool.submit(httpx.post, f"{server.url}{VAE}/faces", json=order, timeout=SECONDS)
        wait_until(lambda: queued(server) > 100)
        assert server.stop() == 0
        assert running.exception() is not None or running.result().status_code == 500


def test_metrics(small: Any) -> None:
    route = "/api/v1/{bundle}/faces/{seed}.{suffix}"
    count = dict(method="GET", route=route, status="200")
    before = small.metric("face_generation_requests_total", **count), small.metric("face_generation_images_total")
    for seed in range(3):
        small.http.get(f"{VAE}/faces/{seed}.png")
    small.http.post(f"{VAE}/faces", json={"faces": [{"seed": 1, "count": 4}]})
    small.http.get("/nothing/at/all")
    pages = small.metric("face_generation_requests_total", route="/", status="200")
    small.http.get("/")
    # A file is counted when it has been sent.
    wait_until(lambda: small.metric("face_generation_requests_total", route="/", status="200") == pages + 1)

    assert small.metric("face_generation_requests_total", **count) == before[0] + 3
    assert small.metric("face_generation_images_total", bundle="vae", kind="face") == before[1] + 7
    assert small.metric("face_generation_requests_total", route="none", status="404") >= 1
    assert small.metric("face_generation_request_duration_seconds_count", route=route) >= 3
    assert small.metric("face_generation_queue_wait_seconds_count", queue="faces") >= 7
    assert small.metric("face_generation_job_duration_seconds_sum", queue="faces") > 0
    assert small.metric("face_generation_queue_capacity", queue="faces") == 120
    assert small.metric("face_generation_workers", queue="faces") == 1
    assert small.metric("face_generation_saturation_ratio", queue="faces") == 0
    assert small.metric("face_generation_build_info", version=face_generation.__version__) == 1
    text = small.http.get("/metrics").text
    assert "nothing" not in text
    assert "process_resident_memory_bytes" in text


def test_log(small: Any) -> None:
    kept = small.http.get(f"{VAE}/faces/1.png?truncation=0.5", headers={"X-Request-ID": "mine-1"})
    given = [small.http.get(f"{VAE}/faces/x.png", headers={"X-Request-ID": odd}) for odd in ("", "a b", "x" * 200)]
    first = small.logged(kept)

    assert kept.headers["x-request-id"] == "mine-1"
    assert all(re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"]) for answer in given)
    assert [small.logged(answer)["status"] for answer in given] == [422] * 3
    assert (first["event"], first["level"], first["method"], first["status"]) == ("request", "info", "GET", 200)
    assert (first["path"], first["client"]) == (f"{VAE}/faces/1.png", "127.0.0.1")
    assert 0 < first["ms"] < 10_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first["timestamp"])


@pytest.fixture
def fragile_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle whose decoder fails where a latent has a number of 4 or more."""
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "fragile"))
    model = onnx.load(folder / "decoder.onnx")
    node = helper.make_node
    added = [
        node("ReduceMax", ["latents"], ["largest"], keepdims=0),
        node("Cast", ["largest"], ["index"], to=TensorProto.INT64),
        node("Gather", ["zeros", "index"], ["zero"]),
        node("Add", ["latents", "zero"], ["same"]),
    ]
    model.graph.node[0].input[0] = "same"
    for i, step in enumerate(added):
        model.graph.node.insert(i, step)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, dtype=np.float32), "zeros"))
    onnx.save(model, folder / "decoder.onnx")
    about = json.loads((folder / "bundle.json").read_text())
    keep = ("name", "latent_shape", "image_size", "training", "metrics", "licence")
    Bundle.write(folder, **{key: about[key] for key in keep})
    return folder


def test_what_should_not_happen_is_told_to_the_log_only(
    serving: Callable[..., Any], fragile_bundle: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, f"bundles={fragile_bundle}") as server:
        answer = server.http.post(f"{TINY}/faces", json={"faces": [{"latents": [9.0] * 8}, {"seed": 1}]})
        assert server.http.get(f"{TINY}/faces/1.png").status_code == 200
        line = server.logged(answer)

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "this should not happen; the log of the service says more about it"
    assert (line["event"], line["level"]) == ("failed", "error")
    assert line["exception"].startswith("Traceback")
    assert "Gather" in line["exception"]
    assert "9.0" not in line["exception"], "latents are nobody's business"


def test_every_answer_has_security_headers(http: httpx.Client) -> None:
    for path in ("/", "/static/nothing", "/api/v1/docs", "/health", "/nothing", f"{TINY}/faces/1.png"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert headers["x-request-id"]
        assert "server" not in headers


@pytest.fixture(scope="module")
def guarded(serving: Callable[..., Any], tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with an API key, behind proxies of another network at /faces."""
    options = [f"bundles={tiny_bundle}", "prefix=/faces", "trusted_proxies=10.0.0.0/8"]
    with serving(
        tmp_path_factory.mktemp("guarded"), *options, FACE_GENERATION_API_KEY=f"{KEY}\n"
    ) as server:  # as from a file
        yield server


def test_api_key(guarded: Any) -> None:
    path = f"{TINY}/faces/1.png"
    for headers in (
        {},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Basic {KEY}"},
        {"X-API-Key": ""},
        {"X-API-Key": "é".encode("latin-1")},
    ):
        answer = guarded.http.get(path, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "send it as Authorization: Bearer" in answer.json()["detail"]
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"X-API-Key": KEY}):
        answer = guarded.http.get(path, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    for path in ("/api/v1/nothing/at/all", "/api/v1/docsx", "/api/v1/openapi.jsonx", "/%61pi/v1/bundles"):
        assert guarded.http.get(path).status_code == 401
    for path in ("/", "/health", "/ready", "/metrics", "/api/v1/docs", "/api/v1/openapi.json"):
        assert guarded.http.get(path).status_code == 200
    assert KEY not in guarded.log_file.read_text()


def test_other_peoples_pages(serving: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    options = [f"bundles={tiny_bundle}", "cors=[https://example.com,http://localhost:3000]"]
    with serving(tmp_path, *options, FACE_GENERATION_API_KEY=KEY) as server:
        ours, others = ({"Origin": origin} for origin in ("https://example.com", "https://example.org"))
        asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}
        before = server.http.options(f"{TINY}/faces", headers=ours | asking)
        answer = server.http.get(f"{TINY}/faces/1.png", headers=ours | {"X-API-Key": KEY})
        refused = server.http.get(f"{TINY}/faces/1.png", headers=ours)
        strange = server.http.get(f"{TINY}/faces/1.png", headers=others | {"X-API-Key": KEY})
        plain = server.http.get(f"{TINY}/faces/1.png", headers={"X-API-Key": KEY})

    assert (before.status_code, answer.status_code, refused.status_code) == (200, 200, 401)
    assert "X-API-Key" in before.headers["access-control-allow-headers"]
    for each in (before, answer, refused):
        assert each.headers["access-control-allow-origin"] == "https://example.com"
    for name in ("X-Request-ID", "Retry-After", "X-Seed"):
        assert name in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in strange.headers
    for each in (answer, strange, plain):  # otherwise a kept picture could be one that the page may not read
        assert "Origin" in each.headers["vary"]


def test_prefix(guarded: Any) -> None:
    """Whether a proxy strips it or not."""
    for path in ("/", "/health", "/static/nothing", f"{TINY}/card", "/api/v1/docs", "/api/v1/openapi.json"):
        stripped, whole = (
            guarded.http.get(prefix + path, headers={"X-API-Key": KEY, "X-Request-ID": "same"})
            for prefix in ("", "/faces")
        )
        assert (stripped.status_code, stripped.content) == (whole.status_code, whole.content)
        assert stripped.headers["content-security-policy"] == whole.headers["content-security-policy"]
    assert guarded.http.get("/faces").headers["location"] == "/faces/"
    assert guarded.http.get("/facesx").status_code == 404
    assert guarded.http.get("/api/v1/openapi.json").json()["servers"] == [{"url": "/faces"}]
    about = guarded.http.get(f"/faces{TINY}", headers={"X-API-Key": KEY}).json()
    assert about["card"] == "/faces/api/v1/tiny/card"


def test_only_trusted_proxies_may_forward_addresses(small: Any, guarded: Any) -> None:
    for server, client in ((small, "203.0.113.9"), (guarded, "127.0.0.1")):
        answer = server.http.get("/health", headers={"X-Forwarded-For": "203.0.113.9"})
        assert server.logged(answer)["client"] == client


@pytest.mark.parametrize("head", [b"X-A: " + b"a" * 10_000_000, b"X-A: bbbbbbbb\r\n" * 500_000])
def test_endless_heads_are_cut_off(small: Any, head: bytes) -> None:
    address = ("127.0.0.1", small.port)
    with socket.create_connection(address, timeout=SECONDS) as client, pytest.raises(OSError, match="reset|pipe"):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + head)
        client.sendall(head)
    assert small.http.get("/health").status_code == 200


def test_what_is_no_http(small: Any) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=SECONDS) as client:
        client.sendall(b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: any(line["event"] == "Invalid HTTP request received." for line in small.log()))


def test_bodies_of_all_requests_together_are_bounded(
    serving: Callable[..., Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    options = [f"bundles={tiny_bundle}", "limits.upload_megabytes=0.15", "limits.faces=1"]
    head = (
        f"POST {TINY}/decode HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\nContent-Length: 150000\r\n\r\n"
    )
    with serving(tmp_path, *options) as server:
        with ExitStack() as stack:
            for _ in range(16):  # which stop a byte before their end
                unfinished = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                unfinished.sendall(head.encode() + bytes(149_999))
            for kind, path in (("application/json", "faces"), ("application/x-npy", "decode")):
                send = partial(
                    server.http.post, f"{TINY}/{path}", content=bytes(90_000), headers={"Content-Type": kind}
                )
                wait_until(lambda send=send: send().status_code == 503)
                assert send().headers["retry-after"] == "1"
        wait_until(lambda: server.http.post(f"{TINY}/decode", content=bytes(90_000)).status_code == 415)
        assert server.http.post(f"{TINY}/faces", json={"faces": [{"seed": 1}]}).status_code == 200
