"""Photos from anyone: good ones of every kind, broken ones, and ones made to break something."""

import io
import json
import os
import struct
import subprocess
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from face_generation.generator import Generator, origin
from face_generation.generator.alignment import LANDMARKS
from face_generation.generator.photos import read_photo

TINY = "/api/v1/tiny"


@pytest.fixture(scope="module")
def generator(tiny_bundle: Path) -> Generator:
    return Generator.load(tiny_bundle)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """200×300, each corner of another colour."""
    rows, columns = np.mgrid[0:300, 0:200]
    values = np.stack([columns * 255 // 199, rows * 255 // 299, np.full_like(rows, 90)], axis=-1)
    return Image.fromarray(values.astype(np.uint8))


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def of_data_url(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(b64decode(url.partition(",")[2]))))


def send(http: httpx.Client, photo: bytes, query: str = "?align=false", **fields: str) -> httpx.Response:
    return http.post(f"{TINY}/reconstructions{query}", files={"photo": ("photo", photo)}, data=fields)


def refused(answer: httpx.Response, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["detail"]


def test_reconstruction(http: httpx.Client, generator: Generator, photo: Image.Image) -> None:
    data = saved(photo, "PNG")
    answer = send(http, data, edits='{"smiling": 1.5}').json()
    square = read_photo(data, 150, align=False)
    latent = generator.encode(square[None])
    edited = generator.decode(generator.directions.move(latent, {"smiling": 1.5}))[0]

    expected = {"bundle", "version", "latents", "aligned", "found", "difference", "original", "image"}
    assert answer.keys() == expected
    assert (answer["aligned"], answer["found"]) == (False, False)
    plain = generator.decode(latent)[0]
    assert answer["difference"] == round(float(np.abs(plain.astype(int) - square).mean()), 2)
    np.testing.assert_array_equal(of_data_url(answer["original"]), square)
    np.testing.assert_array_equal(np.array(answer["latents"], dtype=np.float32), latent[0])
    np.testing.assert_array_equal(of_data_url(answer["image"]), edited)


def test_reconstruction_as_a_picture(http: httpx.Client, generator: Generator, photo: Image.Image) -> None:
    data = saved(photo, "PNG")
    answer = http.post(f"{TINY}/reconstructions.png?align=false", files={"photo": data})

    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-face-found"] == "false"
    assert float(answer.headers["x-difference"]) > 0
    assert origin.read(answer.content).keys() == {"bundle", "version"}
    expected = generator.reconstruct(read_photo(data, 150, align=False)[None])[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    assert send(http, data, "?as=webp&align=false").headers["content-type"] == "image/webp"


def test_the_face_of_a_photo_is_aligned(http: httpx.Client) -> None:
    face = Generator.load("vae").sample(1, seed=3)[0]  # nobody, but with a face
    canvas = Image.new("RGB", (800, 600), (70, 100, 130))
    canvas.paste(Image.fromarray(face).resize((300, 300), Image.Resampling.BICUBIC), (450, 100))
    data = saved(canvas, "PNG")
    answer = send(http, data, "")
    original = of_data_url(answer.json()["original"]).astype(int)

    assert answer.headers["x-aligned"] == "true"
    assert answer.json()["aligned"] is True
    np.testing.assert_array_equal(original, read_photo(data, 150))
    assert np.abs(original - face)[40:120, 40:110].mean() < 10
    assert answer.json()["found"] is True
    plain = send(http, data)
    assert plain.headers["x-aligned"] == "false"
    np.testing.assert_array_equal(of_data_url(plain.json()["original"]), read_photo(data, 150, align=False))


def test_eyes_are_placed_by_hand(http: httpx.Client) -> None:
    face = Generator.load("vae").sample(1, seed=3)[0]  # nobody, but with a face
    canvas = Image.new("RGB", (800, 600), (70, 100, 130))
    canvas.paste(Image.fromarray(face).resize((300, 300), Image.Resampling.BICUBIC), (450, 100))
    eyes = [450 + 300 * LANDMARKS[0].real, 100 + 300 * LANDMARKS[0].imag]
    eyes += [450 + 300 * LANDMARKS[1].real, 100 + 300 * LANDMARKS[1].imag]
    where = ",".join(f"{number:.2f}" for number in eyes)
    answer = send(http, saved(canvas, "PNG"), f"?eyes={where}")
    original = of_data_url(answer.json()["original"]).astype(int)

    assert (answer.json()["aligned"], answer.json()["found"]) == (False, True)
    assert np.abs(original - face).mean() < 4
    for wrong in ("1,1,1,1", "10,10,900,10"):
        assert "the eyes are two points in the photo" in refused(send(http, saved(canvas, "PNG"), f"?eyes={wrong}"))
        assert send(http, saved(canvas, "PNG"), f"?eyes={wrong}").json()["errors"][0]["parameter"] == "eyes"
    assert "eyes" in refused(send(http, saved(canvas, "PNG"), "?eyes=1,2,3"))


def test_a_photo_without_a_face_is_refused(http: httpx.Client, photo: Image.Image) -> None:
    answer = send(http, saved(photo, "PNG"), "")
    assert "no face was found in the photo; choose another" in refused(answer)
    assert answer.json()["type"] == "/api/v1/problems/no-face"
    assert "align should be a valid boolean" in refused(send(http, saved(photo, "PNG"), "?align=perhaps"))


def test_kinds_of_photos(http: httpx.Client, photo: Image.Image) -> None:
    sixteen_bits = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    transparent = photo.quantize(16)
    animated = [photo, photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    upright = np.asarray(photo.resize((150, 225)).crop((0, 37, 150, 187))).astype(int)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    turned = photo.transpose(Image.Transpose.ROTATE_90)

    def difference(data: bytes, grey: bool = False) -> float:
        original = of_data_url(send(http, data).json()["original"]).astype(int)
        wanted = np.asarray(photo.convert("L").convert("RGB").resize((150, 225)).crop((0, 37, 150, 187)))
        return float(np.abs(original - (wanted.astype(int) if grey else upright)).mean())

    assert difference(saved(photo, "PNG")) < 2
    assert difference(saved(photo, "WEBP", quality=95)) < 5
    assert difference(saved(photo, "JPEG", quality=95)) < 5
    assert difference(saved(turned, "JPEG", quality=95, exif=exif)) < 5
    assert difference(saved(photo.convert("CMYK"), "JPEG", quality=95)) < 8
    assert difference(saved(sixteen_bits, "PNG"), grey=True) < 3
    assert difference(saved(transparent, "PNG", transparency=bytes([255] * 16))) < 30
    assert difference(saved(animated[0], "PNG", save_all=True, append_images=animated[1:])) < 2
    assert difference(saved(animated[0], "WEBP", save_all=True, append_images=animated[1:], lossless=True)) < 2


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, content: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def hostile(photo: Image.Image) -> dict[str, tuple[bytes, str]]:
    good = saved(photo, "PNG")
    jpeg = saved(photo, "JPEG")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/x"/></svg>'
    bomb = zlib.compress(b"\0" * 200_000_000, 9)  # 0.2 MB
    progressive = saved(photo, "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return {
        "segments": (jpeg[:2] + b"\xff\xfe\0\2" * 100_000 + jpeg[2:], "more than 1,000 segments"),
        "scans": (progressive[:-2] + scan * 100 + b"\xff\xd9", "more than 50 scans"),
        "truncated PNG": (good[: len(good) // 2], "the photo is damaged"),
        "truncated JPEG": (jpeg[: len(jpeg) // 2], "the photo is damaged"),
        "head only": (good[:40], "the photo"),
        "60,000 by 60,000": (
            png(60_000, 60_000, zlib.compress(b"\0" * 100)),
            "more than 1 million pixels; make it smaller",
        ),
        "largest header": (png(2**31 - 1, 2**31 - 1, b""), "pixels"),
        "no size": (png(0, 0, b""), "the photo"),
        "bomb with a large header": (png(8_000, 8_000, bomb), "8000×8000 pixels, more than 1 million"),
        "text bomb": (
            good[:33] + chunk(b"zTXt", b"a\0\0" + bomb) + good[33:],
            "the photo is damaged",
        ),
        "SVG": (svg, "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "GIF": (saved(photo, "GIF"), "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "TIFF": (saved(photo, "TIFF"), "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "script": (b"<script>alert(1)</script>", "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "polyglot": (b"GIF89a" + good, "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "zip": (b"PK\x03\x04" + bytes(100), "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "nothing": (b"", "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
        "noise": (os.urandom(10_000), "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
    }


def memory(process: subprocess.Popen[str]) -> int:
    """Most bytes that a process ever had in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_hostile_photos(server: Any, photo: Image.Image) -> None:
    send(server.http, saved(photo, "PNG"))
    before = memory(server.process)

    for name, (data, message) in hostile(photo).items():
        answer = send(server.http, data)
        assert message in refused(answer), name
        assert answer.elapsed.total_seconds() < 5, name

    assert memory(server.process) - before < 60e6
    assert send(server.http, saved(photo, "PNG")).status_code == 200


def test_bomb_of_an_honest_size(server: Any, photo: Image.Image) -> None:
    """More data than the header's pixels take: what is too much is never unpacked."""
    before = memory(server.process)
    send(server.http, png(200, 200, zlib.compress(b"\0" * 200_000_000, 9)))

    assert memory(server.process) - before < 60e6


def test_polyglot_is_only_ever_a_picture(http: httpx.Client, photo: Image.Image) -> None:
    answer = send(http, saved(photo, "PNG") + b"<script>alert(1)</script>PK\x03\x04", "?as=png&align=false")

    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"<script>" not in answer.content


def test_too_large_a_body(http: httpx.Client) -> None:
    assert "more than 500,000 bytes; send less" in refused(send(http, bytes(600_000)), 413)


def test_too_large_a_body_that_does_not_say_so(server: Any) -> None:
    """In chunks there is no Content-Length: the limit holds while the body is read."""

    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        for _ in range(1000):
            yield bytes(100_000)

    before = memory(server.process)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}

    assert "send less" in refused(server.http.post(f"{TINY}/reconstructions", content=chunks(), headers=headers), 413)
    assert memory(server.process) - before < 20e6


@pytest.mark.parametrize(
    ("files", "data", "message"),
    [
        ({"picture": b"x"}, {}, "send a form with the file photo"),
        ({}, {"photo": "x"}, "not multipart"),
        ({"photo": b"x", "other": b"x"}, {}, "Too many files"),
        ({"photo": b"x"}, {"edits": "{}", "more": "x"}, "Too many fields"),
        ({"photo": b"x"}, {"more": "x"}, "at most the field edits"),
        ({"photo": b"x"}, {"edits": "smiling"}, "edits: this is not JSON"),
        ({"photo": b"x"}, {"edits": '{"smiling": "much"}'}, "edits: smiling should be a valid number"),
        ({"photo": b"x"}, {"edits": '{"smiling": 11}'}, "edits: smiling should be less than or equal to 10"),
        ({"photo": b"x"}, {"edits": '{"frown": 1}'}, "the bundle cannot edit 'frown'"),
        ({"photo": b"x"}, {"edits": '{"smiling": ' + " " * 70_000 + "1}"}, "Part exceeded maximum size"),
    ],
)
def test_forms_that_are_not_the_one(http: httpx.Client, files: dict, data: dict, message: str) -> None:
    answer = http.post(
        f"{TINY}/reconstructions", files={name: ("name", content) for name, content in files.items()}, data=data
    )
    if message == "not multipart":
        assert "send multipart/form-data, with the file photo, not application/x-www" in refused(answer, 415)
    else:
        assert message in refused(answer)
    if "frown" in message:
        assert answer.json()["errors"][0]["pointer"] == "#/edits/frown"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data", b"", 422),
        ("multipart/form-data; boundary=x", b"", 422),
        ("multipart/form-data; boundary=x", b"--x\r\n", 422),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n--y--\r\n", 422),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: image/png\r\n\r\nx\r\n--x--\r\n", 422),
        ("multipart/form-data; boundary=" + "x" * 1000, b"--x\r\n", 422),
        ("image/png", b"\x89PNG", 415),
        ("application/json", b"{}", 415),
    ],
)
def test_forms_that_are_broken(http: httpx.Client, kind: str, body: bytes, status: int) -> None:
    refused(http.post(f"{TINY}/reconstructions", content=body, headers={"Content-Type": kind}), status)


def test_bundle_without_encoder(http: httpx.Client, photo: Image.Image) -> None:
    answer = http.post("/api/v1/plain/reconstructions", files={"photo": saved(photo, "PNG")})

    assert refused(answer, 409) == "the bundle plain has no encoder; use tiny or told"


def test_photos_are_in_no_file_and_in_no_log(server: Any, photo: Image.Image) -> None:
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (380, 380, 3), dtype=np.uint8))
    data = saved(noise, "PNG")
    assert 400_000 < len(data) < 500_000  # as large as it may be
    answer = send(server.http, data)

    assert answer.status_code == 200
    line = server.logged(answer)
    assert line.keys() == {"event", "level", "timestamp", "request_id", "method", "path", "status", "ms", "client"}
    assert str(answer.json()["latents"][0]) not in server.log_file.read_text()
    assert json.dumps(line).count("photo") == 0
    opened = [os.readlink(link) for link in Path(f"/proc/{server.process.pid}/fd").iterdir()]
    assert not [path for path in opened if "(deleted)" in path or "/tmp/tmp" in path]
