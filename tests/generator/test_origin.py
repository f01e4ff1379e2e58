import json
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from face_generation.generator import origin, pictures

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RECIPE = {"bundle": "vae", "seed": 42, "edits": {"smiling": 1.5}, "note": "\"'<&>é--\u2028"}
IMAGE = np.random.RandomState(0).randint(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_a_picture_says_how_it_was_drawn(suffix: str) -> None:
    data = pictures.encode(IMAGE, suffix, RECIPE)
    with Image.open(BytesIO(data)) as picture:
        (said,) = ElementTree.fromstring(picture.info["xmp"]).iter(f"{{{RDF}}}Description")
        assert np.asarray(picture).shape == IMAGE.shape

    assert origin.read(data) == RECIPE
    assert said.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == origin.SYNTHETIC
    assert said.get("{http://ns.adobe.com/xap/1.0/}CreatorTool") == origin.SOFTWARE
    assert json.loads(said.get("{urn:face-generation}recipe", "")) == RECIPE
    assert origin.read(pictures.encode(IMAGE, suffix)) is None


def test_a_picture_with_a_photo_in_it_is_a_composite() -> None:
    data = pictures.encode(IMAGE, "jpg", {"bundle": "vae", "mode": "reconstruct"})
    assert origin.COMPOSITE.encode() in data
    assert origin.SYNTHETIC.encode() not in data


def test_a_png_says_it_in_its_text() -> None:
    with Image.open(BytesIO(pictures.encode(IMAGE, "png", RECIPE))) as picture:
        assert picture.text["Software"] == origin.SOFTWARE
        assert json.loads(picture.text["Recipe"]) == RECIPE


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_an_animation_says_how_it_was_drawn(suffix: str) -> None:
    frames = [IMAGE, 255 - IMAGE, IMAGE // 2]
    data = pictures.animate(frames, suffix, 0.1, RECIPE)
    with Image.open(BytesIO(data)) as animation:
        assert animation.n_frames == 3
        animation.seek(2)
        animation.load()

    assert origin.read(data) == RECIPE


@pytest.mark.parametrize("said", [b"", b"{", b"[1]", b"&quot;a&quot;", b"\xff", b"[" * 50_000])
def test_what_says_nothing(said: bytes) -> None:
    assert origin.read(b'... faces:recipe="' + said + b'"/>') is None
    assert origin.read(b"") is None
