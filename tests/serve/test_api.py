"""Faces over HTTP."""

import io
import json
import re
import subprocess
import sys
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from face_generation.generator import Bundle, Generator, origin
from face_generation.generator.latents import slerp

API = "/api/v1"
TINY = f"{API}/tiny"
NPY = {"Content-Type": "application/x-npy"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def generator(tiny_bundle: Path) -> Generator:
    return Generator.load(tiny_bundle)


@pytest.fixture(scope="module")
def told(told_bundle: Path) -> Generator:
    return Generator.load(told_bundle)


def pixels(picture: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(picture)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def of_data_url(url: str, kind: str = "image/png") -> bytes:
    head, _, content = url.partition(",")
    assert head == f"data:{kind};base64"
    return b64decode(content, validate=True)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def problem(answer: httpx.Response, status: int) -> str:
    """What a problem says, after a look at its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert content.keys() - {"errors"} == {"type", "title", "status", "detail", "instance"}
    assert content["type"].startswith("/api/v1/problems/")
    assert content["status"] == status
    assert content["instance"] == answer.headers["x-request-id"]
    assert "\n" not in content["detail"]
    return content["detail"]


def test_bundles(http: httpx.Client, generator: Generator) -> None:
    answer = http.get(f"{API}/bundles").json()
    tiny, plain, told = answer["bundles"]

    assert answer["limits"] == {
        "faces": 20,
        "frames": 30,
        "upload_bytes": 500_000,
        "upload_side": 32_767,
        "upload_pixels": dict.fromkeys(("PNG", "JPEG", "WEBP", "HEIF", "AVIF"), 1_000_000),
        "max_strength": 10.0,
        "max_truncation": 10.0,
    }
    assert (tiny["name"], tiny["latent_dim"], tiny["image_size"], tiny["has_encoder"]) == ("tiny", 8, 150, True)
    assert re.fullmatch("[0-9a-f]{12}", tiny["version"])
    directions = tiny["directions"]
    assert [direction["label"] for direction in directions["attributes"]] == ["Smiling", "Eyeglasses"]
    assert directions["attributes"][0]["figures"]["accuracy"] == 0.9
    assert [direction["label"] for direction in directions["principal"]] == ["Direction 1"]
    assert (plain["name"], plain["has_encoder"], plain["attributes"]) == ("plain", False, [])
    assert plain["directions"] == {"attributes": [], "principal": []}
    assert (tiny["attributes"], tiny["truncation"], told["truncation"]) == ([], 1.0, 0.8)
    assert [(each["name"], each["label"]) for each in told["attributes"]] == [
        ("smiling", "Smiling"),
        ("eyeglasses", "Eyeglasses"),
        ("male", "Male"),
    ]
    assert told["attributes"][0]["figures"] == {"found": {"value": 0.9, "low": 0.8, "high": 1.0}}
    assert len({bundle["version"] for bundle in answer["bundles"]}) == 3
    assert http.get(TINY).json() == tiny


def test_card(http: httpx.Client) -> None:
    assert "has no card" in problem(http.get(f"{TINY}/card"), 404)


def test_unknown_bundle(http: httpx.Client) -> None:
    assert problem(http.get(f"{API}/nobody"), 404) == "there is no bundle 'nobody'; there are tiny, plain, told"


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_face_of_a_seed(http: httpx.Client, generator: Generator, seed: int) -> None:
    answer = http.get(f"{TINY}/faces/{seed}.png")

    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    np.testing.assert_array_equal(pixels(answer.content), generator.sample(1, seed)[0])


def test_any_face(http: httpx.Client) -> None:
    answers = [http.get(f"{TINY}/faces/random.png?truncation=0.5&smiling=2") for _ in range(3)]
    assert len({answer.headers["x-seed"] for answer in answers}) == 3
    for answer in answers:
        where = answer.headers["content-location"]
        assert where == f"{answer.headers['x-seed']}.png?truncation=0.5&smiling=2"
        assert answer.headers["cache-control"] == "no-store"
        assert http.get(f"{TINY}/faces/{where}").content == answer.content
    assert "there is no option 'grin'" in problem(http.get(f"{TINY}/faces/random.png?grin=1"), 422)


def test_a_picture_says_how_it_was_drawn(http: httpx.Client, tiny_bundle: Path) -> None:
    version = Bundle.load(tiny_bundle).version
    expected = {"bundle": "tiny", "version": version, "mode": "sample", "seed": 7, "truncation": 1.0}
    expected |= {"attributes": {}, "edits": {"smiling": 1.5}}
    for suffix in ("png", "webp", "jpg"):
        assert origin.read(http.get(f"{TINY}/faces/7.{suffix}?smiling=1.5").content) == expected
    toward = origin.read(http.get(f"{TINY}/faces/7.png?smiling=1.5&toward=8&amount=0.5").content)
    assert toward == expected | {"toward": 8, "amount": 0.5}
    many = http.post(f"{TINY}/faces", json={"faces": [{"seed": 7}, {"latents": [0] * 8}]}).json()["faces"]
    assert [origin.read(of_data_url(face["image"])) for face in many] == [
        expected | {"edits": {}},
        {"bundle": "tiny", "version": version},
    ]


def test_the_command_draws_the_same_face(http: httpx.Client, tiny_bundle: Path, tmp_path: Path) -> None:
    options = [f"bundle={tiny_bundle}", "seed=7", "truncation=0.7", "edits={smiling: 1.5, eyeglasses: -2}"]
    command = [sys.executable, "-m", "face_generation.inference", *options, "output=face.png"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    answer = http.get(f"{TINY}/faces/7.png?truncation=0.7&smiling=1.5&eyeglasses=-2")

    np.testing.assert_array_equal(pixels(answer.content), pixels((tmp_path / "face.png").read_bytes()))


def test_options_of_a_face(http: httpx.Client, generator: Generator) -> None:
    answer = http.get(f"{TINY}/faces/5.png?truncation=0.8&toward=6&amount=0.4&principal_1=2")
    latent = slerp(*generator.latents(2, 5, 0.8), 0.4)
    expected = generator.decode(generator.directions.move(latent, {"principal_1": 2.0})[None])[0]

    np.testing.assert_array_equal(pixels(answer.content), expected)


def test_faces_that_are_asked_for(http: httpx.Client, told: Generator) -> None:
    answer = http.get(f"{API}/told/faces/5.png?with=smiling,eyeglasses&without=male")
    expected = told.sample(1, 5, attributes={"smiling": 1, "eyeglasses": 1, "male": -1})[0]
    np.testing.assert_array_equal(pixels(answer.content), expected)

    relative = http.get(f"{API}/told/faces/5.png?with=smiling&toward=9&amount=0.3&smiling=2&truncation=0.5")
    start, end = (told.latents(1, seed, 0.5, attributes={"smiling": 1})[0] for seed in (5, 9))
    latent = told.directions.move(slerp(start, end, 0.3), {"smiling": 2.0})
    np.testing.assert_array_equal(pixels(relative.content), told.decode(latent[None])[0])

    latents = np.load(io.BytesIO(http.get(f"{API}/told/latents/5.npy?without=smiling").content))
    np.testing.assert_array_equal(latents, told.latents(1, 5, attributes={"smiling": -1}))


def test_orders_that_ask_for_attributes(http: httpx.Client, told: Generator) -> None:
    faces = [{"seed": 3, "count": 2, "with": ["male"], "without": ["smiling"]}, {"seed": 3}]
    answer = http.post(f"{API}/told/faces", json={"faces": faces}).json()
    expected = [*told.sample(2, 3, attributes={"male": 1, "smiling": -1}), *told.sample(1, 3)]
    for face, image in zip(answer["faces"], expected, strict=True):
        np.testing.assert_array_equal(pixels(of_data_url(face["image"])), image)

    order = {"from": {"seed": 1, "with": ["male"]}, "to": {"seed": 2}, "frames": 3}
    answer = http.post(f"{API}/told/interpolations", json=order).json()
    path = slerp(told.latents(1, 1, attributes={"male": 1})[0], told.latents(1, 2)[0], np.linspace(0, 1, 3))
    for face, latent in zip(answer["faces"], path, strict=True):
        np.testing.assert_array_equal(np.array(face["latents"], dtype=np.float32), latent)


@pytest.mark.parametrize(("suffix", "form"), [("webp", "WEBP"), ("jpg", "JPEG"), ("jpeg", "JPEG")])
def test_formats(http: httpx.Client, suffix: str, form: str) -> None:
    answer = http.get(f"{TINY}/faces/1.{suffix}")

    assert answer.headers["content-type"] == f"image/{form.lower()}"
    assert Image.open(io.BytesIO(answer.content)).format == form


def test_entity_tags(http: httpx.Client) -> None:
    def tag(path: str) -> str:
        return http.get(f"{API}/{path}").headers["etag"]

    same = {tag("tiny/faces/1.png"), tag("tiny/faces/1.png?truncation=1"), tag("tiny/faces/1.png?truncation=1.0")}
    others = [
        "tiny/faces/2.png",
        "tiny/faces/1.webp",
        "tiny/faces/1.png?truncation=0.5",
        "tiny/faces/1.png?toward=2",
        "tiny/faces/1.png?toward=2&amount=0.5",
        "tiny/faces/1.png?smiling=1",
        "tiny/latents/1.json",
        "plain/faces/1.png",
    ]
    assert len(same) == 1
    assert len(same | {tag(path) for path in others}) == 1 + len(others)
    asked = {tag(f"told/faces/1.png{query}") for query in ("", "?with=male", "?without=male", "?with=male,smiling")}
    assert len(asked) == 4
    assert tag("told/faces/1.png?with=male,smiling") == tag("told/faces/1.png?with=smiling,male")
    assert tag("told/faces/1.png") == tag("told/faces/1.png?truncation=0.8")
    assert tag("tiny/faces/1.png?smiling=1&eyeglasses=2") == tag("tiny/faces/1.png?eyeglasses=2&smiling=1")


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_a_face_gets_no_second_one(server: Any, known: str) -> None:
    path = f"{TINY}/faces/3.png"
    first = server.http.get(path)
    drawn = server.metric("face_generation_images_total")
    again = server.http.get(path, headers={"If-None-Match": known.format(first.headers["etag"])})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert server.metric("face_generation_images_total") == drawn


def test_version(http: httpx.Client) -> None:
    version = http.get(TINY).json()["version"]

    assert http.get(f"{TINY}/faces/1.png?version={version}").status_code == 200
    assert "the model has changed since version 0123" in problem(http.get(f"{TINY}/faces/1.png?version=0123"), 404)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("1.png?truncation=11", "truncation should be less than or equal to 10, not '11'"),
        ("1.png?truncation=nan", "truncation should be a finite number, not 'nan'"),
        ("1.png?truncation=", "truncation should be a valid number"),
        ("1.png?truncation=1&truncation=2", "truncation is given twice; give it once"),
        ("1.png?toward=-1", "toward should be greater than or equal to 0, not '-1'"),
        ("1.png?toward=2&amount=2", "amount should be less than or equal to 1, not '2'"),
        ("1.png?smiling=10.5", "edits.smiling should be less than or equal to 10, not '10.5'"),
        (
            "1.png?frown=1",
            "there is no option 'frown'; there are truncation, with, without, toward, amount, version, smi",
        ),
        ("1.png?%00=1", "there is no option '\\x00'"),
        ("4294967296.png", "seed should be less than 4294967296, not '4294967296'"),
        ("-1.png", "seed should be greater than or equal to 0"),
        ("one.png", "seed should be a valid integer"),
        ("1.gif", "suffix should be 'png', 'webp', 'jpg' or 'jpeg', not 'gif'"),
    ],
)
def test_mistakes_in_an_address(http: httpx.Client, path: str, message: str) -> None:
    assert message in problem(http.get(f"{TINY}/faces/{path}"), 422)


def test_latents_out(http: httpx.Client, generator: Generator) -> None:
    options = "truncation=0.5&smiling=1"
    as_json = http.get(f"{TINY}/latents/9.json?{options}").json()["latents"]
    as_npy = np.load(io.BytesIO(http.get(f"{TINY}/latents/9.npy?{options}").content), allow_pickle=False)
    expected = generator.latents(1, 9, 0.5, {"smiling": 1.0})

    assert as_npy.dtype == np.float32
    np.testing.assert_array_equal(as_npy, expected)
    np.testing.assert_array_equal(np.array(as_json, dtype=np.float32), expected[0])


def test_many_faces_as_json(http: httpx.Client, generator: Generator) -> None:
    latents = generator.latents(1, 77)[0].tolist()
    order = {
        "faces": [
            {"seed": 3, "count": 2, "truncation": 0.5},
            {"latents": latents, "edits": {"smiling": -1.0}},
            {"latents": latents, "toward": 4, "amount": 1},
        ]
    }
    answer = http.post(f"{TINY}/faces", json=order).json()
    expected = [
        *generator.latents(2, 3, 0.5),
        generator.directions.move(np.array(latents), {"smiling": -1.0}),
        generator.latents(1, 4)[0],
    ]

    assert (answer["bundle"], answer["version"]) == ("tiny", http.get(TINY).json()["version"])
    assert [face.get("seed") for face in answer["faces"]] == [3, 4, None, None]
    for face, latent in zip(answer["faces"], expected, strict=True):
        np.testing.assert_array_equal(np.array(face["latents"], dtype=np.float32), latent)
        np.testing.assert_array_equal(pixels(of_data_url(face["image"])), generator.decode(latent[None])[0])


def test_many_faces_as_zip(http: httpx.Client, generator: Generator) -> None:
    def names_and_pixels(faces: list[dict]) -> dict[str, np.ndarray]:
        answer = http.post(f"{TINY}/faces.zip", json={"faces": faces})
        assert http.post(f"{TINY}/faces", json={"faces": faces, "as": "zip"}).content == answer.content
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            return {name: pixels(archive.read(name)) for name in archive.namelist()}

    several = names_and_pixels([{"seed": 95, "count": 12}])
    assert list(several) == [f"{seed:010}.png" for seed in range(95, 107)]
    np.testing.assert_array_equal(np.stack(list(several.values())), generator.sample(12, 95))

    same_seed = names_and_pixels([{"seed": 95}, {"seed": 95, "edits": {"smiling": 3}}])
    assert list(same_seed) == ["0000000000.png", "0000000001.png"]


def test_latents_in(http: httpx.Client, generator: Generator) -> None:
    latents = generator.latents(3, 20)
    for array in (latents, latents.astype(np.float64), np.asfortranarray(latents), latents.astype(">f4")):
        answer = http.post(f"{TINY}/decode", content=npy(array), headers=NPY).json()
        np.testing.assert_array_equal(
            np.stack([pixels(of_data_url(face["image"])) for face in answer["faces"]]), generator.decode(latents)
        )
    octets = {"Content-Type": "application/octet-stream"}
    answer = http.post(f"{TINY}/decode.zip?format=webp", content=npy(latents), headers=octets)
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == [f"{i:010}.webp" for i in range(3)]


def test_interpolation(http: httpx.Client, generator: Generator) -> None:
    order = {"from": {"seed": 1}, "to": {"seed": 2, "edits": {"smiling": 2}}, "frames": 5}
    answer = http.post(f"{TINY}/interpolations", json=order).json()
    end = generator.latents(1, 2, 1.0, {"smiling": 2.0})[0]
    path = slerp(generator.latents(1, 1)[0], end, np.linspace(0, 1, 5))

    for face, latent in zip(answer["faces"], path, strict=True):
        np.testing.assert_array_equal(np.array(face["latents"], dtype=np.float32), latent)
        np.testing.assert_array_equal(pixels(of_data_url(face["image"])), generator.decode(latent[None])[0])


@pytest.mark.parametrize("form", ["webp", "gif"])
@pytest.mark.parametrize(("back", "frames"), [(True, 18), (False, 10)])
def test_animation(http: httpx.Client, form: str, back: bool, frames: int) -> None:
    order = {"from": {"seed": 1}, "to": {"seed": 2}, "frames": 10, "seconds": 3, "there_and_back": back}
    answer = http.post(f"{TINY}/interpolations.{form}", json=order)

    assert answer.headers["content-type"] == f"image/{form}"
    with Image.open(io.BytesIO(answer.content)) as animation:
        assert animation.n_frames == frames
        animation.load()
        assert animation.info["loop"] == 0
        assert animation.info["duration"] == pytest.approx(3000 / 9, abs=10)


@pytest.mark.parametrize(
    ("path", "order", "message"),
    [
        ("faces", {}, "faces is missing"),
        ("faces", {"faces": []}, "faces should have at least 1 item"),
        ("faces", {"faces": [{}]}, "a face has either a seed or latents; give one of them"),
        ("faces", {"faces": [{"seed": 1, "latents": [0] * 8}]}, "a face has either a seed or latents"),
        ("faces", {"faces": [{"latents": [0] * 8, "truncation": 1}]}, "truncation is for seeds"),
        ("faces", {"faces": [{"latents": [0] * 8, "with": ["male"]}]}, "with and without are for the faces of seeds"),
        ("faces", {"faces": [{"seed": 1, "with": ["male"], "without": ["male"]}]}, "with and without male; leave one"),
        ("faces", {"faces": [{"seed": 1, "with": "male"}]}, "faces.0.with should be a valid list"),
        ("faces", {"faces": [{"seed": 1, "with": ["male"]}]}, "cannot be asked for 'male'; its model takes no attrib"),
        ("faces", {"faces": [{"latents": [0] * 8, "count": 2}]}, "count is for seeds"),
        ("faces", {"faces": [{"latents": [0] * 7}]}, "the latents of tiny are 8 numbers"),
        ("faces", {"faces": [{"latents": [0] * 7 + [1e9]}]}, "latents.7 should be less than or equal to 100"),
        ("faces", {"faces": [{"seed": True}]}, "faces.0.seed should be a valid integer"),
        ("faces", {"faces": [{"seed": "1"}]}, "faces.0.seed should be a valid integer"),
        ("faces", {"faces": [{"seed": 1.5}]}, "faces.0.seed should be a valid integer"),
        ("faces", {"faces": [{"seed": 2**32}]}, "faces.0.seed should be less than 4294967296"),
        ("faces", {"faces": [{"seed": 2**32 - 1, "count": 2}]}, "go past the last seed, 4294967295"),
        ("faces", {"faces": [{"seed": 1, "count": 10**12}]}, "go past the last seed"),
        ("faces", {"faces": [{"seed": 1, "count": 21}]}, "a request has 20 faces at most, not 21; send several"),
        ("faces", {"faces": [{"seed": 1}] * 21}, "a request has 20 faces at most, not 21"),
        ("faces", {"faces": [{"seed": 1, "edits": {"frown": 1}}]}, "the bundle cannot edit 'frown'"),
        ("faces", {"faces": [{"seed": 1, "edits": {"smiling": 11}}]}, "smiling should be less than or equal to 10"),
        ("faces", {"faces": [{"seed": 1, "sede": 1}]}, "there is no option faces.0.sede"),
        ("faces", {"faces": [{"seed": 1}], "format": "gif"}, "format should be 'png', 'webp' or 'jpg', not 'gif'"),
        ("interpolations", {"from": {"seed": 1}, "to": {}}, "a face has either a seed or latents"),
        ("interpolations", {"from": {"seed": 1}, "to": {"seed": 2}, "frames": 1}, "frames should be greater than"),
        ("interpolations", {"from": {"seed": 1}, "to": {"seed": 2}, "frames": 31}, "30 frames at most, not 31"),
        ("interpolations", {"from": {"seed": 1}, "to": {"seed": 2}, "seconds": 0}, "seconds should be greater than 0"),
    ],
)
def test_mistakes_in_an_order(http: httpx.Client, path: str, order: dict, message: str) -> None:
    assert message in problem(http.post(f"{TINY}/{path}", json=order), 422)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("with=bald", "the bundle told cannot be asked for 'bald'; there are smiling, eyeglasses, male"),
        ("without=blurry", "cannot be asked for 'blurry'"),
        ("with=", "cannot be asked for ''"),
        ("with=male&without=smiling,male", "with and without male; leave one out"),
    ],
)
def test_mistakes_in_what_is_asked_for(http: httpx.Client, query: str, message: str) -> None:
    assert message in problem(http.get(f"{API}/told/faces/1.png?{query}"), 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"faces"',
        b"\xff\xfe",
        b'{"faces": [{"seed": NaN}]}',
        b'{"faces": [{"seed": 1, "truncation": Infinity}]}',
        b'{"faces": [{"seed": ' + b"9" * 5000 + b"}]}",
        b"[" * 50_000 + b"]" * 50_000,
        b'{"faces": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    ],
)
def test_bodies_that_are_no_order(http: httpx.Client, body: bytes) -> None:
    problem(http.post(f"{TINY}/faces", content=body, headers=JSON), 422)


@pytest.mark.parametrize(
    ("kind", "status"), [("text/plain", 415), (None, 415), ("application/json; charset=utf-8", 200)]
)
def test_type_of_an_order(http: httpx.Client, kind: str | None, status: int) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = http.post(f"{TINY}/faces", content=b'{"faces": [{"seed": 1}]}', headers=headers)

    assert answer.status_code == status
    if status == 415:
        assert "send application/json, not" in problem(answer, 415)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON"])
def test_order_that_is_too_large(http: httpx.Client, kind: str) -> None:
    order = json.dumps({"faces": [{"latents": [0.123456789] * 8}] * 5000})

    assert "send less" in problem(http.post(f"{TINY}/faces", content=order, headers={"Content-Type": kind}), 413)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/health", "/static/page.css", f"{API}/bundles", f"{TINY}/faces/1.png"])
def test_methods_that_are_not_taken(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)

    problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD"


def test_get_where_only_post_is(http: httpx.Client) -> None:
    answer = http.get(f"{TINY}/faces")

    problem(answer, 405)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/nothing", "/static/nothing", f"{API}/", f"{API}/tiny/", f"{TINY}/faces/1"])
def test_nothing_there(http: httpx.Client, path: str) -> None:
    assert "nothing at this address" in problem(http.get(path), 404)


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/metrics", f"{API}/bundles", f"{API}/docs", f"{TINY}/faces/1.png", f"{TINY}/latents/1.npy"],
)
def test_head(http: httpx.Client, path: str) -> None:
    get, head = http.get(path), http.head(path)

    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "etag", "cache-control", "content-security-policy"):
        assert head.headers.get(name) == get.headers.get(name)


def test_latents_that_are_no_npy(http: httpx.Client, tmp_path: Path) -> None:
    def send(body: bytes, status: int = 422) -> str:
        return problem(http.post(f"{TINY}/decode", content=body, headers=NPY), status)

    good = npy(np.zeros((2, 8), dtype=np.float32))
    pickled = io.BytesIO()
    np.save(pickled, np.array([print], dtype=object), allow_pickle=True)

    for body in (b"", b"junk", good[:5], good[:40], pickled.getvalue()[:90], b"\x93NUMPY\x03\x00" + good[8:]):
        assert "not an npy file" in send(body)
    assert "latents are float32 or float64 of shape (n, 8), not object of shape" in send(pickled.getvalue())
    for shape in ((8,), (2, 7), (0, 8), (2, 8, 1)):
        assert f"of shape (n, 8), not float32 of shape {shape}" in send(npy(np.zeros(shape, dtype=np.float32)))
    assert "not int64" in send(npy(np.zeros((2, 8), dtype=np.int64)))
    assert "20 faces at most, not 21" in send(npy(np.zeros((21, 8), dtype=np.float32)))
    assert "20 faces at most" in send(good[:10] + good[10:].replace(b"(2, 8), } ", b"(2000000000, 8), }"))
    assert "not whole" in send(good[:-1])
    assert "not whole" in send(good + b"\0")
    for value in (np.nan, np.inf, 101):
        assert "numbers from -100 to 100" in send(npy(np.full((1, 8), value, dtype=np.float32)))
    assert "send application/x-npy" in problem(http.post(f"{TINY}/decode", content=good), 415)


@pytest.mark.parametrize(
    "path",
    [f"{API}/bundles", TINY, "/api/v1/openapi.json", f"{API}/problems", f"{API}/problems/busy", "/", f"{API}/docs"],
)
def test_what_many_ask_for_is_kept_and_confirmed(http: httpx.Client, path: str) -> None:
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    packed = http.get(path, headers={"Accept-Encoding": "br, gzip;q=0.5"})

    assert plain.content == packed.content
    assert "content-encoding" not in plain.headers
    if len(plain.content) > 1000:
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "accept-encoding"
        assert packed.headers["etag"] != plain.headers["etag"]
        assert int(packed.headers["content-length"]) < len(plain.content) / 2
    for answer, coding in ((plain, "identity"), (packed, "gzip")):
        again = http.get(path, headers={"If-None-Match": answer.headers["etag"], "Accept-Encoding": coding})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == answer.headers["cache-control"]
    assert http.get(path, headers={"Accept-Encoding": "gzip;q=0"}).headers.get("content-encoding") is None
    wanted = "public, max-age=60" if path.startswith(API) and "docs" not in path else "no-cache"
    assert plain.headers["cache-control"] == wanted


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", f"{TINY}/faces/random.png", "/static/nothing"])
def test_nobody_keeps_what_changes(http: httpx.Client, path: str) -> None:
    assert http.get(path).headers.get_list("cache-control") == ["no-store"]


@pytest.mark.parametrize(("page", "folder"), [("/", "static"), ("/api/v1/docs", "docs")])
def test_what_pages_load_is_kept_for_ever(http: httpx.Client, page: str, folder: str) -> None:
    text = http.get(page).text
    names = re.findall(rf"\"({folder}/[0-9a-f]{{12}}/[^\"]+)\"", text)

    assert len(names) == text.count(f'"{folder}/') >= 3
    for name in (str(httpx.URL(page).join(name)) for name in names):
        answer = http.get(name)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].partition(";")[0] in {
            *("text/javascript", "text/css", "image/svg+xml", "image/png", "image/x-icon", "application/manifest+json"),
        }


def test_older_names_of_files_are_confirmed_each_time(http: httpx.Client) -> None:
    for older in ("/static/0123456789ab/main.js", "/static/main.js"):
        answer = http.get(older)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert http.get("/static/../api.py").status_code == 404
    assert http.get("/static/%2e%2e/api.py").status_code == 404


def test_kinds_of_problems(http: httpx.Client) -> None:
    kinds = http.get(f"{API}/problems").json()
    busy = next(kind for kind in kinds if kind["type"].endswith("/busy"))

    assert http.get(busy["type"]).json() == busy
    assert busy["status"] == 503
    problem(http.get(f"{API}/problems/nothing"), 404)
    unknown = http.get(f"{API}/nobody").json()
    assert unknown["type"] == "/api/v1/problems/not-found"
    assert any(kind["type"] == unknown["type"] for kind in kinds)


def test_problems_point_to_their_place(http: httpx.Client) -> None:
    def errors(answer: httpx.Response) -> list[dict[str, str]]:
        problem(answer, 422)
        return answer.json()["errors"]

    many = [{"seed": -1}, {"seed": 1, "edits": {"a/b~": 99}}]
    assert [each["pointer"] for each in errors(http.post(f"{TINY}/faces", json={"faces": many}))] == [
        "#/faces/0/seed",
        "#/faces/1/edits/a~1b~0",
    ]
    assert errors(http.post(f"{TINY}/faces", content=b"{", headers=JSON))[0]["pointer"] == "#"
    (found,) = errors(http.get(f"{TINY}/faces/1.png?truncation=11"))
    assert found == {"detail": "truncation should be less than or equal to 10, not '11'", "parameter": "truncation"}
    assert errors(http.get(f"{TINY}/faces/x.png"))[0]["parameter"] == "seed"
    for query in ("smiling=11", "frown=1", "toward=1&toward=2", "with=beauty"):
        (found,) = errors(http.get(f"{TINY}/faces/1.png?{query}"))
        assert found["parameter"] == query.partition("=")[0]
    old = http.get(f"{TINY}/faces/1.png?version=0123").json()
    assert old["errors"] == [{"detail": old["detail"], "parameter": "version"}]


@pytest.mark.parametrize(
    ("path", "order", "pointer"),
    [
        ("tiny/faces", {"faces": [{"seed": 1}, {"latents": [0, 0]}]}, "#/faces/1/latents"),
        ("tiny/faces", {"faces": [{"seed": 1, "edits": {"smiling": 1, "a/b": 1}}]}, "#/faces/0/edits/a~1b"),
        ("told/faces", {"faces": [{"seed": 1, "without": ["male", "beauty"]}]}, "#/faces/0/without/1"),
        ("tiny/faces.zip", {"faces": [{"seed": 1, "count": 21}]}, "#/faces"),
        ("tiny/interpolations", {"from": {"seed": 1}, "to": {"seed": 2}, "frames": 31}, "#/frames"),
        ("tiny/interpolations.gif", {"from": {"seed": 1}, "to": {"seed": 2, "with": ["beauty"]}}, "#/to/with/0"),
    ],
)
def test_orders_that_a_bundle_cannot_draw_say_where(http: httpx.Client, path: str, order: dict, pointer: str) -> None:
    answer = http.post(f"{API}/{path}", json=order)
    detail = problem(answer, 422)
    assert answer.json()["errors"] == [{"detail": detail, "pointer": pointer}]


def test_what_may_come_from_a_photo_is_not_stored(http: httpx.Client) -> None:
    order = {"faces": [{"latents": [0] * 8}]}
    for path in ("faces", "faces.zip"):
        assert http.post(f"{TINY}/{path}", json=order).headers["cache-control"] == "no-store"
    latents = npy(np.zeros((1, 8), dtype=np.float32))
    assert http.post(f"{TINY}/decode", content=latents, headers=NPY).headers["cache-control"] == "no-store"
