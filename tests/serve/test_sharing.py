"""Links that show a face where they are posted."""

import io
import re
from html import unescape
from typing import Any

import httpx
import numpy as np
from PIL import Image

from face_generation.generator import origin


def tag(html: str, name: str) -> str:
    """What an Open Graph tag says."""
    return unescape(re.search(f'<meta property="og:{name}" content="([^"]*)">', html)[1])


def way(html: str) -> str:
    """Where the page leads to."""
    return unescape(re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', html)[1])


def test_a_shared_link_has_a_preview_and_leads_on(http: httpx.Client) -> None:
    answer = http.get("/share/told/7?truncation=0.5&with=smiling,male&smiling=1.5&version=0123456789ab")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert tag(answer.text, "title").startswith("Face 7 · ")
    address = tag(answer.text, "image")
    assert address.endswith("/api/v1/told/previews/7.jpg?truncation=0.5&with=smiling,male&smiling=1.5")
    shown = http.get(address)
    assert tag(answer.text, "image:type") == shown.headers["content-type"] == "image/jpeg"
    preview = Image.open(io.BytesIO(shown.content))
    assert [int(tag(answer.text, f"image:{side}")) for side in ("width", "height")] == [*preview.size] == [600, 600]
    face = Image.open(io.BytesIO(http.get(address.replace("previews", "faces")).content))
    assert np.abs(np.asarray(preview.resize((150, 150)), dtype=int) - np.asarray(face)).mean() < 3
    assert origin.read(shown.content)["seed"] == 7
    assert "immutable" in shown.headers["cache-control"]
    assert http.get(address, headers={"If-None-Match": shown.headers["etag"]}).status_code == 304
    assert way(answer.text).endswith("/#told/7?t=0.5&with=smiling,male&smiling=1.5&v=0123456789ab")


def test_a_shared_link_cannot_smuggle_markup(http: httpx.Client) -> None:
    hostile = '"><script>alert(1)</script>'
    answer = http.get("/share/tiny/7", params={"smiling": hostile, hostile: "1"})

    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_shared_link_to_nothing_is_not_found(http: httpx.Client) -> None:
    assert http.get("/share/nobody/7").status_code == 404
    assert http.get("/share/tiny/-1").status_code == 422
    assert http.get("/share/tiny/7.png").status_code == 422


def test_a_shared_link_keeps_the_prefix(serving: Any, tmp_path: Any, tiny_bundle: Any) -> None:
    with serving(tmp_path, f"bundles={tiny_bundle}", "prefix=/some/where") as server:
        html = server.http.get("/some/where/share/tiny/7").text
        assert tag(html, "image") == f"{server.url}/some/where/api/v1/tiny/previews/7.jpg"
        assert way(html) == f"{server.url}/some/where/#tiny/7"
